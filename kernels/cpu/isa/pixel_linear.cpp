#include "kernels/cpu/isa/pixel_linear.h"

#include "kernels/cpu/isa/vec.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

// Pixels that the weights' gradient is summed over in the computing type before the sum goes to f64; with a UNet's
// channels they fit the first-level cache, for every further pair of outputs reads them again.
constexpr std::int64_t kPixelsPerRun = 64;

/// Halves are added until one number is left.
template <class A, int N>
[[gnu::always_inline]] inline A sum_of(typename VectorOf<A, N>::type v) {
  if constexpr (N == 1) {
    return v;
  } else {
    typename VectorOf<A, N / 2>::type half[2];
    __builtin_memcpy(half, &v, sizeof v);
    return sum_of<A, N / 2>(half[0] + half[1]);
  }
}

/// Outputs [k, k + K) of P pixels from p on.
template <class T, int K, int P>
[[gnu::always_inline]] inline void forward_group(const PixelLinearRun<T>& run, std::int64_t p, std::int64_t k) {
  using A = Compute<T>;
  constexpr int N = full_lanes<T>;
  const std::int64_t C = run.channels;
  const T* x = run.x + p * C;
  const A* w = run.weights + k * C;
  Vector<T, N> sums[P][K] = {};
  std::int64_t c = 0;
  for (; c + N <= C; c += N) {
    for (int i = 0; i < P; ++i) {
      const Vector<T, N> pixel = load<T, N>(x + i * C + c);
      for (int j = 0; j < K; ++j) sums[i][j] = fma(pixel, load<A, N>(w + j * C + c), sums[i][j]);
    }
  }
  for (int i = 0; i < P; ++i) {
    for (int j = 0; j < K; ++j) {
      A sum = sum_of<A, N>(sums[i][j]);
      for (std::int64_t rest = c; rest < C; ++rest) sum = fma(load<T, 1>(x + i * C + rest), w[j * C + rest], sum);
      run.y[(p + i) * run.outputs + k + j] = run.bias == nullptr ? sum : sum + run.bias[k + j];
    }
  }
}

template <class T, int K>
void forward_outputs(const PixelLinearRun<T>& run, std::int64_t p, std::int64_t end, std::int64_t k) {
  constexpr int P = 4;
  for (; p + P <= end; p += P) forward_group<T, K, P>(run, p, k);
  for (; p < end; ++p) forward_group<T, K, 1>(run, p, k);
}

template <class T>
void forward(const PixelLinearRun<T>& given, std::int64_t first, std::int64_t pixels) {
  const PixelLinearRun<T> run = given;
  for (std::int64_t p = first; p < first + pixels; p += kPixelsPerRun) {
    const std::int64_t end = p + kPixelsPerRun < first + pixels ? p + kPixelsPerRun : first + pixels;
    std::int64_t k = 0;
    for (; k + 2 <= run.outputs; k += 2) forward_outputs<T, 2>(run, p, end, k);
    if (k < run.outputs) forward_outputs<T, 1>(run, p, end, k);
  }
}

/// Adds dy^T x of pixels [p, end), for outputs [k, k + K) and V vectors of channels from c on.
template <class T, int N, int K, int V>
[[gnu::always_inline]] inline void add_products(const PixelLinearRun<T>& run, std::int64_t p, std::int64_t end,
                                                std::int64_t k, std::int64_t c, double* dweights) {
  using A = Compute<T>;
  Vector<T, N> sums[K][V] = {};
  for (; p < end; ++p) {
    for (int v = 0; v < V; ++v) {
      const Vector<T, N> x = load<T, N>(run.x + p * run.channels + c + v * N);
      for (int j = 0; j < K; ++j) sums[j][v] = fma(broadcast<A, N>(run.dy[p * run.outputs + k + j]), x, sums[j][v]);
    }
  }
  for (int j = 0; j < K; ++j) {
    A values[V * N];
    __builtin_memcpy(values, sums[j], sizeof values);
    double* to = dweights + (k + j) * run.channels + c;
    for (int i = 0; i < V * N; ++i) to[i] += static_cast<double>(values[i]);
  }
}

template <class T, int K>
void add_weights(const PixelLinearRun<T>& run, std::int64_t p, std::int64_t end, std::int64_t k, double* dweights) {
  constexpr int N = full_lanes<T>;
  std::int64_t c = 0;
  for (; c + 4 * N <= run.channels; c += 4 * N) add_products<T, N, K, 4>(run, p, end, k, c, dweights);
  for (; c + N <= run.channels; c += N) add_products<T, N, K, 1>(run, p, end, k, c, dweights);
  for (; c < run.channels; ++c) add_products<T, 1, K, 1>(run, p, end, k, c, dweights);
}

template <class T>
void write_dx(const PixelLinearRun<T>& run, std::int64_t p, std::int64_t end) {
  using A = Compute<T>;
  for (; p < end; ++p) {
    const A* dy = run.dy + p * run.outputs;
    for_channels<T>(
        run.channels, [&](auto n, std::int64_t c) __attribute__((always_inline)) {
          constexpr int N = n.count;
          Vector<T, N> sum = broadcast<A, N>(dy[0]) * load<A, N>(run.weights + c);
          for (std::int64_t k = 1; k < run.outputs; ++k) {
            sum = fma(broadcast<A, N>(dy[k]), load<A, N>(run.weights + k * run.channels + c), sum);
          }
          put<T, N>(run.dx + p * run.channels + c, sum, run.stream_dx);
        });
  }
}

template <class T>
void backward(const PixelLinearRun<T>& given, std::int64_t first, std::int64_t pixels, double* dweights,
              double* dbias) {
  const PixelLinearRun<T> run = given;
  for (std::int64_t p = first; p < first + pixels; p += kPixelsPerRun) {
    const std::int64_t end = p + kPixelsPerRun < first + pixels ? p + kPixelsPerRun : first + pixels;
    if (dweights != nullptr) {
      std::int64_t k = 0;
      for (; k + 2 <= run.outputs; k += 2) add_weights<T, 2>(run, p, end, k, dweights);
      if (k < run.outputs) add_weights<T, 1>(run, p, end, k, dweights);
    }
    if (dbias != nullptr) {
      for (std::int64_t i = p; i < end; ++i) {
        for (std::int64_t k = 0; k < run.outputs; ++k) dbias[k] += static_cast<double>(run.dy[i * run.outputs + k]);
      }
    }
    if (run.dx != nullptr) write_dx(run, p, end);
  }
  if (run.stream_dx) fence();
}

template <class T>
constexpr PixelLinearLoops<T> loops() {
  return {forward<T>, backward<T>};
}

}  // namespace

const PixelLinearTable pixel_linear_loops = {loops<float>(), loops<double>(), loops<bf16>()};

}  // namespace unet::kernels::cpu::UNET_ISA
