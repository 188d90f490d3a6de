// The channels of a window's three columns lie side by side, in x and in the weights: a row of the window is one run of
// 3 C numbers, less at a border.
#include "kernels/cpu/isa/head_conv.h"

#include <type_traits>
#include <utility>

#include "kernels/cpu/isa/vec.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

// Pixels that the weights' gradient is summed over in the computing type before the sum goes to f64.
constexpr std::int64_t kPixelsPerRun = 64;

/// Pixels [begin, end) of a row, of whose windows the columns [left, right) lie in the image, and the rows [top,
/// bottom).
struct Span {
  std::int64_t begin, end;
  std::int64_t left, right;
  std::int64_t top, bottom;
};

/// Calls body(Span) for the pixels of a row: at the left border, in between and at the right one. At one place: body is
/// inlined there, a copy of all that it does.
template <class T, class Body>
[[gnu::always_inline]] inline void for_spans(const HeadConvRun<T>& run, std::int64_t row, Body body) {
  const std::int64_t W = run.width;
  Span span{};
  span.top = row % run.height == 0;
  span.bottom = (row + 1) % run.height == 0 ? 2 : 3;
  for (; span.begin < W; span.begin = span.end) {
    span.end = span.begin == 0 ? 1 : span.begin < W - 1 ? W - 1 : W;
    span.left = span.begin == 0;
    span.right = span.end == W ? 2 : 3;
    body(span);
  }
}

/// The first `count` elements of a vector, zero in the others.
template <class T>
[[gnu::always_inline]] inline Vector<T> first_of(const T* from, std::int64_t count) {
  if constexpr (std::is_same_v<Compute<T>, float>) {
    return load(from, static_cast<int>(count));
  } else {
    Compute<T> part[full_lanes<T>] = {};
    for (std::int64_t i = 0; i < count; ++i) part[i] = from[i];
    return load(part);
  }
}

/// Lane i of the result is the sum of two lanes of a or, where the bit S of i is set, of b.
template <class A, int N, int S, int... I>
[[gnu::always_inline]] inline Vector<A, N> folded(Vector<A, N> a, Vector<A, N> b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, ((I & S) == 0 ? I : N + I - S)...) +
         __builtin_shufflevector(a, b, ((I & S) == 0 ? I + S : N + I)...);
}

/// Lane m of the result is the sum of all lanes of v[m]; M a power of two, at most N. About three instructions a sum
/// where one vector after the other would take three for every halving.
template <class A, int N, int M, int S = 1>
[[gnu::always_inline]] inline Vector<A, M> sums_of(Vector<A, N> (&v)[M / S]) {
  if constexpr (S < M) {
    Vector<A, N> half[M / S / 2];
    for (int m = 0; m < M / S / 2; ++m) {
      half[m] = folded<A, N, S>(v[2 * m], v[2 * m + 1], std::make_integer_sequence<int, N>());
    }
    return sums_of<A, N, M, 2 * S>(half);
  } else if constexpr (N > M) {
    Vector<A, N / 2> half[2];
    __builtin_memcpy(half, &v[0], sizeof v[0]);
    Vector<A, N / 2> sum[1] = {half[0] + half[1]};
    return sums_of<A, N / 2, M, S>(sum);
  } else {
    return v[0];
  }
}

