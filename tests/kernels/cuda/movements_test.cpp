// relu, max_pool, pad, upsample, channel_sum, fold_norm, running_stats against the CPU's.
#include "kernels/channel_sum.h"
#include "kernels/fold_norm.h"
#include "kernels/pad.h"
#include "kernels/relu.h"
#include "kernels/running_stats.h"
#include "kernels/upsample.h"
#include "kernels/upsample_nearest.h"
#include "tests/kernels/cuda/harness.h"
#include "tests/kernels/pool_reference.h"

namespace unet::kernels::test::movements_test {
namespace {

using CudaRelu = CudaTest;
using CudaMaxPool = CudaTest;
using CudaPad = CudaTest;
using CudaUpsample = CudaTest;
using CudaChannelSum = CudaTest;
using CudaFoldNorm = CudaTest;
using CudaRunningStats = CudaTest;

/// Calls body(dtype, shape, gap) for all of the op-test shapes; gap 8 leaves whole chunks, 3 does not.
void for_cases(const std::function<void(Dtype, Shape, std::int64_t)>& body) {
  for (const Dtype dtype : device_dtypes()) {
    for (const Shape shape : shapes()) {
      for (const std::int64_t gap : {0, 3, 8}) {
        SCOPED_TRACE(std::string(name_of(dtype)) + " " + shape.text() + " gap " + std::to_string(gap));
        body(dtype, shape, gap);
      }
    }
  }
}

const double kNan = std::numeric_limits<double>::quiet_NaN();

TEST_F(CudaRelu, IsTheCpus) {
  for_cases([](Dtype dtype, Shape shape, std::int64_t gap) {
    Values x = random_values(1, dtype, shape.size());
    x[x.size() / 2] = 0;
    if (x.size() > 4) x[1] = kNan;
    const Values dy = random_values(2, dtype, shape.size());
    DeviceTensor dev_x(dtype, shape, x, gap), dev_dy(dtype, shape, dy), y(dtype, shape, 2 * gap), dx(dtype, shape, gap);
    cuda::relu_forward(dev_x.view(), y.view());
    cuda::relu_backward(y.view(), dev_dy.view(), dx.view());
    Buffer cpu_x(dtype, shape, x), cpu_dy(dtype, shape, dy), cpu_y(dtype, shape), cpu_dx(dtype, shape);
    cpu::relu_forward(cpu_x.view(), cpu_y.view());
    cpu::relu_backward(cpu_y.view(), cpu_dy.view(), cpu_dx.view());
    expect_same(y.values(), cpu_y.values());
    expect_same(dx.values(), cpu_dx.values());
  });
}

TEST_F(CudaMaxPool, IsTheCpusWithTiesAndNan) {
  for_cases([](Dtype dtype, Shape shape, std::int64_t gap) {
    for (const PoolSpec& spec : pool_specs()) {
      SCOPED_TRACE(spec.kernel);
      const Shape out = pooled(spec, shape);
      const Values x = pool_values(1, dtype, shape), dy = random_values(2, dtype, out.size());
      DeviceTensor dev_x(dtype, shape, x, gap), y(dtype, out, gap), dev_dy(dtype, out, dy, 2 * gap),
          dx(dtype, shape, gap);
      cuda::max_pool_forward(spec, dev_x.view(), y.view());
      cuda::max_pool_backward(spec, dev_x.view(), dev_dy.view(), dx.view());
      const PoolResult want = pool_reference(spec, dtype, shape, x, dy);
      expect_same(y.values(), want.y);
      expect_same(dx.values(), want.dx);
    }
  });
}

TEST_F(CudaPad, GrowsAndCrops) {
  for_cases([](Dtype dtype, Shape shape, std::int64_t gap) {
    const Shape to{shape.n, shape.h % 3 == 0 ? shape.h - 1 : shape.h + 2, shape.w % 2 == 0 ? shape.w - 1 : shape.w + 3,
                   shape.c};
    const Values x = random_values(1, dtype, shape.size());
    DeviceTensor dev_x(dtype, shape, x, gap), y(dtype, to, 2 * gap);
    cuda::pad_or_crop(dev_x.view(), y.view());
    Buffer cpu_x(dtype, shape, x), cpu_y(dtype, to);
    cpu::pad_or_crop(cpu_x.view(), cpu_y.view());
    expect_same(y.values(), cpu_y.values());
  });
}

TEST_F(CudaUpsample, IsTheCpus) {
  for_cases([](Dtype dtype, Shape shape, std::int64_t gap) {
    for (const bool align_corners : {false, true}) {
      SCOPED_TRACE(align_corners ? "align_corners" : "");
      const Shape twice{shape.n, 2 * shape.h, 2 * shape.w, shape.c};
      const Values x = random_values(1, dtype, shape.size()), dy = random_values(2, dtype, twice.size());
      DeviceTensor dev_x(dtype, shape, x, gap), y(dtype, twice, gap), dev_dy(dtype, twice, dy, gap),
          dx(dtype, shape, gap);
      cuda::upsample_bilinear_forward(dev_x.view(), align_corners, y.view());
      cuda::upsample_bilinear_backward(dev_dy.view(), align_corners, dx.view());
      Buffer cpu_x(Dtype::f32, shape, x), cpu_y(Dtype::f32, twice), cpu_dy(Dtype::f32, twice, dy),
          cpu_dx(Dtype::f32, shape);
      cpu::upsample_bilinear_forward(cpu_x.view(), align_corners, cpu_y.view());
      cpu::upsample_bilinear_backward(cpu_dy.view(), align_corners, cpu_dx.view());
      expect_close(dtype, y.values(), cpu_y.values());
      expect_close(dtype, dx.values(), cpu_dx.values());
    }
  });
}

TEST_F(CudaUpsample, NearestIsTheCpus) {
  for_cases([](Dtype dtype, Shape shape, std::int64_t gap) {
    const Shape twice{shape.n, 2 * shape.h, 2 * shape.w, shape.c};
    const Values x = random_values(1, dtype, shape.size()), dy = random_values(2, dtype, twice.size());
    DeviceTensor dev_x(dtype, shape, x, gap), y(dtype, twice, 2 * gap), dev_dy(dtype, twice, dy, gap),
        dx(dtype, shape, gap);
    cuda::upsample_nearest_forward(dev_x.view(), y.view());
    cuda::upsample_nearest_backward(dev_dy.view(), dx.view());
    Buffer cpu_x(dtype, shape, x), cpu_y(dtype, twice), cpu_dy(dtype, twice, dy), cpu_dx(dtype, shape);
    cpu::upsample_nearest_forward(cpu_x.view(), cpu_y.view());
    cpu::upsample_nearest_backward(cpu_dy.view(), cpu_dx.view());
    expect_same(y.values(), cpu_y.values());
    expect_same(dx.values(), cpu_dx.values());
  });
}

void expect_channel_sum(Dtype dtype, Shape shape, std::int64_t gap) {
  const Values x = random_values(1, dtype, shape.size(), 0.5);
  const Shape vector{1, 1, 1, shape.c};
  DeviceTensor dev_x(dtype, shape, x, gap), out(Dtype::f32, vector);
  const DeviceMemory scratch(cuda::channel_sum_scratch(dev_x.view()));
  cuda::channel_sum(dev_x.view(), out.view(), scratch.data());
  Buffer cpu_x(Dtype::f32, shape, x), cpu_out(Dtype::f32, vector);
  std::vector<double> cpu_scratch(cpu::channel_sum_scratch(cpu_x.view()) / sizeof(double) + 1);
  cpu::channel_sum(cpu_x.view(), cpu_out.view(), cpu_scratch.data());
  expect_close(Dtype::f32, out.values(), cpu_out.values());
}

TEST_F(CudaChannelSum, IsTheCpus) {
  for_cases(expect_channel_sum);
  expect_channel_sum(Dtype::bf16, {2, 90, 70, 72}, 0);  // many blocks, each of several turns
  expect_channel_sum(Dtype::f32, {1, 50, 31, 300}, 3);
}

TEST_F(CudaFoldNorm, IsTheCpus) {
  const Shape weights{5, 3, 3, 7}, vector{1, 1, 1, 5};
  const Values mean = random_values(4, Dtype::f32, 5), gamma = random_values(2, Dtype::f32, 5);
  const Values beta = random_values(3, Dtype::f32, 5);
  Values variance = random_values(5, Dtype::f32, 5);
  for (double& value : variance) value *= value;
  for (double& value : variance) value = stored(Dtype::f32, value);
  for (const Dtype from : device_dtypes()) {
    for (const Dtype to : device_dtypes()) {
      const Values w = random_values(1, from, weights.size());
      DeviceTensor dev_w(from, weights, w), dev_gamma(Dtype::f32, vector, gamma), dev_beta(Dtype::f32, vector, beta);
      DeviceTensor dev_mean(Dtype::f32, vector, mean), dev_variance(Dtype::f32, vector, variance);
      DeviceTensor scale(Dtype::f32, vector), bias(Dtype::f32, vector), rstd(Dtype::f32, vector), scaled(to, weights);
      cuda::fold_norm(dev_gamma.view(), dev_beta.view(), dev_mean.view(), dev_variance.view(), 1e-5, scale.view(),
                      bias.view());
      cuda::scale_filters(dev_w.view(), scale.view(), scaled.view());
      cuda::inverse_deviation(dev_variance.view(), 1e-5, rstd.view());
      Buffer cpu_w(Dtype::f32, weights, w), cpu_gamma(Dtype::f32, vector, gamma), cpu_beta(Dtype::f32, vector, beta);
      Buffer cpu_mean(Dtype::f32, vector, mean), cpu_variance(Dtype::f32, vector, variance);
      Buffer cpu_scale(Dtype::f32, vector), cpu_bias(Dtype::f32, vector), cpu_rstd(Dtype::f32, vector);
      Buffer cpu_scaled(Dtype::f32, weights);
      cpu::fold_norm(cpu_gamma.view(), cpu_beta.view(), cpu_mean.view(), cpu_variance.view(), 1e-5, cpu_scale.view(),
                     cpu_bias.view());
      cpu::scale_filters(cpu_w.view(), cpu_scale.view(), cpu_scaled.view());
      cpu::inverse_deviation(cpu_variance.view(), 1e-5, cpu_rstd.view());
      expect_close(to, scaled.values(), cpu_scaled.values());
      expect_close(Dtype::f32, scale.values(), cpu_scale.values());
      expect_close(Dtype::f32, bias.values(), cpu_bias.values());
      expect_close(Dtype::f32, rstd.values(), cpu_rstd.values());
    }
  }
}

TEST_F(CudaRunningStats, FollowTheVerdict) {
  const Shape flat{1, 1, 1, 1031};
  const Values batch = random_values(1, Dtype::f32, flat.size()), running = random_values(2, Dtype::f32, flat.size());
  for (const StepVerdict verdict : {StepVerdict::commit, StepVerdict::bad_loss}) {
    StepControl control;
    control.verdict = verdict;
    const DeviceMemory dev_control(sizeof control);
    cuda::runtime().copy_to_device(dev_control.data(), &control, sizeof control);
    DeviceTensor dev_batch(Dtype::f32, flat, batch), dev_running(Dtype::f32, flat, running);
    cuda::update_running_stats(0.1, static_cast<const StepControl*>(dev_control.data()), dev_batch.view(),
                               dev_running.view());
    Buffer cpu_batch(Dtype::f32, flat, batch), cpu_running(Dtype::f32, flat, running);
    cpu::update_running_stats(0.1, &control, cpu_batch.view(), cpu_running.view());
    expect_close(Dtype::f32, dev_running.values(), cpu_running.values(), verdict == StepVerdict::commit ? 1e-12 : 0);
  }
}

}  // namespace
}  // namespace unet::kernels::test::movements_test
