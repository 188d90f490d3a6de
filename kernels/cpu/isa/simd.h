// One vector register of floats, as wide as the instruction set of this namespace has them: 16 lanes (AVX-512), 8
// (AVX2) or 4. Arithmetic + - * are the compiler's; fma and fnma are spelled out so that what is fused does not depend
// on how code was inlined: every path through a kernel rounds alike. bf16 is a storage type: the shift to and from
// float is part of load and store (to nearest, ties to even; a NaN stays one).
#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "kernels/cpu/isa/bf16_avx512.h"
#include "kernels/view.h"

namespace unet::kernels::cpu::UNET_ISA {

#if defined(__AVX512F__)
inline constexpr int lanes = 16;
#elif defined(__AVX2__)
inline constexpr int lanes = 8;
#else
inline constexpr int lanes = 4;
#endif

using Vec = float __attribute__((vector_size(4 * lanes)));
using BitsVec = std::uint32_t __attribute__((vector_size(4 * lanes)));
using LooseVec = float __attribute__((vector_size(4 * lanes), aligned(4)));

[[gnu::always_inline]] inline Vec broadcast(float x) { return x - Vec{}; }

#if defined(__AVX512F__)
[[gnu::always_inline]] inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
[[gnu::always_inline]] inline Vec fnma(Vec a, Vec b, Vec c) { return _mm512_fnmadd_ps(a, b, c); }
#elif defined(__AVX2__)
[[gnu::always_inline]] inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
[[gnu::always_inline]] inline Vec fnma(Vec a, Vec b, Vec c) { return _mm256_fnmadd_ps(a, b, c); }
#else
/// a * b + c, and c - a * b.
[[gnu::always_inline]] inline Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
[[gnu::always_inline]] inline Vec fnma(Vec a, Vec b, Vec c) { return c - a * b; }
#endif

/// max(x, 0); a NaN stays one.
[[gnu::always_inline]] inline Vec relu(Vec x) { return x < Vec{} ? Vec{} : x; }

[[gnu::always_inline]] inline Vec load(const float* p) { return *reinterpret_cast<const LooseVec*>(p); }
[[gnu::always_inline]] inline void store(float* p, Vec x) { *reinterpret_cast<LooseVec*>(p) = x; }

/// The sixteen bits of the nearest bf16, in the lower half of every lane.
[[gnu::always_inline]] inline BitsVec rounded_to_bf16(Vec x) {
  const BitsVec bits = reinterpret_cast<BitsVec>(x);
  const BitsVec rounded = bits + 0x7fff + ((bits >> 16) & 1);
  return ((x == x) ? rounded : (bits | 0x400000)) >> 16;
}

using HalfVec = std::uint16_t __attribute__((vector_size(2 * lanes)));
using LooseHalfVec = std::uint16_t __attribute__((vector_size(2 * lanes), aligned(2)));

#if defined(__AVX512F__)
[[gnu::always_inline]] inline Vec widened(HalfVec bits) { return widen_bf16(reinterpret_cast<__m256i>(bits)); }
[[gnu::always_inline]] inline HalfVec narrowed(Vec x) { return reinterpret_cast<HalfVec>(round_to_bf16(x)); }
#else
[[gnu::always_inline]] inline Vec widened(HalfVec bits) {
  return reinterpret_cast<Vec>(__builtin_convertvector(bits, BitsVec) << 16);
}
[[gnu::always_inline]] inline HalfVec narrowed(Vec x) { return __builtin_convertvector(rounded_to_bf16(x), HalfVec); }
#endif

[[gnu::always_inline]] inline Vec load(const bf16* p) { return widened(*reinterpret_cast<const LooseHalfVec*>(p)); }
[[gnu::always_inline]] inline void store(bf16* p, Vec x) { *reinterpret_cast<LooseHalfVec*>(p) = narrowed(x); }

#if defined(__AVX512F__)
[[gnu::always_inline]] inline __mmask16 first(int count) {
  return static_cast<__mmask16>(count >= lanes ? 0xffff : (1u << count) - 1);
}
[[gnu::always_inline]] inline Vec load(const float* p, int count) { return _mm512_maskz_loadu_ps(first(count), p); }
[[gnu::always_inline]] inline Vec load(const bf16* p, int count) {
  return widened(reinterpret_cast<HalfVec>(_mm256_maskz_loadu_epi16(first(count), p)));
}
[[gnu::always_inline]] inline void store(float* p, Vec x, int count) { _mm512_mask_storeu_ps(p, first(count), x); }
[[gnu::always_inline]] inline void store(bf16* p, Vec x, int count) {
  _mm256_mask_storeu_epi16(p, first(count), reinterpret_cast<__m256i>(narrowed(x)));
}
#else
/// The first `count` lanes from memory, zero in the others. 0 <= count.
template <class T>
[[gnu::always_inline]] inline Vec load(const T* p, int count) {
  if (count >= lanes) return load(p);
  T part[lanes] = {};
  for (int i = 0; i < count; ++i) part[i] = p[i];
  return load(part);
}
/// The first `count` lanes to memory. 0 <= count.
template <class T>
[[gnu::always_inline]] inline void store(T* p, Vec x, int count) {
  if (count >= lanes) return store(p, x);
  T part[lanes];
  store(part, x);
  for (int i = 0; i < count; ++i) p[i] = part[i];
}
#endif

/// True if a vector of T fills a cache line, so that it can be written past the caches.
template <class T>
inline constexpr bool fills_line = sizeof(T) * lanes == 64;

/// Past the caches, for results too large to be found there later. p is 64-byte aligned; `fence` before others read.
template <class T>
[[gnu::always_inline]] inline void stream(T* p, Vec x) {
#if defined(__AVX512F__)
  if constexpr (fills_line<T>) {
    _mm512_stream_ps(p, x);
    return;
  }
#endif
  store(p, x);
}
[[gnu::always_inline]] inline void fence() {
#if defined(__AVX512F__)
  _mm_sfence();
#endif
}

/// A hint: bring the line at p into the second-level cache. Any address is allowed.
[[gnu::always_inline]] inline void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace unet::kernels::cpu::UNET_ISA
