#include "kernels/running_stats.h"

#include "kernels/cuda/tile.h"

namespace unet::kernels::cuda {
namespace {

__global__ void __launch_bounds__(kBlockThreads)
    running_stats_kernel(float keep, float take, const StepControl* control, const float* batch, std::int64_t count,
                         float* running) {
  if (control->verdict != StepVerdict::commit) return;
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) running[i] = keep * running[i] + take * batch[i];
}

}  // namespace

void update_running_stats(double momentum, const StepControl* control, ConstView batch, View running) {
  const auto blocks = static_cast<unsigned>((running.size() + kBlockThreads - 1) / kBlockThreads);
  launch(running_stats_kernel, {blocks}, {kBlockThreads}, static_cast<float>(1 - momentum),
         static_cast<float>(momentum), control, batch.as<float>(), running.size(), running.as<float>());
}

}  // namespace unet::kernels::cuda
