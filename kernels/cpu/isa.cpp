#include "kernels/cpu/isa.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace unet::kernels::cpu {
namespace {

/// Intel's AVX-512 has half as many products of bf16 pairs as multiply-adds of f32 a cycle: one of each does not pay.
bool pairs_pay() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_is("intel") == 0;
#else
  return true;
#endif
}

/// Whether CPU and kernel have AMX's tiles of bf16; asks the kernel to let this process use them.
bool allowed_tiles() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr unsigned kBf16 = 1u << 22, kTiles = 1u << 24;  // of CPUID leaf 7, EDX
  constexpr unsigned kSaved = 3u << 17;                    // of XCR0: the system keeps configuration and data of tiles
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kBf16) == 0 || (d & kTiles) == 0) return false;
  asm("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  return (a & kSaved) == kSaved && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

Isa best_of_cpu() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    if (!__builtin_cpu_supports("avx512bf16")) return Isa::avx512;
    return allowed_tiles() ? Isa::avx512_amx : Isa::avx512_bf16;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
#endif
  return Isa::baseline;
}

Isa choose() {
  const Isa best = best_of_cpu();
  const char* wanted = std::getenv("UNET_ISA");
  if (wanted == nullptr || *wanted == '\0') return best == Isa::avx512_bf16 && !pairs_pay() ? Isa::avx512 : best;
  for (const Isa candidate : {Isa::baseline, Isa::avx2, Isa::avx512, Isa::avx512_bf16, Isa::avx512_amx}) {
    if (std::string(wanted) != name_of(candidate)) continue;
    return candidate < best ? candidate : best;
  }
  throw std::invalid_argument("UNET_ISA=" + std::string(wanted) +
                              ": expected baseline, avx2, avx512, avx512_bf16 or avx512_amx");
}

}  // namespace

Isa isa() {
  static const Isa chosen = choose();
  return chosen;
}

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::avx512_amx:
      return "avx512_amx";
    case Isa::avx512_bf16:
      return "avx512_bf16";
    case Isa::avx512:
      return "avx512";
    case Isa::avx2:
      return "avx2";
    case Isa::baseline:
      break;
  }
  return "baseline";
}

}  // namespace unet::kernels::cpu
