// Tensors for tests: seeded values, slices of wider tensors with guards, distances.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/tensor.h"
#include "tests/support/error_of.h"

namespace unet::tests {

/// The seed of every random number in the op tests; failures print it.
inline constexpr std::uint64_t kSeed = 20240229;

/// f32-representable values, so that an f32 and an f64 run see the same numbers.
std::vector<double> normal_values(std::int64_t count, std::uint64_t stream);
std::vector<double> spaced_values(std::int64_t count, std::uint64_t stream);
/// Labels 0..classes-1; every `ignore_every`-th (0: none) is 255.
Tensor random_labels(const Shape& shape, int classes, std::uint64_t stream, int ignore_every = 0);

/// A channel slice of a tensor that is `extra` channels wider (0: a dense tensor of its own) and whose other channels
/// are poison (support/poison.h).
class Sliced {
 public:
  /// Uninitialised, for an op to write.
  Sliced(const Shape& shape, Dtype dtype, std::int64_t extra);
  Sliced(const Shape& shape, Dtype dtype, std::int64_t extra, const std::vector<double>& values);

  const Tensor& tensor() const { return slice_; }
  /// True if nobody wrote the channels beside the slice.
  bool guards_intact() const;

 private:
  Tensor wide_, slice_;
  std::int64_t begin_ = 0;
};

/// Turns poisoning of the CPU pool on for the length of a scope, and checks the memory round blocks at its end.
class PoisonScope {
 public:
  PoisonScope();
  ~PoisonScope();
};

/// Blocks of cpu_pool() that were written before their beginning or behind their end, since the process began. The
/// first call (PoisonScope makes it) puts guards round every block from then on.
int broken_block_guards();
/// True if the bytes that the pool poisoned behind a tensor with a block of its own (PoisonScope) are still poison.
bool slack_intact(const Tensor& tensor);

/// sum (a-b)^2 / sum b^2; sum a^2 where b is all zero; infinite if the sizes differ or anything is not finite.
double nmse(const std::vector<double>& a, const std::vector<double>& b);
/// max |a-b| / max |b|, likewise.
double max_relative(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace unet::tests
