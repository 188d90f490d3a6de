#include "kernels/cpu/isa/norm_act.h"

#include "kernels/cpu/isa/lanes.h"
#include "kernels/cpu/isa/window.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

// Sums are kept in the computing type for so many groups of four pixels, then added to the f64 sums.
constexpr int groups_per_run = 16;

/// Four pixels at a time share the loads of gamma, beta, ...: they are four neighbours of a row or the cells of a 2x2
/// window (pooled >= 0: the window's pixel in pooled). P = 1: what is left at the edges.
template <int P>
struct Group {
  std::int64_t pixel[P];
  std::int64_t pooled;
};

template <class Body>
[[gnu::always_inline]] inline void single_pixels(std::int64_t first, std::int64_t end, Body& body) {
  for (std::int64_t p = first; p < end; ++p) body(Group<1>{{p}, -1});
}

template <class Body>
[[gnu::always_inline]] inline void for_groups(const NormActRows& rows, Body body) {
  const std::int64_t first = rows.first;
  const std::int64_t width = rows.width;
  if (rows.rows == 1) {
    const std::int64_t whole = width / 4 * 4;
    for (std::int64_t p = first; p < first + whole; p += 4) body(Group<4>{{p, p + 1, p + 2, p + 3}, -1});
    single_pixels(first + whole, first + width, body);
    return;
  }
  for (std::int64_t i = 0; i < width / 2; ++i) {
    const std::int64_t p = first + 2 * i;
    body(Group<4>{{p, p + 1, p + width, p + width + 1}, rows.pooled + i});
  }
  if (width % 2 != 0) {
    single_pixels(first + width - 1, first + width, body);
    single_pixels(first + 2 * width - 1, first + 2 * width, body);
  }
}

/// Adds the sums of a run to the f64 sums and clears them.
template <class T>
void end_run(std::int64_t channels, const NormActSums<T>& sums) {
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

template <class T, int N, int P>
[[gnu::always_inline]] inline void add_moments(const NormActRun<T>& run, const NormActSums<T>& sums, std::int64_t p,
                                               std::int64_t c) {
  using A = Compute<T>;
  using V = Vector<T, N>;
  const V shift = load<A, N>(sums.shift + c);
  V sum[P];
  V square[P];
  for (int k = 0; k < P; ++k) {
    sum[k] = load<T, N>(run.x + (p + k) * run.x_pitch + c) - shift;
    square[k] = sum[k] * sum[k];
  }
  for (int step = P / 2; step > 0; step /= 2) {
    for (int k = 0; k < step; ++k) {
      sum[k] += sum[k + step];
      square[k] += square[k + step];
    }
  }
  store<A, N>(sums.run_first + c, load<A, N>(sums.run_first + c) + sum[0]);
  store<A, N>(sums.run_second + c, load<A, N>(sums.run_second + c) + square[0]);
}

/// Adds a run of `pixels` pixels to the block's sums of x - origin and (x - origin)^2, and takes its mean as the next
/// shift.
template <class T>
void end_moments_run(std::int64_t channels, std::int64_t pixels, const NormActSums<T>& sums) {
  const auto n = static_cast<double>(pixels);
  for (std::int64_t c = 0; c < channels; ++c) {
    const double shift = static_cast<double>(sums.shift[c]) - static_cast<double>(sums.origin[c]);
    const auto sum = static_cast<double>(sums.run_first[c]);
    sums.first[c] += sum + n * shift;
    sums.second[c] += static_cast<double>(sums.run_second[c]) + shift * (2 * sum + n * shift);
    sums.shift[c] += static_cast<Compute<T>>(sum / n);
    sums.run_first[c] = sums.run_second[c] = 0;
  }
}

// Values are taken relative to the mean of the run before, so that neither a mean far from 0 nor an outlier costs
// digits of the computing type. The first pixels, relative to 0, give the first shift.
template <class T>
void moments(const NormActRun<T>& run, std::int64_t first, std::int64_t pixels, const NormActSums<T>& sums) {
  const std::int64_t C = run.channels;
  clear_run(C, sums);
  for (std::int64_t c = 0; c < C; ++c) sums.shift[c] = sums.origin[c] = 0;
  const auto single = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      for_channels<T>(C, [&](auto lanes, std::int64_t c) { add_moments<T, lanes.count, 1>(run, sums, p, c); });
    }
  };
  const std::int64_t few = pixels < 16 ? pixels : 16;
  single(first, first + few);
  end_moments_run(C, few, sums);
  for (std::int64_t c = 0; c < C; ++c) {
    sums.origin[c] = sums.shift[c];
    sums.first[c] = sums.second[c] = 0;
  }

  const std::int64_t whole = first + pixels / 4 * 4;
  for (std::int64_t begin = first; begin < whole; begin += 4 * groups_per_run) {
    const std::int64_t end = begin + 4 * groups_per_run < whole ? begin + 4 * groups_per_run : whole;
    for (std::int64_t p = begin; p < end; p += 4) {
      for_channels<T>(C, [&](auto lanes, std::int64_t c) { add_moments<T, lanes.count, 4>(run, sums, p, c); });
    }
    end_moments_run(C, end - begin, sums);
  }
  if (whole < first + pixels) {
    single(whole, first + pixels);
    end_moments_run(C, first + pixels - whole, sums);
  }
  const auto n = static_cast<double>(pixels);
  for (std::int64_t c = 0; c < C; ++c) {
    const double offset = sums.first[c] / n;
    sums.second[c] -= offset * sums.first[c];
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
      z[k] = xhat[k] * gamma + beta;
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
    dz[k] = run.dy != nullptr ? load<T, N>(run.dy + group.pixel[k] * run.dy_pitch + c) : zero;
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
  V dgamma[P];
  for (int k = 0; k < P; ++k) dgamma[k] = dz[k] * of.xhat[k];
  for (int step = P / 2; step > 0; step /= 2) {
    for (int k = 0; k < step; ++k) {
      dz[k] += dz[k + step];
      dgamma[k] += dgamma[k + step];
    }
  }
  store<A, N>(sums.run_first + c, load<A, N>(sums.run_first + c) + dz[0]);
  store<A, N>(sums.run_second + c, load<A, N>(sums.run_second + c) + dgamma[0]);
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
      const V dx = scale * (dz[k] - dbeta_mean - of.xhat[k] * dgamma_mean);
      put<T, N>(run.dx + group.pixel[k] * run.dx_pitch + c, dx, run.stream_dx);
    }
  }
}

