// bf16 as it is stored, from and to sixteen floats, for AVX-512: one permutation to widen, five instructions to round
// (to nearest, ties to even; a NaN stays one), where GCC makes ten of the same in vector code.
#pragma once

#if defined(__AVX512F__)
#include <immintrin.h>

namespace unet::kernels::cpu::UNET_ISA {

[[gnu::always_inline]] inline __m512 widen_bf16(__m256i stored) {
  constexpr unsigned upper = 0xaaaaaaaa;  // each into the upper half of its float
  const __m512i from = _mm512_set_epi16(15, 0, 14, 0, 13, 0, 12, 0, 11, 0, 10, 0, 9, 0, 8, 0, 7, 0, 6, 0, 5, 0, 4, 0, 3,
                                        0, 2, 0, 1, 0, 0, 0);
  return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(upper, from, _mm512_castsi256_si512(stored)));
}

[[gnu::always_inline]] inline __m256i round_to_bf16(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
  __m512i rounded = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
  rounded = _mm512_mask_add_epi32(rounded, odd, rounded, _mm512_set1_epi32(1));
  // Of a quiet or a signalling NaN (tokens 0 and 1) the quiet form (response 2), of anything else what is there (0).
  rounded = _mm512_castps_si512(_mm512_fixupimm_ps(_mm512_castsi512_ps(rounded), x, _mm512_set1_epi32(0x22), 0));
  constexpr unsigned lower = 0xffff;  // of the result, the upper halves of the floats
  const __m512i from = _mm512_set_epi16(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 31, 29, 27, 25, 23, 21, 19, 17,
                                        15, 13, 11, 9, 7, 5, 3, 1);
  const __m512i all = _mm512_maskz_permutexvar_epi16(lower, from, rounded);
  return __builtin_shufflevector(all, all, 0, 1, 2, 3);  // GCC warns about the intrinsic
}

}  // namespace unet::kernels::cpu::UNET_ISA
#endif
