// The real runtime, with or without a GPU.
#include <gtest/gtest.h>

#include <string>

#include "kernels/cuda/runtime.h"

namespace unet::kernels::cuda {
namespace {

TEST(CudaDeviceRuntime, SaysWhyThereIsNoDevice) {
  const DeviceCount found = runtime().devices();
  EXPECT_EQ(found.count == 0, !found.reason.empty()) << found.reason;
}

TEST(CudaDeviceRuntime, AFailedCallNamesItselfAndTheError) {
  if (runtime().devices().count > 0) GTEST_SKIP() << "there is a device: calls do not fail";
  try {
    runtime().memory();
    FAIL() << "no error";
  } catch (const CudaError& error) {
    EXPECT_EQ(std::string(error.what()).rfind("cudaMemGetInfo: cudaError", 0), 0u) << error.what();
  }
}

}  // namespace
}  // namespace unet::kernels::cuda
