#include "kernels/channel_sum.h"

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/channel_sum.h"
#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {
namespace {

Blocks pixel_blocks(ConstView x) { return cut(x.pixels(), 1024); }

}  // namespace

std::size_t channel_sum_scratch(ConstView x) {
  return static_cast<std::size_t>(pixel_blocks(x).count * x.c()) * sizeof(double);
}

void channel_sum(ConstView x, View out, void* scratch) {
  const ChannelSumTable& loops =
      select(baseline::channel_sum_loops, avx2::channel_sum_loops, avx512::channel_sum_loops);
  double* sums = static_cast<double*>(scratch);
  const std::int64_t C = x.c();
  const Blocks blocks = pixel_blocks(x);
  dispatch_storage(x.dtype, [&]<class T>(T type) {
    parallel_for(blocks.count, [&](std::int64_t i) {
      const std::int64_t pixels = blocks.end(i) - blocks.begin(i);
      loops.of(type).sum(x.as<T>() + blocks.begin(i) * x.pitch, pixels, C, x.pitch, sums + i * C);
    });
  });
  dispatch_float(out.dtype, [&]<class T>(T) {
    for (std::int64_t c = 0; c < C; ++c) {
      double sum = 0;
      for (std::int64_t i = 0; i < blocks.count; ++i) sum += sums[i * C + c];
      out.as<T>()[c] = static_cast<T>(sum);
    }
  });
}

}  // namespace unet::kernels::cpu
