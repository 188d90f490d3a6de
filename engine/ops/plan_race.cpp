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

/// Another time for each; those that fail, or whose least is over `slack` times the least of all, leave.
void run_once(std::vector<Runner>& in, double slack, const std::function<double(std::size_t)>& seconds) {
  double least = kNever;
  for (Runner& runner : in) {
    try {
      runner.seconds.push_back(seconds(runner.candidate));
      least = std::min(least, runner.least());
    } catch (const kernels::cuda::CudaError&) {
      throw;
    } catch (const std::runtime_error&) {
      runner.seconds.assign(1, kNever);
    }
  }
  std::erase_if(in, [=](const Runner& runner) { return runner.least() == kNever || runner.least() > slack * least; });
}

}  // namespace

std::optional<std::size_t> fastest(std::size_t candidates, const Race& race,
                                   const std::function<double(std::size_t)>& trial,
                                   const std::function<double(std::size_t)>& seconds) {
  std::vector<Runner> in;
  for (std::size_t i = 0; i < candidates; ++i) in.push_back({i, {}});
  run_once(in, 2, trial);
  for (Runner& runner : in) runner.seconds.clear();
  for (std::size_t round = 0; round < race.rounds; ++round) run_once(in, 1.5, seconds);
  if (in.empty()) return std::nullopt;
  const auto best =
      std::min_element(in.begin(), in.end(), [](const Runner& a, const Runner& b) { return a.median() < b.median(); });
  const Runner& first = in.front();
  return first.candidate == 0 && best->median() >= race.share * first.median() ? 0 : best->candidate;
}

}  // namespace unet
