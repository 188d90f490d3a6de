#include "kernels/upsample.h"

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/upsample.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/streaming.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {
namespace {

template <class T>
const ResampleLoops<T>& loops(T of) {
  return select(baseline::resample_loops, avx2::resample_loops, avx512::resample_loops).of(of);
}

/// The two inputs of output `out`, along an axis of `size` inputs, in f64.
Taps<double> taps_of_output(std::int64_t out, std::int64_t size, bool align_corners) {
  const auto place = static_cast<double>(out);
  const double source = align_corners ? place * static_cast<double>(size - 1) / static_cast<double>(2 * size - 1)
                                      : std::max(0.0, (place + 0.5) / 2 - 0.5);
  const auto first = std::min(static_cast<std::int64_t>(source), size - 1);
  if (first == size - 1) return {first, 1, {1}};
  const double second = source - static_cast<double>(first);
  return {first, 2, {1 - second, second}};
}

/// The outputs that input `in` fed: all of them lie in [2*in - 2, 2*in + 3].
Taps<double> taps_of_input(std::int64_t in, std::int64_t size, bool align_corners) {
  Taps<double> taps{std::max<std::int64_t>(0, 2 * in - 2), 0, {}};
  const std::int64_t end = std::min(2 * size, 2 * in + 4);
  for (std::int64_t out = taps.first; out < end; ++out) {
    const Taps<double> forward = taps_of_output(out, size, align_corners);
    const std::int64_t k = in - forward.first;
    const double weight = k >= 0 && k < forward.count ? forward.weight[k] : 0;
    if (weight == 0 && taps.count == 0) {
      ++taps.first;
    } else {
      taps.weight[taps.count++] = weight;
    }
  }
  while (taps.count > 1 && taps.weight[taps.count - 1] == 0) --taps.count;
  return taps;
}

template <class A>
Taps<A> rounded(const Taps<double>& taps) {
  Taps<A> to{taps.first, taps.count, {}};
  for (std::int64_t i = 0; i < taps.count; ++i) to.weight[i] = static_cast<A>(taps.weight[i]);
  return to;
}

/// taps(place, axis size) says which inputs make an output row or column; `size` is that of the small image.
template <class TapsOf>
void resample(ConstView in, View out, std::int64_t small_H, std::int64_t small_W, TapsOf&& taps) {
  dispatch_storage(in.dtype, [&](auto type) {
    using T = decltype(type);
    using A = Compute<T>;
    // One tile's columns share their taps among its rows.
    constexpr std::int64_t tile_rows = 32;
    constexpr std::int64_t tile_columns = 64;
    const std::int64_t H = out.h();
    const std::int64_t W = out.w();
    const std::int64_t down = (H + tile_rows - 1) / tile_rows;
    const std::int64_t across = (W + tile_columns - 1) / tile_columns;
    const bool stream = worth_streaming(out);
    parallel_for(out.n() * down * across, [&](std::int64_t tile) {
      const std::int64_t n = tile / (down * across);
      const std::int64_t h0 = tile / across % down * tile_rows;
      const std::int64_t w0 = tile % across * tile_columns;
      const std::int64_t count = std::min(tile_columns, W - w0);
      Taps<A> columns[tile_columns];
      for (std::int64_t k = 0; k < count; ++k) columns[k] = rounded<A>(taps(w0 + k, small_W));
      const T* image = in.as<T>() + n * in.h() * in.w() * in.pitch;
      for (std::int64_t h = h0; h < std::min(H, h0 + tile_rows); ++h) {
        T* row = out.as<T>() + (n * H + h) * W * out.pitch;
        const ResampleRun<T> run{image, row, in.pitch, out.pitch, in.w(), out.c(), stream};
        loops(type).row(run, rounded<A>(taps(h, small_H)), columns, w0, count);
      }
    });
  });
}

}  // namespace

void upsample_bilinear_forward(ConstView x, bool align_corners, View y) {
  resample(x, y, x.h(), x.w(),
           [&](std::int64_t place, std::int64_t size) { return taps_of_output(place, size, align_corners); });
}

void upsample_bilinear_backward(ConstView dy, bool align_corners, View dx) {
  resample(dy, dx, dx.h(), dx.w(),
           [&](std::int64_t place, std::int64_t size) { return taps_of_input(place, size, align_corners); });
}

}  // namespace unet::kernels::cpu
