#include "kernels/step_count.h"

#include "kernels/cuda/tile.h"

namespace unet::kernels::cuda {
namespace {

__global__ void count_step_kernel(const StepControl* control, std::int64_t* steps) {
  if (control->verdict == StepVerdict::commit) ++*steps;
}

}  // namespace

void count_step(const StepControl* control, std::int64_t* steps) {
  launch(count_step_kernel, Grid{}, Grid{}, control, steps);
}

}  // namespace unet::kernels::cuda
