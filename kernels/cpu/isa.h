// Instruction sets. The files of cpu/isa/ hold inner loops only (serial, on raw pointers). They are compiled once for
// each set into the namespaces baseline, avx2 and avx512, and export tables of function pointers; everything around
// them (partition, threads, dtype) is compiled once, for the baseline. So no inline library code compiled for a newer
// CPU can leak into the rest of the program (a test reads the symbols).
//
// On machines that are not x86-64 the three namespaces hold the same code.
#pragma once

namespace unet::kernels::cpu {

enum class Isa {
  baseline,
  avx2,
  avx512,
  avx512_bf16,  // the tables of avx512, and products of bf16 pairs (isa/gemm.h)
  avx512_amx    // the same, such products in AMX's tiles
};

/// The fastest set that this CPU (and its operating system, which must allow the tiles to this process) runs; where
/// Intel's has avx512_bf16 and no tiles it is avx512. Or the one named by the environment variable
/// UNET_ISA=baseline|avx2|avx512|avx512_bf16|avx512_amx, or the next lower one that runs. Read once. Throws
/// std::invalid_argument for any other value of the variable.
Isa isa();
const char* name_of(Isa isa);

/// The table of the running machine, e.g. `select(baseline::norm_act_loops, avx2::norm_act_loops, avx512::...)`.
template <class Table>
const Table& select(const Table& baseline, const Table& avx2, const Table& avx512) {
  switch (isa()) {
    case Isa::avx512_amx:
    case Isa::avx512_bf16:
    case Isa::avx512:
      return avx512;
    case Isa::avx2:
      return avx2;
    case Isa::baseline:
      break;
  }
  return baseline;
}

}  // namespace unet::kernels::cpu
