// The real runtime, with or without a GPU.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "kernels/cuda/runtime.h"

namespace unet::kernels::cuda::runtime_on_device_test {
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

/// The stream is kept busy behind the event; the copy lands between the event and what follows.
TEST(CudaDeviceRuntime, ACopyBesideTheStreamIsWaitedForByWhatFollows) {
  if (runtime().devices().count == 0) GTEST_SKIP() << "there is no device";
  constexpr std::size_t kBytes = std::size_t{8} << 20;
  auto* const pinned = static_cast<unsigned char*>(runtime().allocate_pinned(kBytes));
  auto* const back = static_cast<unsigned char*>(runtime().allocate_pinned(kBytes));
  void* const block = runtime().allocate(kBytes);
  void* const other = runtime().allocate(kBytes);
  const Event free = runtime().create_event(false);
  for (int turn = 1; turn <= 20; ++turn) {
    std::memset(pinned, turn, kBytes);
    runtime().fill_bytes(block, 0, kBytes);
    runtime().record(free);
    for (int i = 0; i < 20; ++i) runtime().fill_bytes(other, i, kBytes);
    runtime().copy_beside(block, pinned, kBytes, free);
    runtime().copy_to_host(back, block, kBytes);
    runtime().synchronize();
    EXPECT_EQ(std::count(back, back + kBytes, static_cast<unsigned char>(turn)), static_cast<std::ptrdiff_t>(kBytes));
  }
  runtime().destroy_event(free);
  runtime().release(block);
  runtime().release(other);
  runtime().release_pinned(back);
  runtime().release_pinned(pinned);
}

}  // namespace
}  // namespace unet::kernels::cuda::runtime_on_device_test
