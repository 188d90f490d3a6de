// Products of pairs of bf16, for Isa::avx512_bf16 alone: this file is compiled with -mavx512bf16 on top of what the
// rest of its folder gets, and only into the namespace avx512.
#include "kernels/cpu/isa/gemm_tiles.h"

#if defined(UNET_ISA_avx512)
#if defined(__AVX512BF16__)
#include <immintrin.h>

namespace unet::kernels::cpu::avx512 {
namespace {

template <>
struct Operand<BfPair> {
  [[gnu::always_inline]] static __m512bh load(const BfPair* p) {
    return reinterpret_cast<__m512bh>(_mm512_loadu_si512(p));
  }
  [[gnu::always_inline]] static __m512 multiply_add(const BfPair& a, __m512bh b, __m512 sum) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(a.bits))), b);
  }
};

}  // namespace

const GemmLoops<BfPair> gemm_bf16 = gemm_loops<BfPair>;

}  // namespace unet::kernels::cpu::avx512
#else
namespace unet::kernels::cpu::avx512 {
const GemmLoops<BfPair> gemm_bf16{0, 0, 0, nullptr};  // no such CPU for this compiler: isa() never says avx512_bf16
}
#endif
#endif
