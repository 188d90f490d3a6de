#include "tests/kernels/cpu/conv3x3.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <sstream>

namespace unet::test {

using kernels::Dtype;
using kernels::View;

namespace {

constexpr std::size_t kGuard = 1024;  // bytes
constexpr unsigned char kGuardByte = 0xa5;

std::uint16_t to_bf16(float x) {  // to nearest, ties to even
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

std::size_t aligned_after_guard(const std::vector<unsigned char>& bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(bytes.data()) + kGuard;
  return kGuard + (64 - address % 64) % 64;
}

}  // namespace

Buffer::Buffer(Dtype dtype, std::array<std::int64_t, 4> dims, std::int64_t pitch) {
  extent_.dtype = dtype;
  extent_.dims = dims;
  extent_.pitch = pitch == 0 ? dims[3] : pitch;
  const std::size_t size = static_cast<std::size_t>(extent_.pixels() * extent_.pitch) * kernels::size_of(dtype);
  bytes_.assign(size + 2 * kGuard + 64, kGuardByte);
  begin_ = aligned_after_guard(bytes_);
  for (std::int64_t p = 0; p < extent_.pixels(); ++p) {
    const std::size_t row = static_cast<std::size_t>(extent_.c()) * kernels::size_of(dtype);
    std::memset(&bytes_[begin_ + static_cast<std::size_t>(p * extent_.pitch) * kernels::size_of(dtype)], 0xff, row);
  }
}

View Buffer::view() {
  View v;
  static_cast<kernels::Extent&>(v) = extent_;
  v.data = bytes_.data() + begin_;
  return v;
}

void Buffer::fill(unsigned seed, double scale) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, static_cast<float>(scale));
  const View v = view();
  for (std::int64_t p = 0; p < v.pixels(); ++p) {
    for (std::int64_t c = 0; c < v.c(); ++c) {
      const float value = normal(generator);
      if (v.dtype == Dtype::bf16) {
        v.as<kernels::bf16>()[p * v.pitch + c].bits = to_bf16(value);
      } else {
        v.as<float>()[p * v.pitch + c] = value;
      }
    }
  }
}

double Buffer::at(std::int64_t pixel, std::int64_t channel) const {
  const std::size_t index = static_cast<std::size_t>(pixel * extent_.pitch + channel);
  if (extent_.dtype == Dtype::bf16) {
    std::uint16_t bits;
    std::memcpy(&bits, &bytes_[begin_ + 2 * index], sizeof bits);
    return from_bf16(bits);
  }
  float value;
  std::memcpy(&value, &bytes_[begin_ + 4 * index], sizeof value);
  return value;
}

std::vector<double> Buffer::values() const {
  std::vector<double> all;
  all.reserve(static_cast<std::size_t>(extent_.size()));
  for (std::int64_t p = 0; p < extent_.pixels(); ++p) {
    for (std::int64_t c = 0; c < extent_.c(); ++c) all.push_back(at(p, c));
  }
  return all;
}

std::vector<unsigned char> Buffer::bytes() const {
  const auto begin = bytes_.begin() + static_cast<std::ptrdiff_t>(begin_);
  const std::int64_t size =
      extent_.pixels() * extent_.pitch * static_cast<std::int64_t>(kernels::size_of(extent_.dtype));
  return {begin, begin + size};
}

bool Buffer::intact() const {
  const std::size_t element = kernels::size_of(extent_.dtype);
  const std::size_t pitch = static_cast<std::size_t>(extent_.pitch) * element;
  const std::size_t used = static_cast<std::size_t>(extent_.c()) * element;
  const std::size_t end = begin_ + static_cast<std::size_t>(extent_.pixels()) * pitch;
  for (std::size_t i = 0; i < bytes_.size(); ++i) {
    const bool inside = i >= begin_ && i < end && (i - begin_) % pitch < used;
    if (!inside && bytes_[i] != kGuardByte) return false;
  }
  return true;
}

std::string Conv3x3::name() const {
  std::ostringstream text;
  text << "N" << N << " H" << H << " W" << W << " " << Cin << "->" << Cout;
  return text.str();
}

