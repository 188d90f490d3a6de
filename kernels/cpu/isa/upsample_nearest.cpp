#include "kernels/cpu/isa/upsample_nearest.h"

#include "kernels/cpu/isa/vec.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

template <class T>
void forward(const NearestRun<T>& given, std::int64_t row) {
  const NearestRun<T> run = given;
  for (int half = 0; half < 2; ++half) {  // an unbroken row at a time
    for (std::int64_t w = 0; w < run.width; ++w) {
      const T* from = run.from + (row * run.width + w) * run.from_pitch;
      T* to = run.to + ((2 * row + half) * 2 * run.width + 2 * w) * run.to_pitch;
      for_channels<T>(
          run.channels, [&](auto n, std::int64_t c) __attribute__((always_inline)) {
            const auto x = load<T, n.count>(from + c);
            put<T, n.count>(to + c, x, run.stream);
            put<T, n.count>(to + run.to_pitch + c, x, run.stream);
          });
    }
  }
  if (run.stream) fence();
}

template <class T>
void backward(const NearestRun<T>& given, std::int64_t row) {
  const NearestRun<T> run = given;
  for (std::int64_t w = 0; w < run.width; ++w) {
    const T* upper = run.from + (2 * row * 2 * run.width + 2 * w) * run.from_pitch;
    const T* lower = upper + 2 * run.width * run.from_pitch;
    T* to = run.to + (row * run.width + w) * run.to_pitch;
    for_channels<T>(
        run.channels, [&](auto n, std::int64_t c) __attribute__((always_inline)) {
          constexpr int N = n.count;
          const auto pair = [&](const T* from) __attribute__((always_inline)) {
            return load<T, N>(from + c) + load<T, N>(from + run.from_pitch + c);
          };
          put<T, N>(to + c, pair(upper) + pair(lower), run.stream);
        });
  }
  if (run.stream) fence();
}

template <class T>
constexpr NearestLoops<T> loops() {
  return {forward<T>, backward<T>};
}

}  // namespace

const NearestTable nearest_loops = {loops<float>(), loops<double>(), loops<bf16>()};

}  // namespace unet::kernels::cpu::UNET_ISA
