#include "kernels/average.h"

#include "kernels/cuda/partial_sums.h"

namespace unet::kernels::cuda {
namespace {

template <int N>
__global__ void __launch_bounds__(kBlockThreads)
    average_kernel(float take, const StepControl* control, const std::int64_t* steps, const float* values,
                   std::int64_t count, std::int64_t per_block, float* average) {
  if (control->verdict != StepVerdict::commit) return;
  const bool first = *steps == 1;
  const std::int64_t begin = blockIdx.x * per_block, end = min(begin + per_block, count);
  for (std::int64_t i = begin + threadIdx.x * N; i < end; i += kBlockThreads * N) {
    const Chunk<float, N> now = load<N>(values + i), before = load<N>(average + i);
    float after[N];
#pragma unroll
    for (int k = 0; k < N; ++k) after[k] = first ? now[k] : before[k] + take * (now[k] - before[k]);
    store(average + i, after);
  }
}

}  // namespace

void update_average(double decay, const StepControl* control, const std::int64_t* steps, ConstView values,
                    View average) {
  const Cut blocks = cut(average.size(), 4096, 16384);
  with_chunks<4>(
      [&](auto N) {
        launch(average_kernel<decltype(N)::value>, Grid{static_cast<unsigned>(blocks.count), 1, 1},
               Grid{kBlockThreads, 1, 1}, static_cast<float>(1 - decay), control, steps, values.as<float>(),
               average.size(), blocks.per_block, average.as<float>());
      },
      values, average);
}

}  // namespace unet::kernels::cuda
