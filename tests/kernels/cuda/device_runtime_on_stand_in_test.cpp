// The real runtime's source over a CUDA runtime library that takes notes.
#include "tests/support/libraries/noting_cudart.h"

#define default_runtime device_runtime  // this program has the stand-in's
#include "kernels/cuda/device_runtime.cpp"
#undef default_runtime

#include <gtest/gtest.h>

#include <algorithm>

namespace unet::kernels::cuda::device_runtime_on_stand_in_test {
namespace {

std::string error_of(const auto& work) {
  try {
    work();
  } catch (const CudaError& error) {
    return error.what();
  }
  return "no error";
}

/// What a call comes to, once the stream is there.
std::vector<std::string> notes_of(const auto& work) {
  device_runtime().stream();
  notes.clear();
  work();
  return notes;
}

/// A host that waits leaves its core to others: image decoding, or a second training.
TEST(CudaRuntimeCalls, WaitsAreNoSpinning) {
  const std::string blocking = "cudaEventCreateWithFlags " + std::to_string(cudaEventBlockingSync);
  const std::string untimed =
      "cudaEventCreateWithFlags " + std::to_string(cudaEventBlockingSync | cudaEventDisableTiming);
  EXPECT_EQ(notes_of([] { device_runtime().create_event(true); }), std::vector{blocking});
  EXPECT_EQ(notes_of([] { device_runtime().create_event(false); }), std::vector{untimed});
  const std::vector<std::string> first = notes_of([] { device_runtime().synchronize(); });
  EXPECT_EQ(std::count(first.begin(), first.end(), "cudaStreamSynchronize"), 0);  // it would spin
  EXPECT_EQ(notes_of([] { device_runtime().synchronize(); }),
            (std::vector<std::string>{"cudaEventRecord", "cudaEventSynchronize"}));
}

/// The copy on a stream of its own, between the event and what the one stream does from now on.
TEST(CudaRuntimeCalls, ACopyBesideTheStreamIsWaitedFor) {
  void* const stream = device_runtime().stream();
  void* const free = device_runtime().create_event(false);
  device_runtime().copy_beside(nullptr, nullptr, 8, free);  // makes the other stream
  queued.clear();
  EXPECT_EQ(
      notes_of([&] { device_runtime().copy_beside(nullptr, nullptr, 8, free); }),
      (std::vector<std::string>{"cudaStreamWaitEvent", "cudaMemcpyAsync", "cudaEventRecord", "cudaStreamWaitEvent"}));
  ASSERT_EQ(queued.size(), 4u);
  const auto [beside, copied] = queued[2];
  EXPECT_NE(beside, stream);
  EXPECT_NE(copied, free);
  EXPECT_EQ(queued[0], std::pair(beside, free));
  EXPECT_EQ(queued[1].first, beside);
  EXPECT_EQ(queued[3], std::pair(stream, copied));
}

TEST(CudaRuntimeCalls, AnErrorNamesTheCallAndIsReportedOnce) {
  const auto failing = [](const auto& work) {
    return notes_of([&] {
      next_error = 1;
      EXPECT_NE(error_of(work), "no error");
    });
  };
  EXPECT_EQ(failing([] { device_runtime().memory(); }),
            (std::vector<std::string>{"cudaMemGetInfo", "cudaGetLastError"}));
  EXPECT_EQ(failing([] { device_runtime().launch({}); }),
            (std::vector<std::string>{"cudaLaunchKernel", "cudaGetLastError"}));
  next_error = 1;
  EXPECT_EQ(error_of([] { device_runtime().launch({}); }),
            "cudaLaunchKernel: cudaErrorNoted (as the test wants) of some_kernel");
}

TEST(CudaRuntimeCalls, TooLittleMemoryIsNoError) {
  next_error = cudaErrorMemoryAllocation;
  EXPECT_EQ(device_runtime().allocate(1), nullptr);
  next_error = cudaErrorMemoryAllocation;
  EXPECT_EQ(device_runtime().allocate_pinned(1), nullptr);
  EXPECT_NE(device_runtime().allocate(1), nullptr);
}

TEST(CudaRuntimeCalls, WhatIsNotDoneIsNotPassed) {
  next_error = cudaErrorNotReady;
  EXPECT_FALSE(device_runtime().passed(nullptr));
  EXPECT_TRUE(device_runtime().passed(nullptr));
}

}  // namespace
}  // namespace unet::kernels::cuda::device_runtime_on_stand_in_test
