// bench_kernels: every hot kernel at the networks' shapes, in GFLOP/s or GB/s and as per cent of what the machine does
// in the same run. Google Benchmark's options: --benchmark_filter=REGEX, --benchmark_repetitions=N ...
#include <fmt/core.h>

#include "bench/kernels/ceilings.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/parallel.h"

namespace unet {
void add_unet_convolutions();           // unet_layers.cpp
void add_resnet34_unet_convolutions();  // resnet34_unet_layers.cpp
void add_cuda_streams();                // cuda_streams.cpp
}  // namespace unet

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  unet::add_unet_convolutions();
  unet::add_resnet34_unet_convolutions();
  unet::add_cuda_streams();
  const unet::Ceilings& most = unet::ceilings();
  fmt::print(stderr, "{} threads, {}: {:.0f} GFLOP/s of f32 multiply-adds, copy {:.1f} GB/s read + written\n",
             unet::kernels::cpu::threads(), unet::kernels::cpu::name_of(unet::kernels::cpu::isa()),
             most.fma_flops / 1e9, most.copy_bytes / 1e9);
  benchmark::RunSpecifiedBenchmarks();
}
