#include "tests/support/tensors.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <mutex>
#include <numbers>

#include "engine/core/pool.h"
#include "engine/core/rng.h"
#include "kernels/bf16.h"
#include "tests/support/poison.h"

namespace unet::tests {
namespace {

constexpr std::size_t kZone = 4096;
constexpr std::size_t kHuge = std::size_t{2} << 20;
constexpr std::size_t kUnit = 512;  // of the pool's blocks, and what it poisons behind them

/// Puts a zone of poison before and behind every block.
class GuardedSystem : public SystemAllocator {
 public:
  void* allocate(std::size_t bytes) override {
    const std::size_t align = bytes >= kHuge / 2 ? kHuge : kZone;
    const std::size_t total = (align + bytes + kZone + align - 1) / align * align;
    auto* base = static_cast<std::byte*>(std::aligned_alloc(align, total));
    if (base == nullptr) return nullptr;
    std::memset(base + align - kZone, kPoison, kZone);
    std::memset(base + align + bytes, kPoison, kZone);
    const std::lock_guard lock(mutex_);
    blocks_.push_back({base, base + align, bytes});
    return base + align;
  }

  std::size_t segment(std::size_t bytes) const override { return bytes; }
  void release(void* block, std::size_t) noexcept override {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find_if(blocks_, [&](const Block& b) { return b.begin == block; });
    if (found == blocks_.end()) std::abort();  // a block of another allocator: the test is wrong
    broken_ += broken(*found);
    std::free(found->base);
    blocks_.erase(found);
  }

  int broken_guards() {
    const std::lock_guard lock(mutex_);
    int count = broken_;
    for (const Block& block : blocks_) count += broken(block);
    return count;
  }

 private:
  struct Block {
    std::byte* base;
    std::byte* begin;
    std::size_t bytes;
  };
  static int broken(const Block& block) {
    return all_poison(block.begin - kZone, kZone) && all_poison(block.begin + block.bytes, kZone) ? 0 : 1;
  }

  std::mutex mutex_;
  std::vector<Block> blocks_;
  int broken_ = 0;
};

/// Installed once and for good: convolution workspaces outlive tests, and a block must go back to where it came from.
GuardedSystem& guarded_system() {
  static GuardedSystem& system = *[] {
    auto* made = new GuardedSystem;
    set_cpu_system_allocator(made);
    return made;
  }();
  return system;
}

/// Before main and before the first tensor of any test.
[[maybe_unused]] const GuardedSystem& installed = guarded_system();

double uniform(std::uint64_t stream, std::int64_t i, std::uint64_t draw) {
  return random_uniform(kSeed, Purpose::test, stream, static_cast<std::uint64_t>(i), draw);
}

}  // namespace

std::vector<double> normal_values(std::int64_t count, std::uint64_t stream) {
  std::vector<double> out(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    const double radius = std::sqrt(-2 * std::log(1 - uniform(stream, i, 0)));
    const double value = radius * std::cos(2 * std::numbers::pi * uniform(stream, i, 1));
    out[static_cast<std::size_t>(i)] = static_cast<float>(value);
  }
  return out;
}

std::vector<double> spaced_values(std::int64_t count, std::uint64_t stream) {
  std::vector<double> out(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    out[static_cast<std::size_t>(i)] = static_cast<float>(0.01 * (static_cast<double>(i - count / 2) + 0.5));
  }
  for (std::int64_t i = count - 1; i > 0; --i) {
    const auto j = static_cast<std::int64_t>(uniform(stream, i, 2) * static_cast<double>(i + 1));
    std::swap(out[static_cast<std::size_t>(i)], out[static_cast<std::size_t>(j)]);
  }
  return out;
}

Tensor random_labels(const Shape& shape, int classes, std::uint64_t stream, int ignore_every) {
  std::vector<std::uint8_t> out(static_cast<std::size_t>(shape.size()));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const bool ignored = ignore_every > 0 && i % static_cast<std::size_t>(ignore_every) == 0;
    const double draw = uniform(stream, static_cast<std::int64_t>(i), 3);
    out[i] = ignored ? std::uint8_t{255} : static_cast<std::uint8_t>(draw * classes);
  }
  return Tensor::of(shape, Dtype::u8, out);
}

Sliced::Sliced(const Shape& shape, Dtype dtype, std::int64_t extra) {
  if (extra == 0) {
    wide_ = slice_ = Tensor::empty(shape, dtype);
    return;
  }
  begin_ = extra / 2;
  const Shape wide{shape[0], shape[1], shape[2], shape[3] + extra};
  wide_ = Tensor::empty(wide, dtype);
  std::memset(wide_.data<std::byte>(), kPoison, static_cast<std::size_t>(wide.size()) * kernels::size_of(dtype));
  slice_ = wide_.slice(begin_, begin_ + shape[3]);
}

Sliced::Sliced(const Shape& shape, Dtype dtype, std::int64_t extra, const std::vector<double>& values)
    : Sliced(shape, dtype, extra) {
  const std::int64_t channels = shape.channels();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i) / channels * slice_.pitch() + static_cast<std::int64_t>(i) % channels;
    if (dtype == Dtype::f64) {
      slice_.data<double>()[at] = values[i];
    } else if (dtype == Dtype::bf16) {
      slice_.data<kernels::bf16>()[at] = kernels::narrow(static_cast<float>(values[i]));
    } else {
      slice_.data<float>()[at] = static_cast<float>(values[i]);
    }
  }
}

bool Sliced::guards_intact() const {
  const std::size_t element = kernels::size_of(wide_.dtype());
  const auto width = static_cast<std::size_t>(wide_.shape().channels()) * element;
  const auto begin = static_cast<std::size_t>(begin_) * element;
  const auto end = begin + static_cast<std::size_t>(slice_.shape().channels()) * element;
  const auto* row = wide_.data<std::byte>();
  for (std::int64_t left = wide_.size() / wide_.shape().channels(); left > 0; --left, row += width) {
    if (!all_poison(row, begin) || !all_poison(row + end, width - end)) return false;
  }
  return true;
}

PoisonScope::PoisonScope() {
  guarded_system();
  cpu_pool().poison(true);
}

PoisonScope::~PoisonScope() { cpu_pool().poison(false); }

int broken_block_guards() { return guarded_system().broken_guards(); }

bool slack_intact(const Tensor& tensor) {
  if (!tensor.defined() || !tensor.dense()) return true;
  const std::size_t bytes = static_cast<std::size_t>(tensor.size()) * kernels::size_of(tensor.dtype());
  const auto* begin = tensor.data<std::byte>();
  if (reinterpret_cast<std::uintptr_t>(begin) % kUnit != 0) return true;  // inside a larger block
  const std::size_t end = (bytes + kUnit - 1) / kUnit * kUnit + kUnit;
  return all_poison(begin + bytes, end - bytes);
}

double nmse(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0, size = 0;
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  const double out = size > 0 ? difference / size : difference;
  return std::isfinite(out) ? out : std::numeric_limits<double>::infinity();
}

double max_relative(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0, size = 0;
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) return std::numeric_limits<double>::infinity();
    difference = std::max(difference, std::abs(a[i] - b[i]));
    size = std::max(size, std::abs(b[i]));
  }
  return size > 0 ? difference / size : difference;
}

}  // namespace unet::tests
