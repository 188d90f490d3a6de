#include "bench/kernels/ceilings.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/parallel.h"

namespace unet {
namespace {

using kernels::cpu::Isa;

double seconds_of(const auto& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Twelve independent chains of multiply-adds, enough to cover the latency of two pipes; returns something of the
// result, so that nothing is dropped.
template <class Vector>
[[gnu::always_inline]] inline float chains(std::int64_t rounds) {
  Vector sum[12] = {};
  for (int i = 0; i < 12; ++i) sum[i] += static_cast<float>(i);  // equal chains would be computed once
  Vector factor = {}, step = {};
  factor += 0.999f;
  step += 1e-3f;
  for (std::int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (Vector& s : sum) s = s * factor + step;
  }
  float total = 0;
  for (const Vector& s : sum) total += s[0];
  return total;
}

using Vector4 = float __attribute__((vector_size(16)));
using Vector8 = float __attribute__((vector_size(32)));
using Vector16 = float __attribute__((vector_size(64)));
#if defined(__x86_64__)
[[gnu::target("avx512f")]] float chains_avx512(std::int64_t rounds) { return chains<Vector16>(rounds); }
[[gnu::target("avx2,fma")]] float chains_avx2(std::int64_t rounds) { return chains<Vector8>(rounds); }
#endif

double measure_fma() {
  constexpr std::int64_t kRounds = 20'000'000;
  const int threads = kernels::cpu::threads();
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    double lanes = 4;
    std::vector<float> results(static_cast<std::size_t>(threads));
    const double seconds = seconds_of([&] {
      kernels::cpu::parallel_for(threads, [&](std::int64_t thread) {
        float& result = results[static_cast<std::size_t>(thread)];
#if defined(__x86_64__)
        if (kernels::cpu::isa() >= Isa::avx512) {
          result = chains_avx512(kRounds);
          return;
        }
        if (kernels::cpu::isa() == Isa::avx2) {
          result = chains_avx2(kRounds);
          return;
        }
#endif
        result = chains<Vector4>(kRounds);
      });
    });
    benchmark::DoNotOptimize(results.data());
    if (kernels::cpu::isa() >= Isa::avx512) lanes = 16;
    if (kernels::cpu::isa() == Isa::avx2) lanes = 8;
    best = std::max(best, 2.0 * 12 * lanes * static_cast<double>(kRounds) * threads / seconds);
  }
  return best;
}

double measure_copy() {
  constexpr std::int64_t kBytes = std::int64_t{256} << 20;
  std::vector<char> from(kBytes, 1), to(kBytes);
  const kernels::cpu::Blocks blocks = kernels::cpu::cut(kBytes, 1 << 20, 1 << 20);
  double best = 0;
  for (int repeat = 0; repeat < 7; ++repeat) {
    const double seconds = seconds_of([&] {
      kernels::cpu::parallel_for(blocks.count, [&](std::int64_t b) {
        std::memcpy(to.data() + blocks.begin(b), from.data() + blocks.begin(b),
                    static_cast<std::size_t>(blocks.end(b) - blocks.begin(b)));
      });
    });
    best = std::max(best, 2.0 * static_cast<double>(kBytes) / seconds);
  }
  return best;
}

void set_rate(benchmark::State& state, const char* unit, const char* share, double total, double ceiling) {
  const double rate = total * static_cast<double>(state.iterations());
  state.counters[unit] = benchmark::Counter(rate / 1e9, benchmark::Counter::kIsRate);
  state.counters[share] = benchmark::Counter(100 * rate / ceiling, benchmark::Counter::kIsRate);
}

}  // namespace

const Ceilings& ceilings() {
  static const Ceilings measured{measure_fma(), measure_copy()};
  return measured;
}

void report_bytes(benchmark::State& state, std::int64_t bytes) {
  set_rate(state, "GB/s", "% copy", static_cast<double>(bytes) / static_cast<double>(state.iterations()),
           ceilings().copy_bytes);
}

void report_flops(benchmark::State& state, double flops) {
  set_rate(state, "GFLOP/s", "% fma", flops, ceilings().fma_flops);
}

}  // namespace unet
