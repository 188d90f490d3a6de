// The CUDA tests on the CPU stand-in: one seed for all orders, printed; after each test nothing may be left in device
// memory and no guard zone be written.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "tests/support/cuda_shim/fibers.h"
#include "tests/support/cuda_shim/shim_runtime.h"

namespace {

class CleanAfterwards : public ::testing::EmptyTestEventListener {
  void OnTestEnd(const ::testing::TestInfo&) override {
    using unet::shim::shim_runtime;
    shim_runtime().synchronize();
    EXPECT_EQ(shim_runtime().live_blocks(), 0);
    EXPECT_EQ(shim_runtime().live_events(), 0);
    EXPECT_EQ(shim_runtime().broken_guards(), broken_before_);
    broken_before_ = shim_runtime().broken_guards();
  }
  int broken_before_ = 0;
};

}  // namespace

int main(int count, char** words) {
  ::testing::InitGoogleTest(&count, words);
  const char* seed = std::getenv("UNET_SHIM_SEED");
  unet::shim::set_order_seed(seed != nullptr ? std::strtoull(seed, nullptr, 10) : 20240229);
  if (!::testing::GTEST_FLAG(list_tests)) std::cout << "UNET_SHIM_SEED=" << unet::shim::order_seed() << std::endl;
  ::testing::UnitTest::GetInstance()->listeners().Append(new CleanAfterwards);
  return RUN_ALL_TESTS();
}
