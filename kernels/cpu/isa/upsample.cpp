#include "kernels/cpu/isa/upsample.h"

#include "kernels/cpu/isa/vec.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

/// Vectors * N channels of one output, from channel c on.
template <class T, int N, int Vectors>
[[gnu::always_inline]] inline void resample(const ResampleRun<T>& run, const Taps<Compute<T>>& rows,
                                            const Taps<Compute<T>>& columns, std::int64_t pixel, std::int64_t c) {
  using A = Compute<T>;
  using V = Vector<T, N>;
  V sum[Vectors] = {};
  for (std::int64_t i = 0; i < rows.count; ++i) {
    const T* in = run.in + ((rows.first + i) * run.in_width + columns.first) * run.in_pitch + c;
    for (std::int64_t j = 0; j < columns.count; ++j, in += run.in_pitch) {
      const V weight = broadcast<A, N>(rows.weight[i] * columns.weight[j]);
      for (int v = 0; v < Vectors; ++v) sum[v] = fma(weight, load<T, N>(in + v * N), sum[v]);
    }
  }
  T* out = run.out + pixel * run.out_pitch + c;
  for (int v = 0; v < Vectors; ++v) put<T, N>(out + v * N, sum[v], run.stream);
}

template <class T>
void row(const ResampleRun<T>& given, const Taps<Compute<T>>& rows, const Taps<Compute<T>>* columns, std::int64_t first,
         std::int64_t count) {
  const ResampleRun<T> run = given;
  constexpr int full = full_lanes<T>;
  for (std::int64_t k = 0; k < count; ++k) {
    std::int64_t c = 0;
    for (; c + 4 * full <= run.channels; c += 4 * full) resample<T, full, 4>(run, rows, columns[k], first + k, c);
    for (; c + 2 * full <= run.channels; c += 2 * full) resample<T, full, 2>(run, rows, columns[k], first + k, c);
    for_channels<T>(
        run.channels - c, [&](auto n, std::int64_t rest) __attribute__((always_inline)) {
          resample<T, n.count, 1>(run, rows, columns[k], first + k, c + rest);
        });
  }
  if (run.stream) fence();
}

}  // namespace

const ResampleTable resample_loops = {{row<float>}, {row<double>}, {row<bf16>}};

}  // namespace unet::kernels::cpu::UNET_ISA
