#include "kernels/upsample_nearest.h"

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/upsample_nearest.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/streaming.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {
namespace {

template <class T>
const NearestLoops<T>& loops(T of) {
  return select(baseline::nearest_loops, avx2::nearest_loops, avx512::nearest_loops).of(of);
}

/// Calls body(loops, run, row) on several threads for every row of the small image.
template <class Body>
void for_rows(ConstView from, View to, const Extent& small, Body&& body) {
  dispatch_storage(from.dtype, [&](auto type) {
    using T = decltype(type);
    const NearestRun<T> run{from.as<T>(), to.as<T>(), from.pitch, to.pitch, small.w(), small.c(), worth_streaming(to)};
    constexpr std::int64_t kBlockElements = std::int64_t{1} << 14;
    const Blocks blocks =
        cut(small.n() * small.h(), kBlockElements / std::max<std::int64_t>(1, small.w() * small.c()), 4096);
    parallel_for(blocks.count, [&](std::int64_t block) {
      for (std::int64_t row = blocks.begin(block); row < blocks.end(block); ++row) body(loops(type), run, row);
    });
  });
}

}  // namespace

void upsample_nearest_forward(ConstView x, View y) {
  for_rows(x, y, x, [](const auto& loops, const auto& run, std::int64_t row) { loops.forward(run, row); });
}

void upsample_nearest_backward(ConstView dy, View dx) {
  for_rows(dy, dx, dx, [](const auto& loops, const auto& run, std::int64_t row) { loops.backward(run, row); });
}

}  // namespace unet::kernels::cpu
