// Kernels that stream: Adam, gradient norm, losses, counts, normalisation. Bytes are those that must move: Adam reads 4
// and writes 3 values an element, a loss reads logits and labels, its backward writes as much as the logits besides.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench/kernels/ceilings.h"
#include "kernels/adam.h"
#include "kernels/confusion.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cross_entropy.h"
#include "kernels/grad_norm.h"
#include "kernels/loss_sum.h"
#include "kernels/normalize_images.h"
#include "kernels/soft_dice.h"

namespace unet::kernels {
namespace {

template <class T>
constexpr Dtype dtype_of = sizeof(T) == 8   ? Dtype::f64
                           : sizeof(T) == 4 ? Dtype::f32
                                            : Dtype::u8;

template <class T>
View view(std::vector<T>& values, std::array<std::int64_t, 4> dims) {
  View result;
  result.dtype = dtype_of<T>;
  result.dims = dims;
  result.pitch = dims[3];
  result.data = values.data();
  return result;
}

template <class T>
View flat(std::vector<T>& values) {
  return view(values, {1, 1, 1, static_cast<std::int64_t>(values.size())});
}

template <class T>
void adam(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  std::vector<T> g(count, T(0.01)), p(count, T(0.1)), m(count), v(count);
  const StepControl control{.lr = 1e-3};
  const AdamClock clock{.step_size = 1e-3};
  for (auto _ : state) {
    cpu::adam({}, &control, &clock, flat(g), flat(p), flat(m), flat(v), {});
  }
  report_bytes(state, state.iterations() * state.range(0) * 7 * static_cast<std::int64_t>(sizeof(T)));
}

template <class T>
void sum_of_squares(benchmark::State& state) {
  std::vector<T> x(static_cast<std::size_t>(state.range(0)), T(0.5));
  std::vector<SquareSum> sums(static_cast<std::size_t>(cpu::square_sums(flat(x))));
  for (auto _ : state) {
    cpu::sum_of_squares(flat(x), sums.data());
    benchmark::DoNotOptimize(sums.data());
  }
  report_bytes(state, state.iterations() * state.range(0) * static_cast<std::int64_t>(sizeof(T)));
}

/// A batch of N square images of side S with C classes, values that look like logits.
template <class T>
struct Batch {
  explicit Batch(const benchmark::State& state)
      : N(state.range(0)), S(state.range(1)), C(state.range(2)), pixels(N * S * S) {
    logits.resize(static_cast<std::size_t>(pixels * C));
    gradient.resize(logits.size());
    labels.resize(static_cast<std::size_t>(pixels));
    prediction.resize(labels.size());
    std::uint32_t random = 1;
    for (T& x : logits)
      x = static_cast<T>(static_cast<double>((random = random * 1664525u + 1013904223u) >> 8) / 2e6 - 4);
    for (std::uint8_t& label : labels) {
      label = static_cast<std::uint8_t>(((random = random * 1664525u + 1013904223u) >> 8) % C);
    }
  }
  View x() { return view(logits, {N, S, S, C}); }
  View dx() { return view(gradient, {N, S, S, C}); }
  View y() { return view(labels, {N, S, S, 1}); }
  std::int64_t bytes(int passes) const { return pixels + passes * pixels * C * static_cast<std::int64_t>(sizeof(T)); }

