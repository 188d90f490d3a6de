// What the passes of norm_act share: operands, and the one expression of z.
#pragma once

#include "kernels/cuda/groups.h"
#include "kernels/cuda/reduce.h"
#include "kernels/norm_act.h"

namespace unet::kernels::cuda {

template <class T>
struct NormActRun {
  Groups groups;
  const float *gamma, *beta, *mean, *rstd;
  // Backward: dbeta / M and rstd * dgamma / M, the ways through the statistics; null: the statistics are constants.
  const float *through_mean, *through_deviation;
  float floor;  // of y: 0 or, without ReLU, NaN, below which nothing is
  const T *x, *residual, *dy, *dpooled;
  std::int64_t x_pitch, residual_pitch, dy_pitch, dpooled_pitch;
  T *y, *pooled, *dx, *dresidual;
  std::int64_t y_pitch, pooled_pitch, dx_pitch, dresidual_pitch;
};

/// The cut of the passes that leave partial results (statistics, reduction).
inline Tile norm_act_reducing_tile(const Extent& x, int lanes, bool windows) {
  return reducing_tile(group_items(x, windows), x.c() / lanes, items_together(windows));
}

/// Channels whose constants a thread holds at a time. They are loaded again for every group, from the first cache: in
/// registers, those of 8 channels would leave room for half as many threads.
template <int N>
inline constexpr int kChannelsAtOnce = N < 4 ? N : 4;

/// M numbers of a [channels] vector; channel is a multiple of M.
template <int M>
struct PerChannel {
  float of[M];

  __device__ PerChannel(const float* vector, int channel) {
    if constexpr (M == 4) {
      const float4 got = *reinterpret_cast<const float4*>(vector + channel);
      of[0] = got.x;
      of[1] = got.y;
      of[2] = got.z;
      of[3] = got.w;
    } else {
      for (int k = 0; k < M; ++k) of[k] = vector[channel + k];
    }
  }
  __device__ float operator[](int k) const { return of[k]; }
};

/// z = gamma * rstd * (x - mean) + beta + residual. Backward finds the ReLU's mask and the pool's winner again from z,
/// so all passes have to get the same bits: one fused multiply-add here, and nothing beside it that a compiler could
/// fuse in one pass and not in another.
template <int M>
struct Normalised {
  PerChannel<M> mean, rstd, gamma, beta;

  template <class T>
  __device__ Normalised(const NormActRun<T>& run, int channel)
      : mean(run.mean, channel), rstd(run.rstd, channel), gamma(run.gamma, channel), beta(run.beta, channel) {}

  __device__ float scale(int k) const { return gamma[k] * rstd[k]; }
  __device__ float centred(int k, float x) const { return x - mean[k]; }
  __device__ float z(int k, float centred_x, float residual) const {
    return fmaf(centred_x, scale(k), beta[k]) + residual;
  }
};

__device__ inline float activated(float z, float floor) { return z < floor ? floor : z; }

/// Calls body(first, Normalised) for the channels of a chunk, a few at a time.
template <int N, class T, class Body>
__device__ inline void for_channels(const NormActRun<T>& run, int channel, Body&& body) {
  constexpr int M = kChannelsAtOnce<N>;
#pragma unroll
  for (int first = 0; first < N; first += M) body(first, Normalised<M>(run, channel + first));
}

}  // namespace unet::kernels::cuda