/// Outputs [k, k + K) of P pixels from w on.
template <class T, int K, int P>
[[gnu::always_inline]] inline void forward_group(const HeadConvRun<T>& run, std::int64_t row, const Span& span,
                                                 std::int64_t w, std::int64_t k) {
  using A = Compute<T>;
  constexpr int N = full_lanes<T>, M = P * K;
  const std::int64_t C = run.channels, length = (span.right - span.left) * C;
  Vector<T> sums[M] = {};
  for (std::int64_t i = span.top; i < span.bottom; ++i) {
    const T* x = run.x + ((row + i - 1) * run.width + w + span.left - 1) * C;
    const A* weights = run.weights + (k * 9 + i * 3 + span.left) * C;
    const auto add = [&](auto&& of_x, auto&& of_weights) __attribute__((always_inline)) {
      Vector<T> weight[K];
      for (int j = 0; j < K; ++j) weight[j] = of_weights(weights + j * 9 * C);
      for (int p = 0; p < P; ++p) {
        const Vector<T> pixel = of_x(x + p * C);
        for (int j = 0; j < K; ++j) sums[p * K + j] = fma(pixel, weight[j], sums[p * K + j]);
      }
    };
    std::int64_t e = 0;
    for (; e + N <= length; e += N) {
      add([e](const T* from) { return load<T>(from + e); }, [e](const A* from) { return load<A>(from + e); });
    }
    if (const std::int64_t rest = length - e; rest > 0) {
      add([&](const T* from) { return first_of<T>(from + e, rest); },
          [&](const A* from) { return first_of<A>(from + e, rest); });
    }
  }
  A sum[M];
  const Vector<A, M> all = sums_of<A, N, M>(sums);
  __builtin_memcpy(sum, &all, sizeof sum);
  A* y = run.y + (row * run.width + w) * run.outputs + k;
  for (int p = 0; p < P; ++p) {
    for (int j = 0; j < K; ++j) {
      y[p * run.outputs + j] = run.bias == nullptr ? sum[p * K + j] : sum[p * K + j] + run.bias[k + j];
    }
  }
}

template <class T, int K>
[[gnu::always_inline]] inline void forward_outputs(const HeadConvRun<T>& run, std::int64_t row, const Span& span,
                                                   std::int64_t k) {
  constexpr int P = full_lanes<T> / K;
  std::int64_t w = span.begin;
  for (; w + P <= span.end; w += P) forward_group<T, K, P>(run, row, span, w, k);
  for (; w < span.end; ++w) forward_group<T, K, 1>(run, row, span, w, k);
}

template <class T>
void forward(const HeadConvRun<T>& given, std::int64_t row) {
  const HeadConvRun<T> run = given;
  for_spans(
      run, row, [&](const Span& span) __attribute__((always_inline)) {
        std::int64_t k = 0;
        for (; k + 2 <= run.outputs; k += 2) forward_outputs<T, 2>(run, row, span, k);
        if (k < run.outputs) forward_outputs<T, 1>(run, row, span, k);
      });
}

/// dx of P pixels from w on: N channels from c on. What a window's row i and column j gave to y, y's gradient gives
/// back through the weights of row 2 - i and column 2 - j.
template <class T, int N, int P>
[[gnu::always_inline]] inline void dx_group(const HeadConvRun<T>& run, std::int64_t row, const Span& span,
                                            std::int64_t w, std::int64_t c) {
  using A = Compute<T>;
  const std::int64_t C = run.channels, K = run.outputs;
  Vector<T, N> sums[P] = {};
  for (std::int64_t i = span.top; i < span.bottom; ++i) {
    for (std::int64_t j = span.left; j < span.right; ++j) {
      const A* dy = run.dy + ((row + i - 1) * run.width + w + j - 1) * K;
      const A* weights = run.weights + ((2 - i) * 3 + 2 - j) * C + c;
      for (std::int64_t k = 0; k < K; ++k) {
        const Vector<T, N> weight = load<A, N>(weights + k * 9 * C);
        for (int p = 0; p < P; ++p) sums[p] = fma(broadcast<A, N>(dy[p * K + k]), weight, sums[p]);
      }
    }
  }
  T* dx = run.dx + (row * run.width + w) * C + c;
  for (int p = 0; p < P; ++p) put<T, N>(dx + p * C, sums[p], run.stream_dx);
}

template <class T>
void write_dx(const HeadConvRun<T>& run, std::int64_t row, const Span& span) {
  constexpr int P = 8;
  std::int64_t w = span.begin;
  for (; w + P <= span.end; w += P) {
    for_channels<T>(
        run.channels, [&](auto n, std::int64_t c)
                          __attribute__((always_inline)) { dx_group<T, n.count, P>(run, row, span, w, c); });
  }
  for (; w < span.end; ++w) {
    for_channels<T>(
        run.channels, [&](auto n, std::int64_t c)
                          __attribute__((always_inline)) { dx_group<T, n.count, 1>(run, row, span, w, c); });
  }
}

