// N elements at once: GCC's vector extension for N > 1, a plain number for N = 1, so that one expression serves both;
// without an N, as many as a register of this namespace's instruction set holds. For files of cpu/isa/ only.
//
// Arithmetic + - * / is the compiler's, comparison and choice are written `(a < b) ? c : d`, `|` and `&` for both
// kinds. Nothing is contracted (-ffp-contract=off): a multiply-add that is rounded once says fma. bf16 is widened on
// load and rounded to nearest even on store; NaN stays NaN.
#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "kernels/bf16.h"
#include "kernels/cpu/isa/storage.h"

namespace unet::kernels::cpu::UNET_ISA {

#if defined(UNET_ISA_avx512)
inline constexpr int kVectorBytes = 64;
#elif defined(UNET_ISA_avx2)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif
template <class T>
inline constexpr int full_lanes = kVectorBytes / static_cast<int>(sizeof(Compute<T>));

template <class A, int N>
struct VectorOf {
  typedef A type __attribute__((vector_size(N * sizeof(A))));
  typedef A in_memory __attribute__((vector_size(N * sizeof(A)), aligned(1), may_alias));
};
template <class A>
struct VectorOf<A, 1> {
  using type = A;
  typedef A in_memory __attribute__((may_alias));
};
/// N elements as they are computed.
template <class T, int N = full_lanes<T>>
using Vector = typename VectorOf<Compute<T>, N>::type;

/// What most kernels of f32 compute with.
using Vec = Vector<float>;
inline constexpr int lanes = full_lanes<float>;

template <class A, int N = full_lanes<A>>
[[gnu::always_inline]] inline Vector<A, N> broadcast(A a) {
  return a - Vector<A, N>{};
}

/// max(x, 0); a NaN stays one.
[[gnu::always_inline]] inline Vec relu(Vec x) { return x < Vec{} ? Vec{} : x; }

// ---- a * b + c, and c - a * b: rounded once where the machine can, otherwise twice ----------------------------------

#if defined(__FMA__)
[[gnu::always_inline]] inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
[[gnu::always_inline]] inline double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
template <int N>
using Floats = typename VectorOf<float, N>::type;
template <int N>
using Doubles = typename VectorOf<double, N>::type;
[[gnu::always_inline]] inline Floats<4> fma(Floats<4> a, Floats<4> b, Floats<4> c) { return _mm_fmadd_ps(a, b, c); }
[[gnu::always_inline]] inline Floats<8> fma(Floats<8> a, Floats<8> b, Floats<8> c) { return _mm256_fmadd_ps(a, b, c); }
[[gnu::always_inline]] inline Doubles<2> fma(Doubles<2> a, Doubles<2> b, Doubles<2> c) { return _mm_fmadd_pd(a, b, c); }
[[gnu::always_inline]] inline Doubles<4> fma(Doubles<4> a, Doubles<4> b, Doubles<4> c) {
  return _mm256_fmadd_pd(a, b, c);
}
[[gnu::always_inline]] inline Floats<2> fma(Floats<2> a, Floats<2> b, Floats<2> c) {
  const auto twice = [](Floats<2> v) { return __builtin_shufflevector(v, v, 0, 1, 0, 1); };
  const Floats<4> all = fma(twice(a), twice(b), twice(c));
  return __builtin_shufflevector(all, all, 0, 1);
}
#if defined(UNET_ISA_avx512)
[[gnu::always_inline]] inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
[[gnu::always_inline]] inline Vec fnma(Vec a, Vec b, Vec c) { return _mm512_fnmadd_ps(a, b, c); }
[[gnu::always_inline]] inline Doubles<8> fma(Doubles<8> a, Doubles<8> b, Doubles<8> c) {
  return _mm512_fmadd_pd(a, b, c);
}
#elif defined(UNET_ISA_avx2)
[[gnu::always_inline]] inline Vec fnma(Vec a, Vec b, Vec c) { return _mm256_fnmadd_ps(a, b, c); }
#endif
template <class V>
[[gnu::always_inline]] inline V fnma(V a, V b, V c) {
  return fma(-a, b, c);
}
#else
template <class V>
[[gnu::always_inline]] inline V fma(V a, V b, V c) {
  return a * b + c;
}
template <class V>
[[gnu::always_inline]] inline V fnma(V a, V b, V c) {
  return c - a * b;
}
#endif

// ---- bf16 -----------------------------------------------------------------------------------------------------------

template <int N>
using U16 = typename VectorOf<std::uint16_t, N>::type;
template <int N>
using U32 = typename VectorOf<std::uint32_t, N>::type;

/// bf16 as it is stored, as floats. AVX-512: one permutation.
template <int N>
[[gnu::always_inline]] inline Vector<float, N> widened(U16<N> stored) {
  if constexpr (N == 1) {
    return widen(bf16{stored});
#if defined(UNET_ISA_avx512)
  } else if constexpr (N == 16) {
    constexpr unsigned upper = 0xaaaaaaaa;  // each into the upper half of its float
    const __m512i from = _mm512_set_epi16(15, 0, 14, 0, 13, 0, 12, 0, 11, 0, 10, 0, 9, 0, 8, 0, 7, 0, 6, 0, 5, 0, 4, 0,
                                          3, 0, 2, 0, 1, 0, 0, 0);
    const __m512i all = _mm512_castsi256_si512(reinterpret_cast<__m256i>(stored));
    return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(upper, from, all));
#endif
#if defined(__AVX2__)
  } else if constexpr (N == 8) {  // GCC does not find the instruction
    const auto bits = reinterpret_cast<U32<N>>(_mm256_cvtepu16_epi32(reinterpret_cast<__m128i>(stored)));
    return reinterpret_cast<Vector<float, N>>(bits << 16);
#endif
  } else {
    return reinterpret_cast<Vector<float, N>>(__builtin_convertvector(stored, U32<N>) << 16);
  }
}

