// What this machine can do, measured once at the start of the very run whose figures are held against it, on the
// threads that the kernels use.
#pragma once

#include <benchmark/benchmark.h>

namespace unet {

struct Ceilings {
  double fma_flops = 0;   // f32 fused multiply-adds a second, two operations each, best of several
  double copy_bytes = 0;  // memcpy of 256 MiB, bytes read + written a second, best of several
};
const Ceilings& ceilings();

/// Sets the counters "GB/s" and "% copy" from the bytes all iterations moved together.
void report_bytes(benchmark::State& state, std::int64_t bytes);
/// Sets the counters "GFLOP/s" and "% fma".
void report_flops(benchmark::State& state, double flops);

}  // namespace unet
