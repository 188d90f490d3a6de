// Tests of the engine on kCuda: on the stand-in for a GPU they always run, with the real runtime where there is a GPU.
#pragma once

#include <gtest/gtest.h>

#include "kernels/cuda/runtime.h"

namespace unet::test {

class NeedsDevice : public testing::Test {
 protected:
  void SetUp() override {
    const kernels::cuda::DeviceCount found = kernels::cuda::runtime().devices();
    if (found.count == 0) GTEST_SKIP() << "no device: " << found.reason;
  }
};

}  // namespace unet::test