template <class T>
void forward(const NormActRun<T>& given, const NormActRows& rows) {
  const NormActRun<T> run = given;
  for_groups(
      rows, [&](const auto& group) __attribute__((always_inline)) {
        for_channels<T>(
            run.channels, [&](auto lanes, std::int64_t c)
                              __attribute__((always_inline)) { forward_group<T, lanes.count>(run, group, c); });
      });
  if (run.stream_y) end_of_streams();
}

template <class T>
void reduce(const NormActRun<T>& given, const NormActRows& rows, const NormActSums<T>& sums) {
  const NormActRun<T> run = given;
  clear_run(run.channels, sums);
  int groups = 0;
  for_groups(
      rows, [&](const auto& group) __attribute__((always_inline)) {
        for_channels<T>(
            run.channels, [&](auto lanes, std::int64_t c)
                              __attribute__((always_inline)) { reduce_group<T, lanes.count>(run, group, c, sums); });
        if (++groups % groups_per_run == 0) end_run(run.channels, sums);
      });
  end_run(run.channels, sums);
}

template <class T>
void apply(const NormActRun<T>& given, const NormActRows& rows) {
  const NormActRun<T> run = given;
  for_groups(
      rows, [&](const auto& group) __attribute__((always_inline)) {
        for_channels<T>(
            run.channels, [&](auto lanes, std::int64_t c)
                              __attribute__((always_inline)) { apply_group<T, lanes.count>(run, group, c); });
      });
  if (run.stream_dx) end_of_streams();
}

template <class T>
constexpr NormActLoops<T> loops() {
  return {moments<T>, forward<T>, reduce<T>, apply<T>};
}

}  // namespace

const NormActTable norm_act_loops = {loops<float>(), loops<double>(), loops<bf16>()};

}  // namespace unet::kernels::cpu::UNET_ISA
