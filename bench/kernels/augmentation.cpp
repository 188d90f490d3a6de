// A training sample from a prepared pair (what the loader's cache keeps), as one core makes them: images a second.
#include <benchmark/benchmark.h>

#include <vector>

#include "engine/core/rng.h"
#include "engine/data/augment.h"

namespace unet {
namespace {

LabelledImage noise(int width, int height) {
  LabelledImage out{Image(width, height, 3), Image(width, height, 1)};
  for (std::size_t i = 0; i < out.image.pixels.size(); ++i) out.image.pixels[i] = static_cast<std::uint8_t>(mix64(i));
  for (std::size_t i = 0; i < out.labels.pixels.size(); ++i) out.labels.pixels[i] = i / 64 % 2;
  return out;
}

/// A photograph of 500x400 for a network of 256x256.
void augmentation(benchmark::State& state, Augment kind) {
  constexpr int kSide = 256;
  const LabelledImage pair = prepare(noise(500, 400), kind, kSide, kSide);
  std::vector<std::uint8_t> image(kSide * kSide * 3), labels(kSide * kSide);
  std::int64_t sample = 0;
  for (auto _ : state) {
    augment(pair, kind, 0, 0, sample++, kSide, kSide, image.data(), labels.data());
    benchmark::DoNotOptimize(image.data());
  }
  state.counters["images/s"] = benchmark::Counter(1, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK_CAPTURE(augmentation, none, Augment::none)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(augmentation, flip, Augment::flip)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(augmentation, standard, Augment::standard)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(augmentation, strong, Augment::strong)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace unet