/// to[n] += v[n], in double.
template <class A, int N>
[[gnu::always_inline]] inline void add_to(double* to, Vector<A, N> v) {
  if constexpr (N == 1) {
    *to += static_cast<double>(v);
  } else if constexpr (N > full_lanes<double>) {
    Vector<A, N / 2> half[2];
    __builtin_memcpy(half, &v, sizeof v);
    add_to<A, N / 2>(to, half[0]);
    add_to<A, N / 2>(to + N / 2, half[1]);
  } else {
    store<double, N>(to, load<double, N>(to) + __builtin_convertvector(v, Vector<double, N>));
  }
}

/// Adds what the pixels of span give to the weights of outputs [k, k + K), row i, V vectors from e on of those of the
/// span's columns.
template <class T, int N, int K, int V>
[[gnu::always_inline]] inline void add_products(const HeadConvRun<T>& run, std::int64_t row, const Span& span,
                                                std::int64_t i, std::int64_t k, std::int64_t e, double* dweights) {
  using A = Compute<T>;
  const std::int64_t C = run.channels;
  const T* x = run.x + ((row + i - 1) * run.width + span.begin + span.left - 1) * C + e;
  const A* dy = run.dy + (row * run.width + span.begin) * run.outputs + k;
  Vector<T, N> sums[K][V] = {};
  for (std::int64_t w = span.begin; w < span.end; ++w, x += C, dy += run.outputs) {
    for (int v = 0; v < V; ++v) {
      const Vector<T, N> values = load<T, N>(x + v * N);
      for (int j = 0; j < K; ++j) sums[j][v] = fma(broadcast<A, N>(dy[j]), values, sums[j][v]);
    }
  }
  for (int j = 0; j < K; ++j) {
    for (int v = 0; v < V; ++v) {
      add_to<A, N>(dweights + ((k + j) * 9 + i * 3 + span.left) * C + e + v * N, sums[j][v]);
    }
  }
}

template <class T, int K>
void add_weights(const HeadConvRun<T>& run, std::int64_t row, const Span& span, std::int64_t k, double* dweights) {
  constexpr int N = full_lanes<T>, quarter = N / 4;
  const std::int64_t length = (span.right - span.left) * run.channels;
  for (std::int64_t i = span.top; i < span.bottom; ++i) {
    std::int64_t e = 0;
    for (; e + 3 * N <= length; e += 3 * N) add_products<T, N, K, 3>(run, row, span, i, k, e, dweights);
    for (; e + N <= length; e += N) add_products<T, N, K, 1>(run, row, span, i, k, e, dweights);
    if constexpr (quarter > 1) {
      for (; e + quarter <= length; e += quarter) add_products<T, quarter, K, 1>(run, row, span, i, k, e, dweights);
    }
    for (; e < length; ++e) add_products<T, 1, K, 1>(run, row, span, i, k, e, dweights);
  }
}

template <class T>
void backward(const HeadConvRun<T>& given, std::int64_t row, double* dweights) {
  const HeadConvRun<T> run = given;
  for_spans(
      run, row, [&](const Span& whole) __attribute__((always_inline)) {
        for (Span span = whole; span.begin < whole.end; span.begin = span.end) {
          span.end = span.begin + kPixelsPerRun < whole.end ? span.begin + kPixelsPerRun : whole.end;
          if (dweights != nullptr) {
            std::int64_t k = 0;
            for (; k + 2 <= run.outputs; k += 2) add_weights<T, 2>(run, row, span, k, dweights);
            if (k < run.outputs) add_weights<T, 1>(run, row, span, k, dweights);
          }
          if (run.dx != nullptr) write_dx(run, row, span);
        }
      });
  if (run.stream_dx) fence();
}

template <class T>
constexpr HeadConvLoops<T> loops() {
  return {forward<T>, backward<T>};
}

}  // namespace

const HeadConvTable head_conv_loops = {loops<float>(), loops<double>(), loops<bf16>()};

}  // namespace unet::kernels::cpu::UNET_ISA
