#include "engine/ops/plan_race.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <vector>

#include "kernels/cuda/runtime.h"

namespace unet {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

struct Runner {
  std::size_t candidate;
  std::vector<double> seconds;  // a round each

  double least() const { return *std::min_element(seconds.begin(), seconds.end()); }
  double median() const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

}  // namespace

std::optional<std::size_t> fastest(std::size_t candidates, const Race& race,
                                   const std::function<void(std::size_t)>& run,
                                   const std::function<double(std::size_t)>& seconds) {
  std::vector<Runner> in;
  for (std::size_t i = 0; i < candidates; ++i) in.push_back({i, {}});
  for (std::size_t round = 0; round < race.rounds; ++round) {
    double least = kNever;
    for (Runner& runner : in) {
      try {
        if (round == 0) run(runner.candidate);
        runner.seconds.push_back(seconds(runner.candidate));
        least = std::min(least, runner.least());
      } catch (const kernels::cuda::CudaError&) {
        throw;
      } catch (const std::runtime_error&) {
        runner.seconds.assign(1, kNever);
      }
    }
    std::erase_if(in,
                  [least](const Runner& runner) { return runner.least() == kNever || runner.least() > 1.5 * least; });
  }
  if (in.empty()) return std::nullopt;
  const auto best =
      std::min_element(in.begin(), in.end(), [](const Runner& a, const Runner& b) { return a.median() < b.median(); });
  const Runner& first = in.front();
  return first.candidate == 0 && best->median() >= race.share * first.median() ? 0 : best->candidate;
}

}  // namespace unet
