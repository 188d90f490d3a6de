// How many kernels an op launches, where that was paid for: fewer than its parts one by one.
#include "kernels/conv_transpose.h"
#include "kernels/pixel_linear.h"
#include "tests/kernels/cuda/harness.h"
#include "tests/support/cuda_shim/shim_runtime.h"

namespace unet::kernels::test::launches_on_stand_in_test {
namespace {

class CudaLaunches : public CudaTest {
 protected:
  template <class Body>
  static std::uint64_t launches_of(Body&& body) {
    const std::uint64_t before = shim::shim_runtime().launches();
    body();
    return shim::shim_runtime().launches() - before;
  }
};

TEST_F(CudaLaunches, ATransposedConvolutionGathersItsGradientOnce) {
  const Shape shape{1, 4, 6, 16}, matrix{16, 2, 2, 8}, out{1, 8, 12, 8};
  const DeviceTensor x(Dtype::bf16, shape), w(Dtype::bf16, matrix), dy(Dtype::bf16, out, 8);
  const DeviceTensor dx(Dtype::bf16, shape), dw(Dtype::bf16, matrix), db(Dtype::f32, {1, 1, 1, 8});
  const DeviceMemory scratch(cuda::conv_transpose_scratch(x.view(), 8));
  const auto backward = [&](View bias) {
    return launches_of([&] {
      cuda::conv_transpose_backward(x.view(), w.view(), dy.view(), dx.view(), dw.view(), bias, scratch.data());
    });
  };
  EXPECT_EQ(backward({}), 1u);         // beside the products, which are no kernels of ours
  EXPECT_EQ(backward(db.view()), 2u);  // what the blocks have summed up is added
}

TEST_F(CudaLaunches, TheHeadAddsItsGradientsUpTogether) {
  const Shape shape{1, 4, 6, 16}, matrix{2, 1, 1, 16}, out{1, 4, 6, 2};
  const DeviceTensor x(Dtype::bf16, shape), w(Dtype::f32, matrix), dy(Dtype::f32, out), dx(Dtype::bf16, shape);
  const DeviceTensor dw(Dtype::f32, matrix), db(Dtype::f32, {1, 1, 1, 2});
  const DeviceMemory scratch(cuda::pixel_linear_scratch(x.view(), 2));
  EXPECT_EQ(launches_of([&] {
              cuda::pixel_linear_backward(x.view(), w.view(), dy.view(), dx.view(), dw.view(), db.view(),
                                          scratch.data());
            }),
            2u);
}

}  // namespace
}  // namespace unet::kernels::test::launches_on_stand_in_test
