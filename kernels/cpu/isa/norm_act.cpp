#include "kernels/cpu/isa/norm_act.h"

#include "kernels/cpu/isa/vec.h"
#include "kernels/cpu/isa/window.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

// Sums are kept in the computing type for so many pixels, then added to the f64 sums.
constexpr int kPixelsPerRun = 64;

/// Pixels that are treated together: one; or four that share the loads of gamma, beta, ...: four neighbours of a row or
/// the cells of a 2x2 window (pooled >= 0: the window's pixel in pooled).
template <int P>
struct Group {
  static constexpr int count = P;
  std::int64_t pixel[P];
  std::int64_t pooled;
};

/// Whether to take neighbours four at a time. Only narrow pixels: with wide ones the machine's prefetcher would see
/// four runs instead of one and lose half of its speed.
template <class T>
[[gnu::always_inline]] inline bool four_together(std::int64_t channels) {
  return channels * static_cast<std::int64_t>(sizeof(T)) <= 128;
}

/// Calls body(Group) for two rows by the cells of 2x2 windows; for one row by four neighbours where `four` says so; for
/// what is left over pixel by pixel. Each kind at one place: body is inlined there, a copy of all that it does.
template <class Body>
[[gnu::always_inline]] inline void for_groups(const NormActRows& rows, bool four, Body body) {
  const bool windows = rows.rows == 2;
  const std::int64_t across = windows ? 2 : 4;          // a group's pixels in a row
  const std::int64_t third = windows ? rows.width : 2;  // from its first pixel to its third
  const std::int64_t groups = windows || four ? rows.width / across : 0;
  for (std::int64_t i = 0; i < groups; ++i) {
    const std::int64_t p = rows.first + across * i;
    body(Group<4>{{p, p + 1, p + third, p + third + 1}, windows ? rows.pooled + i : -1});
  }
  for (std::int64_t row = 0; row < rows.rows; ++row) {
    for (std::int64_t w = across * groups; w < rows.width; ++w) body(Group<1>{{rows.first + row * rows.width + w}, -1});
  }
}

/// Adds the sums of a run to the f64 sums and clears them.
template <class T>
[[gnu::noinline]] void end_run(std::int64_t channels, const NormActSums<T>& sums) {
  for (std::int64_t c = 0; c < channels; ++c) {
    sums.first[c] += static_cast<double>(sums.run_first[c]);
    sums.second[c] += static_cast<double>(sums.run_second[c]);
    sums.run_first[c] = 0;
    sums.run_second[c] = 0;
  }
}

template <class T>
void clear_run(std::int64_t channels, const NormActSums<T>& sums) {
  for (std::int64_t c = 0; c < channels; ++c) sums.run_first[c] = sums.run_second[c] = 0;
}

// ---- statistics
// ------------------------------------------------------------------------------------------------------

/// sum + the products of P pixels, which are added among themselves first.
template <class V, int P>
[[gnu::always_inline]] inline V add_products(V sum, const V (&a)[P], const V (&b)[P]) {
  if constexpr (P == 1) {
    return fma(a[0], b[0], sum);
  } else {
    V products = fma(a[0], b[0], a[1] * b[1]);
    for (int k = 2; k < P; ++k) products = fma(a[k], b[k], products);
    return sum + products;
  }
}

template <class T, int N, int P>
[[gnu::always_inline]] inline void add_moments(const NormActRun<T>& run, const NormActSums<T>& sums,
                                               const Group<P>& group, std::int64_t c) {
  using A = Compute<T>;
  using V = Vector<T, N>;
  const V shift = load<A, N>(sums.shift + c);
  V x[P];
  for (int k = 0; k < P; ++k) x[k] = load<T, N>(run.x + group.pixel[k] * run.x_pitch + c) - shift;
  store<A, N>(sums.run_second + c, add_products(load<A, N>(sums.run_second + c), x, x));
  for (int step = P / 2; step > 0; step /= 2) {
    for (int k = 0; k < step; ++k) x[k] += x[k + step];
  }
  store<A, N>(sums.run_first + c, load<A, N>(sums.run_first + c) + x[0]);
}

