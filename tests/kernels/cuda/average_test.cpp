#include "kernels/average.h"

#include "kernels/step_count.h"
#include "tests/kernels/cuda/device_values.h"

namespace unet::kernels::test::average_test {
namespace {

class CudaAverage : public CudaTest {};

Shape flat(std::int64_t size) { return {1, 1, 1, size}; }

TEST_F(CudaAverage, IsTheCpus) {
  for (const std::int64_t size : {64, 7, 4096, 9024, 70000}) {
    for (const std::int64_t offset : {0, 1}) {
      SCOPED_TRACE(std::to_string(size) + " offset " + std::to_string(offset));
      const StepControl control;
      const DeviceValues<StepControl> there(std::vector<StepControl>{control});
      std::int64_t steps = 0;
      const DeviceValues<std::int64_t> steps_there(std::vector<std::int64_t>{0});
      const Values begin = random_values(9, Dtype::f32, size);
      Buffer average(Dtype::f32, flat(size), begin);
      DeviceTensor average_there(Dtype::f32, flat(size), begin, 0, offset);
      for (std::uint64_t step = 1; step <= 4; ++step) {
        const Values now = random_values(step, Dtype::f32, size);
        const Buffer values(Dtype::f32, flat(size), now);
        const DeviceTensor values_there(Dtype::f32, flat(size), now, 0, offset);
        cpu::count_step(&control, &steps);
        cpu::update_average(0.75, &control, &steps, values.view(), average.view());
        cuda::count_step(there.data(), steps_there.data());
        cuda::update_average(0.75, there.data(), steps_there.data(), values_there.view(), average_there.view());
        if (step == 1) expect_same(average_there.values(), now);
        expect_close(Dtype::f32, average_there.values(), average.values());
      }
      EXPECT_EQ(steps_there.value(), 4);
    }
  }
}

TEST_F(CudaAverage, FollowsTheVerdict) {
  const DeviceValues<StepControl> there(std::vector<StepControl>{{.verdict = StepVerdict::bad_loss}});
  const DeviceValues<std::int64_t> steps(std::vector<std::int64_t>{3});
  const Values before = random_values(1, Dtype::f32, 128);
  const DeviceTensor values(Dtype::f32, flat(128), random_values(2, Dtype::f32, 128));
  DeviceTensor average(Dtype::f32, flat(128), before);
  cuda::count_step(there.data(), steps.data());
  cuda::update_average(0.5, there.data(), steps.data(), values.view(), average.view());
  EXPECT_EQ(steps.value(), 3);
  expect_same(average.values(), before);
}

}  // namespace
}  // namespace unet::kernels::test::average_test
