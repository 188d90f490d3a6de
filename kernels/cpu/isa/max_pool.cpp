#include "kernels/cpu/isa/max_pool.h"

#include "kernels/cpu/isa/vec.h"
#include "kernels/cpu/isa/window.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

template <class T, bool Backward>
void max_pool(const MaxPoolRun<T>& given, std::int64_t first, std::int64_t pooled) {
  const MaxPoolRun<T> run = given;
  for (std::int64_t i = 0; i < run.width / 2; ++i) {
    const std::int64_t p = first + 2 * i;
    const std::int64_t pixel[4] = {p, p + 1, p + run.width, p + run.width + 1};
    for_channels<T>(
        run.channels, [&](auto n, std::int64_t c) __attribute__((always_inline)) {
          constexpr int N = n.count;
          Vector<T, N> x[4];
          for (int k = 0; k < 4; ++k) x[k] = load<T, N>(run.x + pixel[k] * run.x_pitch + c);
          if constexpr (Backward) {
            Vector<T, N> dx[4] = {};
            add_to_winner(x, load<T, N>(run.dy + (pooled + i) * run.dy_pitch + c), dx);
            for (int k = 0; k < 4; ++k) put<T, N>(run.dx + pixel[k] * run.dx_pitch + c, dx[k], run.stream_dx);
          } else {
            store<T, N>(run.y + (pooled + i) * run.y_pitch + c, maximum(x));
          }
        });
  }
  if (Backward && run.stream_dx) fence();
}

template <class T>
constexpr MaxPoolLoops<T> loops() {
  return {max_pool<T, false>, max_pool<T, true>};
}

}  // namespace

const MaxPoolTable max_pool_loops = {loops<float>(), loops<double>(), loops<bf16>()};

}  // namespace unet::kernels::cpu::UNET_ISA