/// Adds a run of `pixels` pixels to the block's sums of x - origin and (x - origin)^2, and takes its mean as the next
/// shift.
template <class T>
[[gnu::noinline]] void end_moments_run(std::int64_t channels, std::int64_t pixels, const NormActSums<T>& sums) {
  const auto n = static_cast<double>(pixels);
  const double share = 1 / n;
  for (std::int64_t c = 0; c < channels; ++c) {
    const double shift = static_cast<double>(sums.shift[c]) - static_cast<double>(sums.origin[c]);
    const auto sum = static_cast<double>(sums.run_first[c]);
    sums.first[c] += fma(n, shift, sum);
    sums.second[c] += fma(shift, fma(n, shift, 2 * sum), static_cast<double>(sums.run_second[c]));
    sums.shift[c] += static_cast<Compute<T>>(sum * share);
    sums.run_first[c] = sums.run_second[c] = 0;
  }
}

/// V whole vectors of a run's pixels, from channel c on, with the sums in registers.
template <class T, int V>
void add_moments_in_registers(const NormActRun<T>& run, std::int64_t begin, std::int64_t end, std::int64_t c,
                              const NormActSums<T>& sums) {
  using A = Compute<T>;
  constexpr int N = full_lanes<T>;
  Vector<T, N> shift[V];
  Vector<T, N> sum[V] = {};
  Vector<T, N> square[V] = {};
  for (int v = 0; v < V; ++v) shift[v] = load<A, N>(sums.shift + c + v * N);
  for (std::int64_t p = begin; p < end; ++p) {
    const T* pixel = run.x + p * run.x_pitch + c;
    for (int v = 0; v < V; ++v) {
      const Vector<T, N> x = load<T, N>(pixel + v * N) - shift[v];
      sum[v] += x;
      square[v] = fma(x, x, square[v]);
    }
  }
  for (int v = 0; v < V; ++v) store<A, N>(sums.run_first + c + v * N, sum[v]);
  for (int v = 0; v < V; ++v) store<A, N>(sums.run_second + c + v * N, square[v]);
}

/// The channels from `tail` on, with the sums in memory.
template <class T>
void add_moments_in_memory(const NormActRun<T>& given, std::int64_t begin, std::int64_t end, std::int64_t tail,
                           const NormActSums<T>& given_sums) {
  const NormActRun<T> run = given;  // copies, which the stores below cannot seem to change
  const NormActSums<T> sums = given_sums;
  const auto add = [&](const auto& group) __attribute__((always_inline)) {
    for_channels<T>(
        run.channels - tail, [&](auto n, std::int64_t c) __attribute__((always_inline)) {
          add_moments<T, n.count>(run, sums, group, tail + c);
        });
  };
  for_groups({begin, end - begin, 1, -1}, four_together<T>(run.channels), add);
}

template <class T>
void add_moments_run(const NormActRun<T>& run, std::int64_t begin, std::int64_t end, const NormActSums<T>& sums) {
  constexpr int N = full_lanes<T>;
  std::int64_t c = 0;
  for (; c + 8 * N <= run.channels; c += 8 * N) add_moments_in_registers<T, 8>(run, begin, end, c, sums);
  for (; c + 4 * N <= run.channels; c += 4 * N) add_moments_in_registers<T, 4>(run, begin, end, c, sums);
  for (; c + N <= run.channels; c += N) add_moments_in_registers<T, 1>(run, begin, end, c, sums);
  if (c < run.channels) add_moments_in_memory(run, begin, end, c, sums);
  end_moments_run(run.channels, end - begin, sums);
}

