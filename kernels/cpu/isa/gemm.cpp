#include "kernels/cpu/isa/gemm_tiles.h"

namespace unet::kernels::cpu::UNET_ISA {

const GemmLoops<float> gemm_f32 = gemm_loops<float>;
const GemmLoops<double> gemm_f64 = gemm_loops<double>;

}  // namespace unet::kernels::cpu::UNET_ISA