/// The nearest bf16. AVX-512: five instructions, where GCC makes ten of the same in vector code.
template <int N>
[[gnu::always_inline]] inline U16<N> narrowed(Vector<float, N> v) {
  if constexpr (N == 1) {
    return narrow(v).bits;
#if defined(UNET_ISA_avx512)
  } else if constexpr (N == 16) {
    const __m512i bits = _mm512_castps_si512(v);
    const __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
    __m512i nearest = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
    nearest = _mm512_mask_add_epi32(nearest, odd, nearest, _mm512_set1_epi32(1));
    // Of a quiet or a signalling NaN (tokens 0 and 1) the quiet form (response 2), of anything else what is there (0).
    nearest = _mm512_castps_si512(_mm512_fixupimm_ps(_mm512_castsi512_ps(nearest), v, _mm512_set1_epi32(0x22), 0));
    constexpr unsigned lower = 0xffff;  // of the result, the upper halves of the floats
    const __m512i from = _mm512_set_epi16(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 31, 29, 27, 25, 23, 21, 19,
                                          17, 15, 13, 11, 9, 7, 5, 3, 1);
    const __m512i all = _mm512_maskz_permutexvar_epi16(lower, from, nearest);
    return reinterpret_cast<U16<N>>(__builtin_shufflevector(all, all, 0, 1, 2, 3));  // GCC warns about the intrinsic
#endif
  } else {
    const U32<N> bits = reinterpret_cast<U32<N>>(v);
    const U32<N> nearest = (v == v) ? bits + 0x7fff + ((bits >> 16) & 1) : bits | 0x400000;
    return __builtin_convertvector(nearest >> 16, U16<N>);
  }
}

// ---- memory ---------------------------------------------------------------------------------------------------------

/// N elements as they lie in memory; bf16: its bits.
template <class T, int N>
struct StoredVector : VectorOf<T, N> {};
template <int N>
struct StoredVector<bf16, N> : VectorOf<std::uint16_t, N> {};
template <class T, int N>
using InMemory = typename StoredVector<T, N>::in_memory;

template <class T, int N>
[[gnu::always_inline]] inline auto stored(Vector<T, N> v) {
  if constexpr (sizeof(T) == 2) {
    return narrowed<N>(v);
  } else {
    return v;
  }
}