// Values are taken relative to the mean of the run before, so that neither a mean far from 0 nor an outlier costs
// digits of the computing type. The first pixels, relative to 0, give the first shift: the origin of the block's sums.
template <class T>
void moments(const NormActRun<T>& run, std::int64_t first, std::int64_t pixels, const NormActSums<T>& sums) {
  const std::int64_t C = run.channels;
  clear_run(C, sums);
  for (std::int64_t c = 0; c < C; ++c) sums.shift[c] = sums.origin[c] = 0;
  add_moments_run(run, first, first + (pixels < 16 ? pixels : 16), sums);
  for (std::int64_t c = 0; c < C; ++c) {
    sums.origin[c] = sums.shift[c];
    sums.first[c] = sums.second[c] = 0;
  }
  const std::int64_t end = first + pixels;
  for (std::int64_t p = first; p < end; p += kPixelsPerRun) {
    add_moments_run(run, p, p + kPixelsPerRun < end ? p + kPixelsPerRun : end, sums);
  }
  const auto n = static_cast<double>(pixels);
  for (std::int64_t c = 0; c < C; ++c) {
    const double offset = sums.first[c] / n;
    sums.second[c] = fnma(offset, sums.first[c], sums.second[c]);
    sums.first[c] = static_cast<double>(sums.origin[c]) + offset;
  }
}

// ---- what forward and backward share
// ---------------------------------------------------------------------------------

/// xhat and z of a group of pixels. The backward pass finds the mask and the pool's winner from the very bits that the
/// forward pass wrote, so this is the only place where z is computed.
template <class T, int N, int P>
struct Normalised {
  using V = Vector<T, N>;
  V gamma, rstd, xhat[P], z[P];

  [[gnu::always_inline]] Normalised(const NormActRun<T>& run, const Group<P>& group, std::int64_t c) {
    using A = Compute<T>;
    const V mean = load<A, N>(run.mean + c);
    const V beta = load<A, N>(run.beta + c);
    gamma = load<A, N>(run.gamma + c);
    rstd = load<A, N>(run.rstd + c);
    for (int k = 0; k < P; ++k) {
      xhat[k] = (load<T, N>(run.x + group.pixel[k] * run.x_pitch + c) - mean) * rstd;
      z[k] = fma(xhat[k], gamma, beta);
    }
    if (run.residual != nullptr) {
      for (int k = 0; k < P; ++k) z[k] += load<T, N>(run.residual + group.pixel[k] * run.residual_pitch + c);
    }
  }

  [[gnu::always_inline]] V y(int k, V floor) const { return (z[k] < floor) ? floor : z[k]; }
};

/// dz of a group: the gradient that comes down from y and from the pooled output, where the ReLU was open.
template <class T, int N, int P>
[[gnu::always_inline]] inline void gradient(const NormActRun<T>& run, const Group<P>& group, std::int64_t c,
                                            const Normalised<T, N, P>& of, Vector<T, N> (&dz)[P]) {
  using V = Vector<T, N>;
  const V floor = broadcast<Compute<T>, N>(run.floor);
  const V zero = broadcast<Compute<T>, N>(0);
  for (int k = 0; k < P; ++k) {
    dz[k] = zero;
    if (run.dy == nullptr) continue;
    const T* dy = run.dy + group.pixel[k] * run.dy_pitch + c;
    prefetch(dy, run.dy_ahead);
    dz[k] = load<T, N>(dy);
  }
  if constexpr (P == 4) {
    if (run.dpooled != nullptr && group.pooled >= 0) {
      V y[P];  // as it is stored, since the pool chooses among stored values
      for (int k = 0; k < P; ++k) y[k] = rounded<T, N>(of.y(k, floor));
      add_to_winner(y, load<T, N>(run.dpooled + group.pooled * run.dpooled_pitch + c), dz);
    }
  }
  for (int k = 0; k < P; ++k) dz[k] = (of.z[k] <= floor) ? zero : dz[k];
}

// ---- the three passes
// ------------------------------------------------------------------------------------------------

template <class T, int N, int P>
[[gnu::always_inline]] inline void forward_group(const NormActRun<T>& run, const Group<P>& group, std::int64_t c) {
  using V = Vector<T, N>;
  const Normalised<T, N, P> of(run, group, c);
  const V floor = broadcast<Compute<T>, N>(run.floor);
  V y[P];
  for (int k = 0; k < P; ++k) y[k] = of.y(k, floor);
  if (run.y != nullptr) {
    for (int k = 0; k < P; ++k) put<T, N>(run.y + group.pixel[k] * run.y_pitch + c, y[k], run.stream_y);
  }
  if constexpr (P == 4) {
    if (group.pooled >= 0) store<T, N>(run.pooled + group.pooled * run.pooled_pitch + c, maximum(y));
  }
}

