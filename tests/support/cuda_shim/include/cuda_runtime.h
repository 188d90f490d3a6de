// The part of CUDA's <cuda_runtime.h> that the kernels use, for the CPU: the threads of a block are fibers
// (tests/support/cuda_shim/fibers.h).
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
// One for all blocks, which run one after another. Declared in kernels themselves: shared_memory.cpp finds them there.
#define __shared__ static
#define __launch_bounds__(...)

struct uint2 {
  unsigned x, y;
};
struct uint3 {
  unsigned x, y, z;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

inline constexpr int warpSize = 32;
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;

namespace unet::shim {

/// Returns when every thread of the block has called it.
void block_barrier();
/// Gives this thread's value to its warp and returns that of `lane` (its own if there is no such lane), once every
/// thread of the warp has called it. mask: all lanes.
std::uint64_t exchange(std::uint64_t value, unsigned mask, unsigned lane);

template <class T>
T exchange_as(unsigned mask, T value, unsigned lane) {
  static_assert(sizeof(T) <= 8);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange(bits, mask, lane);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline unsigned own_lane() { return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % warpSize; }

}  // namespace unet::shim

inline void __syncthreads() { unet::shim::block_barrier(); }
inline void __syncwarp(unsigned mask = 0xffffffff) { unet::shim::exchange_as(mask, 0, unet::shim::own_lane()); }
inline void __threadfence() {}

// Lanes that are not there, or the upper end of a shift, get their own value, as on the device.
template <class T>
T __shfl_sync(unsigned mask, T value, int lane) {
  return unet::shim::exchange_as(mask, value, static_cast<unsigned>(lane) % warpSize);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  return unet::shim::exchange_as(mask, value, unet::shim::own_lane() ^ static_cast<unsigned>(lanes));
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned lanes) {
  const unsigned own = unet::shim::own_lane();
  return unet::shim::exchange_as(mask, value, own + lanes < warpSize ? own + lanes : own);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned lanes) {
  const unsigned own = unet::shim::own_lane();
  return unet::shim::exchange_as(mask, value, own >= lanes ? own - lanes : own);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  unsigned out = 0;
  for (int lane = 0; lane < warpSize; ++lane) {
    out |= unet::shim::exchange_as(mask, unsigned{predicate != 0}, static_cast<unsigned>(lane)) << lane;
  }
  return out;
}

// Whole numbers only: the sum of floats in an order of chance is nothing that a kernel here may use.
template <class T>
T atomicAdd(T* to, T value) {
  static_assert(std::is_integral_v<T>);
  const T before = *to;
  *to = static_cast<T>(before + value);
  return before;
}
template <class T>
T atomicMax(T* to, T value) {
  static_assert(std::is_integral_v<T>);
  const T before = *to;
  *to = before < value ? value : before;
  return before;
}
template <class T>
T atomicOr(T* to, T value) {
  static_assert(std::is_integral_v<T>);
  const T before = *to;
  *to = before | value;
  return before;
}

inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __expf(float x) { return std::exp(x); }

using std::isfinite;
using std::isinf;
using std::isnan;

template <class A, class B>
std::common_type_t<A, B> min(A a, B b) {
  return b < a ? b : a;
}
template <class A, class B>
std::common_type_t<A, B> max(A a, B b) {
  return a < b ? b : a;
}
