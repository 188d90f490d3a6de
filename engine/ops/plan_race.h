// Which of several ways to do the same is the fastest, on a machine that others use too.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>

namespace unet {

/// Candidates run in turn, so that a machine that slows down slows all of them: first once to load what they need, then
/// once in each round, by the clock of `seconds(candidate)`. One that takes over 1.5 times as long as the fastest of
/// its round runs no more.
struct Race {
  std::size_t rounds;
  double share;  // the first candidate is kept unless another's median is less than this share of its own
};
/// The candidate to keep; nothing if every one fails. One whose run throws std::runtime_error is left out, but for
/// kernels::cuda::CudaError, which is thrown on: the device is lost.
std::optional<std::size_t> fastest(std::size_t candidates, const Race& race,
                                   const std::function<void(std::size_t)>& run,
                                   const std::function<double(std::size_t)>& seconds);

}  // namespace unet