  std::int64_t N, S, C, pixels;
  std::vector<T> logits, gradient;
  std::vector<std::uint8_t> labels, prediction;
};

template <class T>
void cross_entropy_forward(benchmark::State& state) {
  Batch<T> batch(state);
  std::vector<double> scratch(cpu::cross_entropy_scratch(batch.x()) / sizeof(double) + 1);
  for (auto _ : state) {
    CrossEntropySums sums;
    cpu::cross_entropy_forward({}, batch.x(), batch.y(), {}, &sums, scratch.data());
    benchmark::DoNotOptimize(sums);
  }
  report_bytes(state, state.iterations() * batch.bytes(1));
}

template <class T>
void cross_entropy_backward(benchmark::State& state) {
  Batch<T> batch(state);
  CrossEntropySums sums;
  sums.weight = static_cast<double>(batch.pixels);
  const double dloss = 1;
  for (auto _ : state) {
    cpu::cross_entropy_backward({}, batch.x(), batch.y(), {}, &sums, &dloss, batch.dx());
  }
  report_bytes(state, state.iterations() * batch.bytes(2));
}

template <class T>
void soft_dice_forward(benchmark::State& state) {
  Batch<T> batch(state);
  std::vector<double> scratch(cpu::soft_dice_scratch(batch.x()) / sizeof(double));
  std::vector<double> sums(static_cast<std::size_t>(batch.N * batch.C * 3));
  for (auto _ : state) {
    SoftDiceResult result;
    cpu::soft_dice_forward({}, batch.x(), batch.y(), sums.data(), &result, scratch.data());
    benchmark::DoNotOptimize(result);
  }
  report_bytes(state, state.iterations() * batch.bytes(1));
}

template <class T>
void soft_dice_backward(benchmark::State& state) {
  Batch<T> batch(state);
  std::vector<double> scratch(cpu::soft_dice_scratch(batch.x()) / sizeof(double));
  std::vector<double> sums(static_cast<std::size_t>(batch.N * batch.C * 3));
  SoftDiceResult result;
  cpu::soft_dice_forward({}, batch.x(), batch.y(), sums.data(), &result, scratch.data());
  const double dloss = 1;
  for (auto _ : state) cpu::soft_dice_backward({}, batch.x(), batch.y(), sums.data(), &dloss, batch.dx());
  report_bytes(state, state.iterations() * batch.bytes(2));
}

/// Cross-entropy and Dice in one pass, against the sum of their rows.
constexpr LossSumSpec kEntropyAndDice{.cross_entropy = 1, .dice = 0.5};

template <class T>
void loss_sum_forward(benchmark::State& state) {
  Batch<T> batch(state);
  std::vector<double> scratch(cpu::loss_sum_scratch(batch.x()) / sizeof(double));
  std::vector<double> sums(static_cast<std::size_t>((batch.N + 1) * batch.C * 3));
  for (auto _ : state) {
    LossSumResult result;
    cpu::loss_sum_forward(kEntropyAndDice, batch.x(), batch.y(), {}, sums.data(), &result, scratch.data());
    benchmark::DoNotOptimize(result);
  }
  report_bytes(state, state.iterations() * batch.bytes(1));
}

template <class T>
void loss_sum_backward(benchmark::State& state) {
  Batch<T> batch(state);
  std::vector<double> scratch(cpu::loss_sum_scratch(batch.x()) / sizeof(double));
  std::vector<double> sums(static_cast<std::size_t>((batch.N + 1) * batch.C * 3));
  LossSumResult result;
  cpu::loss_sum_forward(kEntropyAndDice, batch.x(), batch.y(), {}, sums.data(), &result, scratch.data());
  const double dloss = 1;
  for (auto _ : state) {
    cpu::loss_sum_backward(kEntropyAndDice, batch.x(), batch.y(), {}, sums.data(), &result, &dloss, batch.dx());
  }
  report_bytes(state, state.iterations() * batch.bytes(2));
}

template <class T>
void confusion(benchmark::State& state) {
  Batch<T> batch(state);
  std::vector<ClassCounts> counts(static_cast<std::size_t>(batch.N * batch.C));
  for (auto _ : state) cpu::confusion(batch.x(), batch.y(), 255, counts.data(), {});
  report_bytes(state, state.iterations() * batch.bytes(1));
}

void normalize_images(benchmark::State& state) {
  const std::int64_t N = state.range(0), S = state.range(1);
  std::vector<std::uint8_t> images(static_cast<std::size_t>(N * S * S * 3), 77);
  std::vector<float> y(images.size());
  const NormalizeSpec spec{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};
  for (auto _ : state) cpu::normalize_images(spec, view(images, {N, S, S, 3}), view(y, {N, S, S, 3}));
  report_bytes(state, state.iterations() * N * S * S * 3 * 5);
}

constexpr std::int64_t unet64 = 31'037'698;  // parameters of UNet with 64 base channels and 2 classes

BENCHMARK(adam<float>)->Arg(unet64)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(adam<double>)->Arg(unet64 / 2)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(sum_of_squares<float>)->Arg(unet64)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(sum_of_squares<double>)->Arg(unet64 / 2)->UseRealTime()->Unit(benchmark::kMicrosecond);

void shapes(benchmark::internal::Benchmark* b) {
  b->Args({8, 128, 2})->Args({16, 256, 2})->Args({16, 256, 1})->Args({8, 256, 12})->Args({8, 256, 21});
  b->ArgNames({"N", "side", "C"})->UseRealTime()->Unit(benchmark::kMicrosecond);
}
BENCHMARK(cross_entropy_forward<float>)->Apply(shapes);
BENCHMARK(cross_entropy_backward<float>)->Apply(shapes);
BENCHMARK(soft_dice_forward<float>)->Apply(shapes);
BENCHMARK(soft_dice_backward<float>)->Apply(shapes);
BENCHMARK(loss_sum_forward<float>)->Apply(shapes);
BENCHMARK(loss_sum_backward<float>)->Apply(shapes);
BENCHMARK(confusion<float>)->Apply(shapes);
BENCHMARK(cross_entropy_forward<double>)->Args({8, 128, 2})->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(normalize_images)->Args({8, 128})->Args({16, 256})->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace unet::kernels
