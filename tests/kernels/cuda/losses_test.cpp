// Cross-entropy, soft Dice, sums of losses and the counts of the metrics on the device, held against the CPU's.
#include "kernels/confusion.h"
#include "kernels/cross_entropy.h"
#include "kernels/loss_sum.h"
#include "kernels/probability_bins.h"
#include "kernels/soft_dice.h"
#include "tests/kernels/cuda/device_values.h"

namespace unet::kernels::test::losses_test {
namespace {

// Ends of chunks, blocks (2048 pixels) and groups of four classes; the most classes that there are.
const std::vector<Shape> kShapes{{1, 1, 1, 1},  {1, 1, 1, 2},   {3, 1, 1, 5},  {1, 7, 9, 2},
                                 {2, 5, 13, 2}, {1, 47, 89, 2}, {2, 3, 5, 1},  {2, 8, 16, 3},
                                 {2, 9, 7, 12}, {1, 33, 63, 4}, {1, 2, 3, 256}};

struct Batch {
  Shape shape;
  Values logits, labels;
  Shape label_shape() const { return {shape.n, shape.h, shape.w, 1}; }
};

/// Every seventh label is 255; with a bad one, a label is out of range.
Batch batch_of(Shape shape, bool bad_label = false) {
  Batch out{shape, random_values(1, Dtype::f32, shape.size(), 0, 3), {}};
  std::mt19937_64 random(2);
  for (std::int64_t i = 0; i < shape.pixels(); ++i) {
    out.labels.push_back(i % 7 == 3 ? 255 : static_cast<double>(random() % static_cast<std::uint64_t>(shape.c)));
  }
  if (bad_label) out.labels.back() = static_cast<double>(shape.c);
  return out;
}

class CudaLosses : public CudaTest {};

void expect_close_numbers(double got, double want, double relative = 1e-6) {
  if (std::isnan(want)) {
    EXPECT_TRUE(std::isnan(got)) << got;
  } else {
    EXPECT_NEAR(got, want, relative * std::abs(want) + 1e-12);
  }
}

void compare_cross_entropy(const Batch& batch, const Values& weights, int ignore_index = 255) {
  const CrossEntropySpec spec{ignore_index};
  const Shape shape = batch.shape;
  std::vector<std::uint8_t> labels = bytes_of(batch.labels);
  Buffer logits(Dtype::f32, shape, batch.logits), dlogits(Dtype::f32, shape);
  std::vector<float> class_weights(weights.begin(), weights.end());
  const Shape vector{1, 1, 1, shape.c};
  const ConstView on_host = weights.empty() ? ConstView{} : ConstView(host_view(class_weights, Dtype::f32, vector));
  const ConstView label_view = host_view(labels, Dtype::u8, batch.label_shape());
  CrossEntropySums want;
  std::vector<double> scratch(cpu::cross_entropy_scratch(logits.view()) / sizeof(double) + 1);
  cpu::cross_entropy_forward(spec, logits.view(), label_view, on_host, &want, scratch.data());
  const double dloss = 1.75;
  cpu::cross_entropy_backward(spec, logits.view(), label_view, on_host, &want, &dloss, dlogits.view());

  DeviceTensor x(Dtype::f32, shape, batch.logits), y(Dtype::u8, batch.label_shape(), batch.labels),
      dx(Dtype::f32, shape);
  const DeviceTensor w(Dtype::f32, vector, weights.empty() ? Values(static_cast<std::size_t>(shape.c)) : weights);
  const ConstView on_device = weights.empty() ? ConstView{} : ConstView(w.view());
  const DeviceValues<CrossEntropySums> sums, again;
  const DeviceMemory space(cuda::cross_entropy_scratch(x.view()));
  const DeviceValues<double> slope(std::vector<double>{dloss});
  cuda::cross_entropy_forward(spec, x.view(), y.view(), on_device, sums.data(), space.data());
  cuda::cross_entropy_forward(spec, x.view(), y.view(), on_device, again.data(), space.data());
  cuda::cross_entropy_backward(spec, x.view(), y.view(), on_device, sums.data(), slope.data(), dx.view());
  expect_same_bytes(sums.values(), again.values());
  expect_close_numbers(sums.value().loss, want.loss);
  expect_close_numbers(sums.value().weight, want.weight);
  expect_close_numbers(sums.value().mean, want.mean);
  EXPECT_EQ(sums.value().invalid, want.invalid);
  expect_close(Dtype::f32, dx.values(), dlogits.values(), 1e-12);
}

TEST_F(CudaLosses, CrossEntropyIsTheCpus) {
  for (const Shape shape : kShapes) {
    for (const bool weighted : {false, true}) {
      for (const bool bad : {false, true}) {
        SCOPED_TRACE(shape.text() + (weighted ? " weighted" : "") + (bad ? " bad label" : ""));
        Values weights;
        for (std::int64_t c = 0; weighted && c < shape.c; ++c)
          weights.push_back(0.25 + 0.5 * static_cast<double>(c % 4));
        if (bad && shape.c == 256) continue;  // every label is in range
        compare_cross_entropy(batch_of(shape, bad), weights);
      }
    }
  }
}

TEST_F(CudaLosses, CrossEntropyOfCornersIsTheCpus) {
  Batch ignored = batch_of({2, 3, 3, 3});
  for (double& label : ignored.labels) label = 255;
  compare_cross_entropy(ignored, {});
  compare_cross_entropy(batch_of({2, 3, 3, 3}), {0, 0, 0});
  compare_cross_entropy(batch_of({2, 3, 3, 3}), {}, 1);
  Batch large = batch_of({1, 5, 5, 4});  // neither overflow nor lost digits
  for (double& logit : large.logits) logit *= 60;
  compare_cross_entropy(large, {});
  Batch poisoned = batch_of({1, 5, 5, 3});
  poisoned.labels[4] = 1;
  poisoned.logits[4 * 3 + 2] = std::numeric_limits<double>::quiet_NaN();
  const CrossEntropySpec spec;
  DeviceTensor x(Dtype::f32, poisoned.shape, poisoned.logits), y(Dtype::u8, poisoned.label_shape(), poisoned.labels);
  const DeviceValues<CrossEntropySums> sums;
  const DeviceMemory space(cuda::cross_entropy_scratch(x.view()));
  cuda::cross_entropy_forward(spec, x.view(), y.view(), {}, sums.data(), space.data());
  EXPECT_TRUE(std::isnan(sums.value().mean));
}

void compare_soft_dice(const Batch& batch, const SoftDiceSpec& spec) {
  const Shape shape = batch.shape;
  std::vector<std::uint8_t> labels = bytes_of(batch.labels);
  const ConstView label_view = host_view(labels, Dtype::u8, batch.label_shape());
  Buffer logits(Dtype::f32, shape, batch.logits), dlogits(Dtype::f32, shape);
  const auto count = static_cast<std::size_t>((spec.batch ? 1 : shape.n) * shape.c * 3);
  std::vector<double> want(count), scratch(cpu::soft_dice_scratch(logits.view()) / sizeof(double) + 1);
  SoftDiceResult want_result;
  cpu::soft_dice_forward(spec, logits.view(), label_view, want.data(), &want_result, scratch.data());
  const double dloss = 0.5;
  cpu::soft_dice_backward(spec, logits.view(), label_view, want.data(), &dloss, dlogits.view());

  DeviceTensor x(Dtype::f32, shape, batch.logits), y(Dtype::u8, batch.label_shape(), batch.labels),
      dx(Dtype::f32, shape);
  const DeviceValues<double> sums(count), again(count), slope(std::vector<double>{dloss});
  const DeviceValues<SoftDiceResult> result;
  const DeviceMemory space(cuda::soft_dice_scratch(x.view()));
  cuda::soft_dice_forward(spec, x.view(), y.view(), again.data(), result.data(), space.data());
  cuda::soft_dice_forward(spec, x.view(), y.view(), sums.data(), result.data(), space.data());
  cuda::soft_dice_backward(spec, x.view(), y.view(), sums.data(), slope.data(), dx.view());
  expect_same_bytes(sums.values(), again.values());
  for (std::size_t i = 0; i < count; ++i) expect_close_numbers(sums.values()[i], want[i]);
  expect_close_numbers(result.value().loss, want_result.loss, 1e-5);
  EXPECT_EQ(result.value().invalid, want_result.invalid);
  expect_close(Dtype::f32, dx.values(), dlogits.values(), 1e-10);
}

TEST_F(CudaLosses, SoftDiceIsTheCpus) {
  for (const Shape shape : kShapes) {
    for (int variant = 0; variant < 4; ++variant) {
      SCOPED_TRACE(shape.text() + " variant " + std::to_string(variant));
      SoftDiceSpec spec;
      spec.batch = variant == 1;
      spec.background = variant == 2;
      if (variant == 3) spec.smooth = 0.125;
      compare_soft_dice(batch_of(shape, variant == 1 && shape.c < 256), spec);
    }
  }
}

TEST_F(CudaLosses, SoftDiceOfCornersIsTheCpus) {
  Batch ignored = batch_of({2, 3, 3, 3});
  for (std::size_t i = 0; i < 9; ++i) ignored.labels[i] = 255;
  SoftDiceSpec rough;
  rough.smooth = 0;
  compare_soft_dice(ignored, rough);
  compare_soft_dice(ignored, {});
}

void compare_loss_sum(const Batch& batch, const LossSumSpec& spec, const Values& weights) {
  const Shape shape = batch.shape, vector{1, 1, 1, shape.c};
  std::vector<std::uint8_t> labels = bytes_of(batch.labels);
  std::vector<float> class_weights(weights.begin(), weights.end());
  const ConstView on_host = weights.empty() ? ConstView{} : ConstView(host_view(class_weights, Dtype::f32, vector));
  const ConstView label_view = host_view(labels, Dtype::u8, batch.label_shape());
  Buffer logits(Dtype::f32, shape, batch.logits), dlogits(Dtype::f32, shape);
  const auto count = static_cast<std::size_t>((shape.n + 1) * shape.c * 3);
  std::vector<double> sums(count), scratch(cpu::loss_sum_scratch(logits.view()) / sizeof(double) + 1);
  LossSumResult want;
  cpu::loss_sum_forward(spec, logits.view(), label_view, on_host, sums.data(), &want, scratch.data());
  const double dloss = 0.5;
  cpu::loss_sum_backward(spec, logits.view(), label_view, on_host, sums.data(), &want, &dloss, dlogits.view());

  DeviceTensor x(Dtype::f32, shape, batch.logits), y(Dtype::u8, batch.label_shape(), batch.labels),
      dx(Dtype::f32, shape);
  const DeviceTensor w(Dtype::f32, vector, weights.empty() ? Values(static_cast<std::size_t>(shape.c)) : weights);
  const ConstView on_device = weights.empty() ? ConstView{} : ConstView(w.view());
  const DeviceValues<double> device_sums(count), slope(std::vector<double>{dloss});
  const DeviceValues<LossSumResult> result, again;
  const DeviceMemory space(cuda::loss_sum_scratch(x.view()));
  for (const auto* out : {&again, &result}) {
    cuda::loss_sum_forward(spec, x.view(), y.view(), on_device, device_sums.data(), out->data(), space.data());
  }
  cuda::loss_sum_backward(spec, x.view(), y.view(), on_device, device_sums.data(), result.data(), slope.data(),
                          dx.view());
  expect_same_bytes(result.values(), again.values());
  expect_close_numbers(result.value().pixels, want.pixels, 1e-5);
  expect_close_numbers(result.value().weight, want.weight);
  expect_close_numbers(result.value().loss, want.loss, 1e-5);
  EXPECT_EQ(result.value().invalid, want.invalid);
  expect_close(Dtype::f32, dx.values(), dlogits.values(), 1e-10);
}

const std::vector<LossSumSpec> kSums{
    {.cross_entropy = 1, .smoothing = 0.125},
    {.focal = 1},
    {.focal = 1, .gamma = 0},
    {.cross_entropy = 1, .dice = 0.5},
    {.cross_entropy = 0.5, .focal = 1, .dice_batch = 0.5, .smoothing = 0.25, .gamma = 0.5, .background = true},
    {.cross_entropy = 1, .focal = 0.5, .dice = 0.25, .dice_batch = 0.75, .smooth = 0.5}};

TEST_F(CudaLosses, SumsAreTheCpus) {
  for (const Shape shape : kShapes) {
    for (const LossSumSpec& spec : kSums) {
      for (const bool bad : {false, true}) {
        SCOPED_TRACE(shape.text() + " spec " + std::to_string(&spec - kSums.data()) + (bad ? " bad label" : ""));
        Values weights;
        for (std::int64_t c = 0; bad && c < shape.c; ++c) weights.push_back(0.25 + 0.5 * static_cast<double>(c % 4));
        compare_loss_sum(batch_of(shape, bad && shape.c < 256), spec, weights);
      }
    }
  }
}

TEST_F(CudaLosses, SumsOfCornersAreTheCpus) {
  for (const std::int64_t C : {1, 2, 3}) {
    for (LossSumSpec spec : kSums) {
      spec.smooth = 0;
      Batch batch = batch_of({2, 3, 3, C});
      compare_loss_sum(batch, spec, Values(static_cast<std::size_t>(C)));
      for (double& logit : batch.logits) logit *= 60;  // neither overflow nor lost digits
      compare_loss_sum(batch, spec, {});
      for (double& label : batch.labels) label = 255;
      compare_loss_sum(batch, spec, {});
      batch.labels[4] = 0;
      batch.logits[static_cast<std::size_t>(5 * C - 1)] = std::numeric_limits<double>::quiet_NaN();
      DeviceTensor x(Dtype::f32, batch.shape, batch.logits), y(Dtype::u8, batch.label_shape(), batch.labels);
      const DeviceValues<LossSumResult> result;
      const DeviceValues<double> sums(static_cast<std::size_t>(9 * C));
      const DeviceMemory space(cuda::loss_sum_scratch(x.view()));
      cuda::loss_sum_forward(spec, x.view(), y.view(), {}, sums.data(), result.data(), space.data());
      EXPECT_TRUE(std::isnan(result.value().loss)) << C << " classes, spec " << spec.focal;
    }
  }
}

TEST_F(CudaLosses, CountsAreTheCpus) {
  for (const Shape shape : kShapes) {
    SCOPED_TRACE(shape.text());
    Batch batch = batch_of(shape, shape.c < 256);
    batch.logits[0] = std::numeric_limits<double>::quiet_NaN();
    if (shape.c > 2) batch.logits[1] = batch.logits[2] = 50;  // the first of equals
    std::vector<std::uint8_t> labels = bytes_of(batch.labels), want(labels.size());
    Buffer logits(Dtype::f32, shape, batch.logits);
    std::vector<ClassCounts> counts(static_cast<std::size_t>(shape.n * shape.c));
    cpu::confusion(logits.view(), host_view(labels, Dtype::u8, batch.label_shape()), 255, counts.data(),
                   host_view(want, Dtype::u8, batch.label_shape()));
    DeviceTensor x(Dtype::f32, shape, batch.logits), y(Dtype::u8, batch.label_shape(), batch.labels),
        prediction(Dtype::u8, batch.label_shape());
    const DeviceValues<ClassCounts> got(counts.size()), alone(counts.size());
    cuda::confusion(x.view(), y.view(), 255, got.data(), prediction.view());
    cuda::confusion(x.view(), y.view(), 255, alone.data(), {});
    expect_same_bytes(got.values(), counts);
    expect_same_bytes(alone.values(), counts);
    EXPECT_EQ(bytes_of(prediction.values()), want);
  }
}

// Two exponentials that differ in their last digit move a pixel at the edge of a bin into the next one, and no further.
TEST_F(CudaLosses, ProbabilityBinsAreTheCpus) {
  for (const Shape shape : kShapes) {
    SCOPED_TRACE(shape.text());
    const Batch batch = batch_of(shape, true);
    std::vector<std::uint8_t> labels = bytes_of(batch.labels);
    Buffer logits(Dtype::f32, shape, batch.logits);
    const std::size_t lists = static_cast<std::size_t>(shape.c) * 2;
    std::vector<std::int64_t> want(lists * kProbabilityBins, 3);
    const DeviceTensor x(Dtype::f32, shape, batch.logits), y(Dtype::u8, batch.label_shape(), batch.labels);
    const DeviceValues<std::int64_t> bins(want);
    cpu::probability_bins(logits.view(), host_view(labels, Dtype::u8, batch.label_shape()), 255, want.data());
    cuda::probability_bins(x.view(), y.view(), 255, bins.data());
    const std::vector<std::int64_t> got = bins.values();
    std::int64_t moved = 0;
    for (std::size_t list = 0; list < lists; ++list) {
      std::int64_t ahead = 0;  // of the CPU's so far
      for (std::size_t b = 0; b < kProbabilityBins; ++b) {
        ahead += got[list * kProbabilityBins + b] - want[list * kProbabilityBins + b];
        moved += std::abs(ahead);
      }
      EXPECT_EQ(ahead, 0) << "class " << list / 2;
    }
    EXPECT_LE(moved, 2 + shape.size() / 1000);
  }
}

}  // namespace
}  // namespace unet::kernels::test::losses_test