template <class T, int N = full_lanes<T>>
[[gnu::always_inline]] inline Vector<T, N> load(const T* from) {
  if constexpr (sizeof(T) == 2) {
    return widened<N>(*reinterpret_cast<const InMemory<T, N>*>(from));
  } else {
    return *reinterpret_cast<const InMemory<T, N>*>(from);
  }
}

template <class T, int N = full_lanes<T>>
[[gnu::always_inline]] inline void store(T* to, Vector<T, N> v) {
  *reinterpret_cast<InMemory<T, N>*>(to) = stored<T, N>(v);
}

/// What a store of v followed by a load gives.
template <class T, int N>
[[gnu::always_inline]] inline Vector<T, N> rounded(Vector<T, N> v) {
  if constexpr (sizeof(T) == 2) {
    return widened<N>(narrowed<N>(v));
  } else {
    return v;
  }
}

/// The first `count` elements from memory, zero in the others. 0 <= count.
template <class T>
[[gnu::always_inline]] inline Vec load(const T* from, int count) {
#if defined(UNET_ISA_avx512)
  const auto first = static_cast<__mmask16>(count >= lanes ? 0xffff : (1u << count) - 1);
  if constexpr (sizeof(T) == 4) return _mm512_maskz_loadu_ps(first, from);
  if constexpr (sizeof(T) == 2)
    return widened<lanes>(reinterpret_cast<U16<lanes>>(_mm256_maskz_loadu_epi16(first, from)));
#else
  if (count >= lanes) return load(from);
  T part[lanes] = {};
  for (int i = 0; i < count; ++i) part[i] = from[i];
  return load(part);
#endif
}

/// The first `count` elements to memory. 0 <= count.
template <class T>
[[gnu::always_inline]] inline void store(T* to, Vec v, int count) {
#if defined(UNET_ISA_avx512)
  const auto first = static_cast<__mmask16>(count >= lanes ? 0xffff : (1u << count) - 1);
  if constexpr (sizeof(T) == 4) _mm512_mask_storeu_ps(to, first, v);
  if constexpr (sizeof(T) == 2) _mm256_mask_storeu_epi16(to, first, reinterpret_cast<__m256i>(narrowed<lanes>(v)));
#else
  if (count >= lanes) return store(to, v);
  T part[lanes];
  store(part, v);
  for (int i = 0; i < count; ++i) to[i] = part[i];
#endif
}

#if defined(__SSE2__) && !defined(__clang__)
template <int N>
using Words = typename VectorOf<long long, N>::type;
[[gnu::always_inline]] inline void stream_words(Words<2>* to, Words<2> words) { __builtin_ia32_movntdq(to, words); }
#if defined(__AVX__)
[[gnu::always_inline]] inline void stream_words(Words<4>* to, Words<4> words) { __builtin_ia32_movntdq256(to, words); }
#endif
#if defined(UNET_ISA_avx512)
[[gnu::always_inline]] inline void stream_words(Words<8>* to, Words<8> words) { __builtin_ia32_movntdq512(to, words); }
#endif
#endif

/// Past the caches, where the machine can. `to` must be aligned to the size stored; `fence` before others read.
template <class T, int N = full_lanes<T>>
[[gnu::always_inline]] inline void stream(T* to, Vector<T, N> v) {
  const auto bits = stored<T, N>(v);
#if defined(__SSE2__) && !defined(__clang__)
  constexpr int words = sizeof bits / 8;
  if constexpr (words >= 2) {
    return stream_words(reinterpret_cast<Words<words>*>(to), reinterpret_cast<Words<words>>(bits));
  }
#endif
  *reinterpret_cast<InMemory<T, N>*>(to) = bits;
}

/// As stream where a register fills a cache line, else as store: for results that are no unbroken run of lines.
template <class T>
[[gnu::always_inline]] inline void stream_line(T* to, Vec v) {
  if constexpr (sizeof(T) * lanes == 64) {
    stream(to, v);
  } else {
    store(to, v);
  }
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
[[gnu::always_inline]] inline void fence() {
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
/// Asks for the line at p, into the second-level cache. Any address is allowed.
[[gnu::always_inline]] inline void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

// ---- channels -------------------------------------------------------------------------------------------------------

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
