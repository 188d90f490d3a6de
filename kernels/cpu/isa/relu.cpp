#include "kernels/cpu/isa/relu.h"

#include "kernels/cpu/isa/vec.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

template <class T, bool Backward>
void relu(const ReluRun<T>& given, std::int64_t first, std::int64_t pixels, std::int64_t channels) {
  const ReluRun<T> run = given;
  for (std::int64_t p = first; p < first + pixels; ++p) {
    for_channels<T>(
        channels, [&](auto n, std::int64_t c) __attribute__((always_inline)) {
          constexpr int N = n.count;
          const Vector<T, N> zero{};
          const Vector<T, N> from = load<T, N>(run.from + p * run.from_pitch + c);
          T* to = run.to + p * run.to_pitch + c;
          if constexpr (Backward) {
            const Vector<T, N> dy = load<T, N>(run.dy + p * run.dy_pitch + c);
            put<T, N>(to, (from <= zero) ? zero : dy, run.stream);
          } else {
            put<T, N>(to, (from < zero) ? zero : from, run.stream);
          }
        });
  }
  if (run.stream) fence();
}

template <class T>
constexpr ReluLoops<T> loops() {
  return {relu<T, false>, relu<T, true>};
}

}  // namespace

const ReluTable relu_loops = {loops<float>(), loops<double>(), loops<bf16>()};

}  // namespace unet::kernels::cpu::UNET_ISA
