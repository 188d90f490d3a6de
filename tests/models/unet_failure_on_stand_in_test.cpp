// The engine's host code against a CUDA runtime that fails: always a clean error, nothing left behind.
#include <gtest/gtest.h>

#include "engine/core/device_memory.h"
#include "tests/models/unet_steps.h"
#include "tests/support/cuda_shim/failing_runtime.h"
#include "tests/support/cuda_shim/shim_runtime.h"
#include "tests/support/long_run.h"

namespace unet::test::unet_failure_on_stand_in_test {
namespace {

/// Whatever call fails, the step ends in an exception that says so, and nothing stays behind on the device.
TEST(CudaEngineFailure, OfAnyCallIsACleanError) {
  const auto step = [] {
    models::UNet model({3, 2, 1, false}, 3, {.device = kCuda, .bf16_copies = true});
    Adam adam(model.parameters(), {});
    Step steps(model.parameters(), adam);
    for (int i = 0; i < 2; ++i) {
      issue(model, steps, Loss::cross_entropy, batch_of(kSmall), Dtype::bf16);
      steps.take_result(1);
    }
    EXPECT_TRUE(steps.take_result()->committed);
  };
  shim::ShimRuntime& real = shim::shim_runtime();
  // run_conv's workspace stays for the next step: it is there before and after.
  step();
  trim(kCuda);
  const int blocks = real.live_blocks(), events = real.live_events();
  shim::FailingRuntime counting(real, 0);
  kernels::cuda::set_runtime(&counting);
  step();
  trim(kCuda);
  const std::uint64_t calls = counting.calls();
  ASSERT_GT(calls, 300u);
  std::uint64_t failed = 0;
  const std::uint64_t stride = tests::long_run() ? 1 : 29;
  for (std::uint64_t n = 1; n <= calls; n += stride) {
    for (const bool for_good : {false, true}) {  // true: as after a crash of a kernel
      shim::FailingRuntime failing(real, n, for_good);
      kernels::cuda::set_runtime(&failing);
      std::string message;
      try {
        step();
      } catch (const std::exception& error) {
        message = error.what();
      }
      kernels::cuda::set_runtime(nullptr);
      failed += !message.empty() && !for_good;
      // No message: a second try had memory, or it was a destructor's wait for what it gives back.
      EXPECT_TRUE(message.empty() || message.find("as the test wants") != std::string::npos ||
                  message.find("out of memory") != std::string::npos)
          << "call " << n << ": " << message;
      trim(kCuda);
      ASSERT_EQ(real.live_blocks(), blocks) << "after call " << n << ": " << message;
      ASSERT_EQ(real.live_events(), events) << "after call " << n << ": " << message;
      ASSERT_EQ(real.broken_guards(), 0) << "after call " << n;
    }
  }
  EXPECT_GT(failed * stride, calls / 2);
  kernels::cuda::set_runtime(nullptr);
  step();
}

TEST(CudaEngineFailure, OutOfDeviceMemorySaysHowMuch) {
  shim::ShimRuntime small(std::size_t{6} << 20);
  trim(kCuda);
  kernels::cuda::set_runtime(&small);
  std::string message;
  try {
    models::UNet model({3, 2, 16, false}, 3, {.device = kCuda});
  } catch (const std::exception& error) {
    message = error.what();
  }
  trim(kCuda);
  kernels::cuda::set_runtime(nullptr);
  EXPECT_EQ(small.live_blocks(), 0);
  for (const char* part : {"out of memory", "requested", "in use", "cached", "free", "--batch-size"}) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace unet::test::unet_failure_on_stand_in_test