namespace {

/// Calls visit(x pixel, y pixel, tap) for every tap that lies in the image.
template <class Visit>
void for_each_tap(const Conv3x3& c, Visit&& visit) {
  for (std::int64_t n = 0; n < c.N; ++n) {
    for (std::int64_t h = 0; h < c.H; ++h) {
      for (std::int64_t w = 0; w < c.W; ++w) {
        for (std::int64_t tap = 0; tap < 9; ++tap) {
          const std::int64_t hx = h + tap / 3 - 1, wx = w + tap % 3 - 1;
          if (hx < 0 || hx >= c.H || wx < 0 || wx >= c.W) continue;
          visit((n * c.H + hx) * c.W + wx, (n * c.H + h) * c.W + w, tap);
        }
      }
    }
  }
}

}  // namespace

std::vector<double> reference_forward(const Conv3x3& c, const std::vector<double>& x, const std::vector<double>& w) {
  std::vector<double> y(static_cast<std::size_t>(c.N * c.H * c.W * c.Cout));
  for_each_tap(c, [&](std::int64_t px, std::int64_t py, std::int64_t tap) {
    for (std::int64_t o = 0; o < c.Cout; ++o) {
      const double* a = &x[static_cast<std::size_t>(px * c.Cin)];
      const double* b = &w[static_cast<std::size_t>((o * 9 + tap) * c.Cin)];
      double sum = 0;
      for (std::int64_t i = 0; i < c.Cin; ++i) sum += a[i] * b[i];
      y[static_cast<std::size_t>(py * c.Cout + o)] += sum;
    }
  });
  return y;
}

std::vector<double> reference_backward_data(const Conv3x3& c, const std::vector<double>& dy,
                                            const std::vector<double>& w) {
  std::vector<double> dx(static_cast<std::size_t>(c.N * c.H * c.W * c.Cin));
  for_each_tap(c, [&](std::int64_t px, std::int64_t py, std::int64_t tap) {
    for (std::int64_t o = 0; o < c.Cout; ++o) {
      const double gradient = dy[static_cast<std::size_t>(py * c.Cout + o)];
      const double* b = &w[static_cast<std::size_t>((o * 9 + tap) * c.Cin)];
      double* to = &dx[static_cast<std::size_t>(px * c.Cin)];
      for (std::int64_t i = 0; i < c.Cin; ++i) to[i] += gradient * b[i];
    }
  });
  return dx;
}

std::vector<double> reference_backward_weights(const Conv3x3& c, const std::vector<double>& x,
                                               const std::vector<double>& dy) {
  std::vector<double> dw(static_cast<std::size_t>(c.Cout * 9 * c.Cin));
  for_each_tap(c, [&](std::int64_t px, std::int64_t py, std::int64_t tap) {
    for (std::int64_t o = 0; o < c.Cout; ++o) {
      const double gradient = dy[static_cast<std::size_t>(py * c.Cout + o)];
      const double* a = &x[static_cast<std::size_t>(px * c.Cin)];
      double* to = &dw[static_cast<std::size_t>((o * 9 + tap) * c.Cin)];
      for (std::int64_t i = 0; i < c.Cin; ++i) to[i] += gradient * a[i];
    }
  });
  return dw;
}

double nmse(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return error == 0 ? 0 : error / norm;
}

bool run_guarded(const kernels::ConvPlan& plan, const kernels::ConvOperands& operands) {
  std::vector<unsigned char> memory(plan.workspace + 2 * kGuard + 64, kGuardByte);
  const std::size_t begin = aligned_after_guard(memory), end = begin + plan.workspace;
  std::memset(&memory[begin], 0xff, plan.workspace);
  plan.run(operands, &memory[begin]);
  for (std::size_t i = 0; i < memory.size(); ++i) {
    if ((i < begin || i >= end) && memory[i] != kGuardByte) return false;
  }
  return true;
}

std::vector<kernels::cpu::Isa> instruction_sets() {
  using kernels::cpu::Isa;
  std::vector<Isa> sets;
  for (const Isa set : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (set <= kernels::cpu::isa()) sets.push_back(set);
  }
  return sets;
}

}  // namespace unet::test
