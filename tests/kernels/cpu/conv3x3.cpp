#include "tests/kernels/cpu/conv3x3.h"

#include <limits>
#include <random>
#include <sstream>

namespace unet::test {

void fill_normal(Buffer& buffer, unsigned seed, double scale) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, static_cast<float>(scale));
  for (std::int64_t i = 0; i < buffer.view().size(); ++i) buffer.set(i, static_cast<double>(normal(generator)));
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
  const Buffer workspace(kernels::Dtype::u8, {1, 1, 1, static_cast<std::int64_t>(plan.workspace)});
  plan.run(operands, workspace.view().data);
  return workspace.intact();
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
