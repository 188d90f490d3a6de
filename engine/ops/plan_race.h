// Which of several ways to do the same is the fastest, on a machine that others use too.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>

namespace unet {

/// Candidates run in turn, so that a machine that slows down slows all of them: first `trial(candidate)`, which loads
/// what it needs and returns rough seconds, then `seconds(candidate)` in each round. One runs no more when its trial
/// took over twice as long as the least, or its fastest round over 1.5 times as long as the fastest of all.
struct Race {
  std::size_t rounds;
  double share;  // the first candidate is kept unless another's median is less than this share of its own
};
/// The candidate to keep; nothing if every one fails. One that throws std::runtime_error is left out, but for
/// kernels::cuda::CudaError, which is thrown on: the device is lost.
std::optional<std::size_t> fastest(std::size_t candidates, const Race& race,
                                   const std::function<double(std::size_t)>& trial,
                                   const std::function<double(std::size_t)>& seconds);

}  // namespace unet
