#include "kernels/sgd.h"

#include "tests/kernels/cuda/device_values.h"

namespace unet::kernels::test::sgd_test {
namespace {

class CudaSgd : public CudaTest {};

Shape flat(std::int64_t size) { return {1, 1, 1, size}; }

Values rounded(Values values) {
  for (double& value : values) value = stored(Dtype::bf16, value);
  return values;
}

TEST_F(CudaSgd, IsTheCpus) {
  for (const Dtype gradient_dtype : device_dtypes()) {
    for (const std::int64_t size : {64, 4096, 9024, 7}) {
      for (const bool nesterov : {false, true}) {
        SCOPED_TRACE(std::string(name_of(gradient_dtype)) + " " + std::to_string(size) + (nesterov ? " Nesterov" : ""));
        const SgdSpec spec{.momentum = 0.8, .nesterov = nesterov, .weight_decay = 0.5, .lr_scale = 0.5};
        const StepControl control{.lr = 0.1, .grad_scale = 0.75};
        const DeviceValues<StepControl> there(std::vector<StepControl>{control});
        const Values g = random_values(1, gradient_dtype, size), p = random_values(2, Dtype::f32, size),
                     b = random_values(3, Dtype::f32, size);
        Buffer cg(Dtype::f32, flat(size), g), cp(Dtype::f32, flat(size), p), cb(Dtype::f32, flat(size), b);
        DeviceTensor dg(gradient_dtype, flat(size), g), dp(Dtype::f32, flat(size), p), db(Dtype::f32, flat(size), b),
            copy(Dtype::bf16, flat(size));
        for (int step = 0; step < 3; ++step) {
          cpu::sgd(spec, &control, cg.view(), cp.view(), cb.view(), {});
          cuda::sgd(spec, there.data(), dg.view(), dp.view(), db.view(), copy.view());
        }
        expect_close(Dtype::f32, dp.values(), cp.values());
        expect_close(Dtype::f32, db.values(), cb.values());
        expect_same(copy.values(), rounded(dp.values()));
      }
    }
  }
}

TEST_F(CudaSgd, ReadsGradientsOfTwoParts) {
  for (const auto& [narrow, wide] : {std::pair{64, 64}, {9024, 128}, {20000, 8192}, {7, 5}}) {
    SCOPED_TRACE(std::to_string(narrow) + " and " + std::to_string(wide));
    const std::int64_t size = narrow + wide;
    const Values front = random_values(1, Dtype::bf16, narrow), behind = random_values(2, Dtype::f32, wide);
    Values g = front;
    g.insert(g.end(), behind.begin(), behind.end());
    const StepControl control{.lr = 0.1};
    const Values p = random_values(3, Dtype::f32, size), b = random_values(4, Dtype::f32, size);
    Buffer cg(Dtype::f32, flat(size), g), cp(Dtype::f32, flat(size), p), cb(Dtype::f32, flat(size), b);
    cpu::sgd({}, &control, cg.view(), cp.view(), cb.view(), {});
    const DeviceTensor first(Dtype::bf16, flat(narrow), front), second(Dtype::f32, flat(wide), behind);
    DeviceTensor dp(Dtype::f32, flat(size), p), db(Dtype::f32, flat(size), b), copy(Dtype::bf16, flat(narrow));
    const DeviceValues<StepControl> there(std::vector<StepControl>{control});
    cuda::sgd({}, there.data(), {first.view(), second.view()}, dp.view(), db.view(), copy.view());
    expect_close(Dtype::f32, dp.values(), cp.values());
    expect_close(Dtype::f32, db.values(), cb.values());
    Values copied = rounded(dp.values());
    copied.resize(static_cast<std::size_t>(narrow));
    expect_same(copy.values(), copied);
  }
}

TEST_F(CudaSgd, FollowsTheVerdict) {
  const DeviceValues<StepControl> there(std::vector<StepControl>{{.lr = 0.1, .verdict = StepVerdict::bad_gradient}});
  const Values p = random_values(2, Dtype::f32, 128), g = random_values(1, Dtype::f32, 128), zero(128, 0.0);
  DeviceTensor dg(Dtype::f32, flat(128), g), dp(Dtype::f32, flat(128), p), db(Dtype::f32, flat(128), zero),
      copy(Dtype::bf16, flat(128), zero);
  cuda::sgd({}, there.data(), dg.view(), dp.view(), db.view(), copy.view());
  expect_same(dp.values(), p);
  expect_same(db.values(), zero);
  expect_same(copy.values(), zero);
}

}  // namespace
}  // namespace unet::kernels::test::sgd_test
