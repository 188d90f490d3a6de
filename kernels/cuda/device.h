// What kernels are written in: storage types, and chunks of neighbouring elements that go to and from memory in one
// access. Computing is in float.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/view.h"

namespace unet::kernels::cuda {

__device__ inline float to_float(float stored) { return stored; }
__device__ inline float to_float(bf16 stored) { return __uint_as_float(std::uint32_t{stored.bits} << 16); }

/// Two neighbours as bf16, rounded to nearest even: one instruction from sm_80 on. `low` comes first in memory.
__device__ inline std::uint32_t pack_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return std::uint32_t{__bfloat16_as_ushort(pair.x)} | (std::uint32_t{__bfloat16_as_ushort(pair.y)} << 16);
}

template <class T>
__device__ T from_float(float value);
template <>
__device__ inline float from_float<float>(float value) {
  return value;
}
template <>
__device__ inline bf16 from_float<bf16>(float value) {
  return {__bfloat16_as_ushort(__float2bfloat16_rn(value))};
}

/// Both as T stores them.
template <class T>
__device__ inline void round_pair(float& a, float& b) {
  if constexpr (sizeof(T) == 2) {
    const std::uint32_t pair = pack_bf16(a, b);
    a = __uint_as_float(pair << 16);
    b = __uint_as_float(pair & 0xffff0000u);
  }
}

/// Elements of a 16-byte access.
template <class T>
inline constexpr int full = 16 / static_cast<int>(sizeof(T));

/// N neighbouring elements in registers, as stored. N = 1, or a power of two of 4 to 16 bytes.
template <class T, int N>
struct Chunk {
  static constexpr int words = N * static_cast<int>(sizeof(T)) / 4;
  std::uint32_t word[words];

  /// Element k; k must be known when the loop round it is unrolled, or `word` leaves the registers.
  __device__ float operator[](int k) const {
    if constexpr (sizeof(T) == 4) {
      return __uint_as_float(word[k]);
    } else {
      return __uint_as_float(k % 2 == 0 ? word[k / 2] << 16 : word[k / 2] & 0xffff0000u);
    }
  }
  /// Elements first, first + 1, ...; first and M even where T is bf16.
  template <int M>
  __device__ void put(int first, const float (&values)[M]) {
#pragma unroll
    for (int k = 0; k < M; k += 4 / static_cast<int>(sizeof(T))) {
      if constexpr (sizeof(T) == 4) {
        word[first + k] = __float_as_uint(values[k]);
      } else {
        word[(first + k) / 2] = pack_bf16(values[k], values[k + 1]);
      }
    }
  }
  __device__ static Chunk of(const float (&values)[N]) {
    Chunk out;
    out.put(0, values);
    return out;
  }
};

template <class T>
struct Chunk<T, 1> {
  T element;

  __device__ float operator[](int) const { return to_float(element); }
  __device__ void put(int, const float (&values)[1]) { element = from_float<T>(values[0]); }
  __device__ static Chunk of(const float (&values)[1]) { return {from_float<T>(values[0])}; }
};

/// from: aligned to the chunk's size.
template <int N, class T>
__device__ inline Chunk<T, N> load(const T* from) {
  Chunk<T, N> out;
  if constexpr (N == 1) {
    out.element = *from;
  } else if constexpr (Chunk<T, N>::words == 4) {
    const uint4 got = *reinterpret_cast<const uint4*>(from);
    out.word[0] = got.x;
    out.word[1] = got.y;
    out.word[2] = got.z;
    out.word[3] = got.w;
  } else if constexpr (Chunk<T, N>::words == 2) {
    const uint2 got = *reinterpret_cast<const uint2*>(from);
    out.word[0] = got.x;
    out.word[1] = got.y;
  } else {
    static_assert(Chunk<T, N>::words == 1);
    out.word[0] = *reinterpret_cast<const std::uint32_t*>(from);
  }
  return out;
}

template <class T, int N>
__device__ inline void store(T* to, const Chunk<T, N>& chunk) {
  if constexpr (N == 1) {
    *to = chunk.element;
  } else if constexpr (Chunk<T, N>::words == 4) {
    *reinterpret_cast<uint4*>(to) = make_uint4(chunk.word[0], chunk.word[1], chunk.word[2], chunk.word[3]);
  } else if constexpr (Chunk<T, N>::words == 2) {
    *reinterpret_cast<uint2*>(to) = make_uint2(chunk.word[0], chunk.word[1]);
  } else {
    static_assert(Chunk<T, N>::words == 1);
    *reinterpret_cast<std::uint32_t*>(to) = chunk.word[0];
  }
}

template <class T, int N>
__device__ inline void store(T* to, const float (&values)[N]) {
  store(to, Chunk<T, N>::of(values));
}

}  // namespace unet::kernels::cuda
