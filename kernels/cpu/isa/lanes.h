// N channels at once: GCC's vector extension for N > 1, a plain number for N = 1, so that one expression serves both.
// For files of cpu/isa/ only. Comparison and choice are written `(a < b) ? c : d`, `|` and `&` for both kinds.
//
// bf16 is widened on load and rounded to nearest even on store; NaN stays NaN.
#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include <cstdint>

#include "kernels/cpu/isa/bf16_avx512.h"
#include "kernels/cpu/isa/storage.h"

namespace unet::kernels::cpu::UNET_ISA {

#if defined(UNET_ISA_avx512)
inline constexpr int vector_bytes = 64;
#elif defined(UNET_ISA_avx2)
inline constexpr int vector_bytes = 32;
#else
inline constexpr int vector_bytes = 16;
#endif

template <class A, int N>
struct VectorOf {
  typedef A type __attribute__((vector_size(N * sizeof(A))));
};
template <class A>
struct VectorOf<A, 1> {
  using type = A;
};
/// N elements as they are computed.
template <class T, int N>
using Vector = typename VectorOf<Compute<T>, N>::type;
template <class T>
inline constexpr int full_lanes = vector_bytes / static_cast<int>(sizeof(Compute<T>));

template <class A, int N>
[[gnu::always_inline]] inline typename VectorOf<A, N>::type broadcast(A a) {
  return a - typename VectorOf<A, N>::type{};
}

template <int N>
using U16 = typename VectorOf<std::uint16_t, N>::type;
template <int N>
using U32 = typename VectorOf<std::uint32_t, N>::type;

/// bf16 as it is stored, as floats.
template <int N>
[[gnu::always_inline]] inline typename VectorOf<float, N>::type widened(U16<N> stored) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return widen_bf16(reinterpret_cast<__m256i>(stored));
#endif
  U32<N> bits;
  if constexpr (N == 1) {
    bits = stored;
#if defined(__AVX2__)
  } else if constexpr (N == 8) {  // GCC does not find the instruction
    bits = reinterpret_cast<U32<N>>(_mm256_cvtepu16_epi32(reinterpret_cast<__m128i>(stored)));
#endif
  } else {
    bits = __builtin_convertvector(stored, U32<N>);
  }
  bits = bits << 16;
  typename VectorOf<float, N>::type v;
  __builtin_memcpy(&v, &bits, sizeof v);
  return v;
}

/// The nearest bf16.
template <int N>
[[gnu::always_inline]] inline U16<N> narrowed(typename VectorOf<float, N>::type v) {
#if defined(__AVX512F__)
  if constexpr (N == 16) return reinterpret_cast<U16<N>>(round_to_bf16(v));
#endif
  U32<N> bits;
  __builtin_memcpy(&bits, &v, sizeof v);
  const U32<N> nearest = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const U32<N> nan = (bits >> 16) | 0x40;
  const U32<N> upper = (v != v) ? nan : nearest;
  if constexpr (N == 1) return static_cast<U16<N>>(upper);
  if constexpr (N > 1) return __builtin_convertvector(upper, U16<N>);
}

template <class T, int N>
[[gnu::always_inline]] inline Vector<T, N> load(const T* from) {
  Vector<T, N> v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}

template <class T, int N>
requires(sizeof(T) == 2) [[gnu::always_inline]] inline Vector<T, N> load(const T* from) {
  U16<N> half;
  __builtin_memcpy(&half, from, sizeof half);
  return widened<N>(half);
}

/// v as it lies in memory.
template <class T, int N>
[[gnu::always_inline]] inline auto stored(Vector<T, N> v) {
  if constexpr (sizeof(T) == 2) {
    return narrowed<N>(v);
  } else {
    return v;
  }
}

/// What a store of v followed by a load gives.
template <class T, int N>
[[gnu::always_inline]] inline Vector<T, N> rounded(Vector<T, N> v) {
  if constexpr (sizeof(T) == 2) {
    const auto bits = stored<T, N>(v);
    return load<T, N>(reinterpret_cast<const T*>(&bits));
  } else {
    return v;
  }
}

template <class T, int N>
[[gnu::always_inline]] inline void store(T* to, Vector<T, N> v) {
  const auto bits = stored<T, N>(v);
  __builtin_memcpy(to, &bits, sizeof bits);
}

#if defined(__SSE2__) && !defined(__clang__)
using Words2 = VectorOf<long long, 2>::type;
[[gnu::always_inline]] inline void stream_words(Words2* to, Words2 words) { __builtin_ia32_movntdq(to, words); }
#if defined(__AVX__)
using Words4 = VectorOf<long long, 4>::type;
[[gnu::always_inline]] inline void stream_words(Words4* to, Words4 words) { __builtin_ia32_movntdq256(to, words); }
#endif
#if defined(__AVX512F__)
using Words8 = VectorOf<long long, 8>::type;
[[gnu::always_inline]] inline void stream_words(Words8* to, Words8 words) { __builtin_ia32_movntdq512(to, words); }
#endif
#endif

/// Past the caches, where the machine can. `to` must be aligned to the size stored.
template <class T, int N>
[[gnu::always_inline]] inline void stream(T* to, Vector<T, N> v) {
  const auto bits = stored<T, N>(v);
#if defined(__SSE2__) && !defined(__clang__)
  constexpr int words = sizeof bits / 8;
  if constexpr (words >= 2) {
    using Words = typename VectorOf<long long, words>::type;
    Words all;
    __builtin_memcpy(&all, &bits, sizeof bits);
    return stream_words(reinterpret_cast<Words*>(to), all);
  }
#endif
  __builtin_memcpy(to, &bits, sizeof bits);
}

template <class T, int N>
[[gnu::always_inline]] inline void put(T* to, Vector<T, N> v, bool streaming) {
  if (streaming) {
    stream<T, N>(to, v);
  } else {
    store<T, N>(to, v);
  }
}

/// Orders streamed stores before whatever tells other threads that the work is done.
[[gnu::always_inline]] inline void end_of_streams() {
#if defined(__SSE2__)
  __builtin_ia32_sfence();
#endif
}

/// Asks for what lies `elements` beyond `from`.
template <class T>
[[gnu::always_inline]] inline void prefetch(const T* from, std::int64_t elements) {
  const auto distance = static_cast<std::uintptr_t>(elements) * sizeof(T);
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(from) + distance));
}

template <int N>
struct Lanes {
  static constexpr int count = N;
};

/// body(Lanes<N>{}, c) over [0, channels): whole vectors, then quarter vectors, then single elements. The cut depends
/// on the number of channels alone, so two loops over the same channels treat each of them alike.
template <class T, class Body>
[[gnu::always_inline]] inline void for_channels(std::int64_t channels, Body body) {
  constexpr int full = full_lanes<T>;
  constexpr int quarter = full / 4;
  std::int64_t c = 0;
  for (; c + full <= channels; c += full) body(Lanes<full>{}, c);
  if constexpr (quarter > 1) {
    for (; c + quarter <= channels; c += quarter) body(Lanes<quarter>{}, c);
  }
  for (; c < channels; ++c) body(Lanes<1>{}, c);
}

}  // namespace unet::kernels::cpu::UNET_ISA