template <class T, int N, int P>
[[gnu::always_inline]] inline void reduce_group(const NormActRun<T>& run, const Group<P>& group, std::int64_t c,
                                                const NormActSums<T>& sums) {
  using A = Compute<T>;
  using V = Vector<T, N>;
  const Normalised<T, N, P> of(run, group, c);
  V dz[P];
  gradient<T, N, P>(run, group, c, of, dz);
  store<A, N>(sums.run_second + c, add_products(load<A, N>(sums.run_second + c), dz, of.xhat));
  for (int step = P / 2; step > 0; step /= 2) {
    for (int k = 0; k < step; ++k) dz[k] += dz[k + step];
  }
  store<A, N>(sums.run_first + c, load<A, N>(sums.run_first + c) + dz[0]);
}

template <class T, int N, int P>
[[gnu::always_inline]] inline void apply_group(const NormActRun<T>& run, const Group<P>& group, std::int64_t c) {
  using A = Compute<T>;
  using V = Vector<T, N>;
  const Normalised<T, N, P> of(run, group, c);
  V dz[P];
  gradient<T, N, P>(run, group, c, of, dz);
  if (run.dresidual != nullptr) {
    for (int k = 0; k < P; ++k) store<T, N>(run.dresidual + group.pixel[k] * run.dresidual_pitch + c, dz[k]);
  }
  if (run.dx != nullptr) {
    const V scale = of.gamma * of.rstd;
    const V dbeta_mean = load<A, N>(run.dbeta_mean + c);
    const V dgamma_mean = load<A, N>(run.dgamma_mean + c);
    for (int k = 0; k < P; ++k) {
      const V dx = scale * fnma(of.xhat[k], dgamma_mean, dz[k] - dbeta_mean);
      put<T, N>(run.dx + group.pixel[k] * run.dx_pitch + c, dx, run.stream_dx);
    }
  }
}

template <class T>
void forward(const NormActRun<T>& given, const NormActRows& rows) {
  const NormActRun<T> run = given;
  for_groups(
      rows, four_together<T>(run.channels), [&](const auto& group) __attribute__((always_inline)) {
        for_channels<T>(
            run.channels, [&](auto n, std::int64_t c)
                              __attribute__((always_inline)) { forward_group<T, n.count>(run, group, c); });
      });
  if (run.stream_y) fence();
}

template <class T>
void reduce(const NormActRun<T>& given, const NormActRows& rows, const NormActSums<T>& given_sums) {
  const NormActRun<T> run = given;
  const NormActSums<T> sums = given_sums;
  clear_run(run.channels, sums);
  int pixels = 0;
  for_groups(
      rows, four_together<T>(run.channels), [&](const auto& group) __attribute__((always_inline)) {
        for_channels<T>(
            run.channels, [&](auto n, std::int64_t c)
                              __attribute__((always_inline)) { reduce_group<T, n.count>(run, group, c, sums); });
        pixels += group.count;
        if (pixels < kPixelsPerRun) return;
        end_run(run.channels, sums);
        pixels = 0;
      });
  end_run(run.channels, sums);
}

template <class T>
void apply(const NormActRun<T>& given, const NormActRows& rows) {
  const NormActRun<T> run = given;
  for_groups(
      rows, four_together<T>(run.channels), [&](const auto& group) __attribute__((always_inline)) {
        for_channels<T>(
            run.channels, [&](auto n, std::int64_t c)
                              __attribute__((always_inline)) { apply_group<T, n.count>(run, group, c); });
      });
  if (run.stream_dx) fence();
}

template <class T>
constexpr NormActLoops<T> loops() {
  return {moments<T>, forward<T>, reduce<T>, apply<T>};
}

}  // namespace

const NormActTable norm_act_loops = {loops<float>(), loops<double>(), loops<bf16>()};

}  // namespace unet::kernels::cpu::UNET_ISA
