#include "kernels/elementwise.h"

#include "tests/kernels/cuda/harness.h"

namespace unet::kernels::test::elementwise_test {
namespace {

using CudaElementwise = CudaTest;

/// A channel slice (gap 8 keeps 16-byte accesses possible, gap 3 does not) and dense.
constexpr std::int64_t kGaps[] = {0, 3, 8};

TEST_F(CudaElementwise, AddIsTheCpus) {
  for (const Dtype dtype : device_dtypes()) {
    for (const Shape shape : shapes()) {
      for (const std::int64_t gap : kGaps) {
        SCOPED_TRACE(std::string(name_of(dtype)) + " " + shape.text() + " gap " + std::to_string(gap));
        const Values a = random_values(1, dtype, shape.size()), b = random_values(2, dtype, shape.size());
        DeviceTensor da(dtype, shape, a, gap), db(dtype, shape, b), dy(dtype, shape, 2 * gap);
        cuda::add(da.view(), db.view(), dy.view());
        cuda::add_to(da.view(), db.view());
        Buffer ca(Dtype::f32, shape, a), cb(Dtype::f32, shape, b), cy(Dtype::f32, shape);
        cpu::add(ca.view(), cb.view(), cy.view());
        expect_close(dtype, dy.values(), cy.values(), 0);
        expect_close(dtype, db.values(), cy.values(), 0);
        expect_same(da.values(), a);
      }
    }
  }
}

TEST_F(CudaElementwise, Bf16IsAddedToF32) {
  for (const Shape shape : shapes()) {
    for (const std::int64_t gap : kGaps) {
      SCOPED_TRACE(shape.text() + " gap " + std::to_string(gap));
      const Values x = random_values(1, Dtype::bf16, shape.size()), y = random_values(2, Dtype::f32, shape.size());
      const DeviceTensor dx(Dtype::bf16, shape, x, gap);
      DeviceTensor dy(Dtype::f32, shape, y);
      cuda::add_to(dx.view(), dy.view());
      Buffer cx(Dtype::f32, shape, x), cy(Dtype::f32, shape, y);
      cpu::add_to(cx.view(), cy.view());
      expect_same(dy.values(), cy.values());
    }
  }
}

TEST_F(CudaElementwise, CopyMovesAndConverts) {
  for (const Dtype from : device_dtypes()) {
    for (const Dtype to : device_dtypes()) {
      for (const Shape shape : shapes()) {
        for (const std::int64_t gap : kGaps) {
          SCOPED_TRACE(std::string(name_of(from)) + " to " + name_of(to) + " " + shape.text());
          Values x = random_values(3, from, shape.size());
          x[0] = std::numeric_limits<double>::quiet_NaN();
          x[x.size() / 2] = -std::numeric_limits<double>::infinity();
          DeviceTensor dx(from, shape, x, gap), dy(to, shape, gap == 3 ? 0 : gap);
          cuda::copy(dx.view(), dy.view());
          for (double& value : x) value = stored(to, value);
          expect_same(dy.values(), x);
        }
      }
    }
  }
}

TEST_F(CudaElementwise, DenseTensorsNeedNoAlignment) {
  for (const Dtype dtype : device_dtypes()) {
    const Shape shape{1, 9, 11, 13};
    const Values a = random_values(4, dtype, shape.size());
    DeviceTensor dx(dtype, shape, a, 0, 1), dy(dtype, shape, 0, 3);
    cuda::copy(dx.view(), dy.view());
    expect_same(dy.values(), a);
  }
}

TEST_F(CudaElementwise, Fill) {
  for (const Dtype dtype : device_dtypes()) {
    for (const std::int64_t gap : kGaps) {
      for (const double value : {0.0, -1.5}) {
        const Shape shape{2, 3, 5, 24};
        DeviceTensor y(dtype, shape, gap);
        cuda::fill(y.view(), value);
        expect_same(y.values(), Values(static_cast<std::size_t>(shape.size()), value));
      }
    }
  }
  DeviceTensor counts(Dtype::i32, {1, 1, 1, 7});
  cuda::fill(counts.view(), 0);
  expect_same(counts.values(), Values(7, 0));
}

TEST_F(CudaElementwise, EmptyTensorsAreFine) {
  DeviceTensor x(Dtype::f32, {0, 3, 3, 8});
  cuda::add_to(x.view(), x.view());
  EXPECT_TRUE(x.values().empty());
}

TEST_F(CudaElementwise, RefusesOtherDtypes) {
  DeviceTensor x(Dtype::i32, {1, 1, 1, 8});
  EXPECT_THROW(cuda::add_to(x.view(), x.view()), std::logic_error);
  EXPECT_THROW(cuda::fill(x.view(), 1), std::logic_error);
}

}  // namespace
}  // namespace unet::kernels::test::elementwise_test
