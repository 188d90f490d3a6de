// What cuBLASLt is told and how often it is asked, by a library in its place.
#include "kernels/cuda/gemm.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "kernels/cuda/libraries.h"
#include "tests/support/cuda_shim/failing_runtime.h"
#include "tests/support/places.h"

namespace unet::tests::gemm_with_cudnn_test {
namespace {

/// Has a stream without a device.
struct NoDevice : shim::FailingRuntime {
  NoDevice() : FailingRuntime(kernels::cuda::default_runtime(), 0) {}
  void* stream() override { return nullptr; }
};

TEST(CudaGemm, AsksOnceForEachProductAndForOperandsAsTheyAreAligned) {
  const std::string library = places::build("lib/unet_fake_cublaslt.so");
  ::setenv("UNET_CUBLASLT", library.c_str(), 1);
  if (kernels::cuda::cublaslt_library().path() != library) GTEST_SKIP() << "the real library is open";
  void* const fake = ::dlopen(library.c_str(), RTLD_NOW | RTLD_NOLOAD);
  ASSERT_NE(fake, nullptr);
  const auto seen = [&](const char* name) { return *static_cast<const int*>(::dlsym(fake, name)); };
  NoDevice runtime;
  kernels::cuda::set_runtime(&runtime);
  using kernels::Dtype;
  const kernels::cuda::GemmShape one{8, 16, 24}, other{8, 16, 24, true, false, false};
  for (int step = 0; step < 3; ++step) {
    kernels::cuda::gemm(one, nullptr, nullptr, Dtype::bf16, nullptr, Dtype::bf16, nullptr);
    kernels::cuda::gemm(other, nullptr, nullptr, Dtype::bf16, nullptr, Dtype::bf16, nullptr);
    kernels::cuda::gemm(other, nullptr, nullptr, Dtype::bf16, nullptr, Dtype::f32, nullptr);
  }
  kernels::cuda::set_runtime(nullptr);
  EXPECT_EQ(seen("fake_products"), 9);
  EXPECT_EQ(seen("fake_heuristics"), 3);
  EXPECT_LE(seen("fake_alignment"), 128);  // slices of the arena of bf16 copies
}

}  // namespace
}  // namespace unet::tests::gemm_with_cudnn_test
