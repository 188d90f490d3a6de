// Tests that need cuDNN (not a GPU) skip without it, unless UNET_REQUIRE_CUDA is set: then its absence is a failure.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "kernels/cuda/libraries.h"

namespace unet::tests {

class NeedsCudnn : public testing::Test {
 protected:
  void SetUp() override {
    try {
      kernels::cuda::cudnn_library();
    } catch (const std::runtime_error& reason) {
      if (std::getenv("UNET_REQUIRE_CUDA") != nullptr) FAIL() << reason.what();
      GTEST_SKIP() << reason.what();
    }
  }
};

}  // namespace unet::tests
