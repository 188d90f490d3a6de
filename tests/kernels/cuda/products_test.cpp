// Convolutions' surroundings, transposed convolution and the heads on the device, held against the CPU's.
#include <array>

#include "kernels/conv_plan.h"
#include "kernels/conv_transpose.h"
#include "kernels/cuda/conv_epilogue.h"
#include "kernels/head_conv.h"
#include "kernels/pixel_linear.h"
#include "tests/kernels/cuda/device_values.h"

namespace unet::kernels::test::products_test {
namespace {

class CudaProducts : public CudaTest {};

std::string label(Dtype dtype, const Shape& shape, std::int64_t other) {
  return std::string(name_of(dtype)) + " " + shape.text() + " and " + std::to_string(other);
}

TEST_F(CudaProducts, PixelLinearIsTheCpus) {
  // Several blocks; several chunks a thread; every number of threads that share a pixel.
  const std::vector<Shape> large{{1, 20, 30, 64}, {1, 15, 20, 300}, {1, 9, 5, 16}, {1, 6, 7, 24}, {1, 5, 9, 128}};
  std::vector<Shape> all = shapes();
  all.insert(all.end(), large.begin(), large.end());
  for (const Dtype dtype : device_dtypes()) {
    for (const Shape shape : all) {
      for (const std::int64_t K : {1, 2, 5}) {
        SCOPED_TRACE(label(dtype, shape, K));
        const Shape out{shape.n, shape.h, shape.w, K}, matrix{K, 1, 1, shape.c}, vector{1, 1, 1, K};
        const Values x = random_values(1, dtype, shape.size()), w = random_values(2, Dtype::f32, matrix.size());
        const Values b = random_values(3, Dtype::f32, K), dy = random_values(4, Dtype::f32, out.size());
        Buffer cx(Dtype::f32, shape, x), cw(Dtype::f32, matrix, w), cb(Dtype::f32, vector, b), cdy(Dtype::f32, out, dy);
        Buffer cy(Dtype::f32, out), cdx(Dtype::f32, shape), cdw(Dtype::f32, matrix), cdb(Dtype::f32, vector);
        std::vector<double> space(cpu::pixel_linear_scratch(cx.view(), K) / sizeof(double) + 8);
        cpu::pixel_linear_forward(cx.view(), cw.view(), cb.view(), cy.view());
        cpu::pixel_linear_backward(cx.view(), cw.view(), cdy.view(), cdx.view(), cdw.view(), cdb.view(), space.data());

        const DeviceTensor tx(dtype, shape, x), tw(Dtype::f32, matrix, w), tb(Dtype::f32, vector, b),
            tdy(Dtype::f32, out, dy);
        DeviceTensor y(Dtype::f32, out), dx(dtype, shape), dw(Dtype::f32, matrix), db(Dtype::f32, vector);
        const DeviceMemory scratch(cuda::pixel_linear_scratch(tx.view(), K));
        cuda::pixel_linear_forward(tx.view(), tw.view(), tb.view(), y.view());
        cuda::pixel_linear_backward(tx.view(), tw.view(), tdy.view(), dx.view(), dw.view(), db.view(), scratch.data());
        expect_close(Dtype::f32, y.values(), cy.values());
        expect_close(dtype, dx.values(), cdx.values());
        expect_close(Dtype::f32, dw.values(), cdw.values());
        expect_close(Dtype::f32, db.values(), cdb.values());

        DeviceTensor dw_alone(Dtype::f32, matrix), db_alone(Dtype::f32, vector), dx_alone(dtype, shape);
        cuda::pixel_linear_backward(tx.view(), tw.view(), tdy.view(), {}, dw_alone.view(), {}, scratch.data());
        cuda::pixel_linear_backward(tx.view(), tw.view(), tdy.view(), {}, {}, db_alone.view(), scratch.data());
        cuda::pixel_linear_backward(tx.view(), tw.view(), tdy.view(), dx_alone.view(), {}, {}, nullptr);
        expect_same(dw_alone.values(), dw.values());
        expect_same(db_alone.values(), db.values());
        expect_same(dx_alone.values(), dx.values());

        DeviceTensor over(dtype, shape, x);  // dx is written where x is
        cuda::pixel_linear_backward(over.view(), tw.view(), tdy.view(), over.view(), dw_alone.view(), db_alone.view(),
                                    scratch.data());
        expect_same(over.values(), dx.values());
        expect_same(dw_alone.values(), dw.values());
        expect_same(db_alone.values(), db.values());
        DeviceTensor dx_over(dtype, shape, x);
        cuda::pixel_linear_backward(dx_over.view(), tw.view(), tdy.view(), dx_over.view(), {}, {}, nullptr);
        expect_same(dx_over.values(), dx.values());
      }
    }
  }
}

TEST_F(CudaProducts, HeadConvIsTheCpus) {
  // Several blocks; several chunks a thread; every number of threads that share a pixel.
  const std::vector<Shape> all{{1, 1, 1, 1}, {2, 1, 1, 8},  {1, 1, 7, 8},    {3, 5, 1, 17},
                               {1, 9, 9, 3}, {2, 5, 7, 31}, {2, 33, 50, 16}, {1, 3, 6, 300},
                               {1, 9, 5, 8}, {1, 6, 7, 24}, {2, 5, 9, 4}};
  for (const Dtype dtype : device_dtypes()) {
    for (const Shape shape : all) {
      for (const std::int64_t K : {1, 2, 5}) {
        SCOPED_TRACE(label(dtype, shape, K));
        const Shape out{shape.n, shape.h, shape.w, K}, filters{K, 3, 3, shape.c}, vector{1, 1, 1, K};
        const Values x = random_values(1, dtype, shape.size()), w = random_values(2, Dtype::f32, filters.size());
        const Values b = random_values(3, Dtype::f32, K), dy = random_values(4, Dtype::f32, out.size());
        Buffer cx(Dtype::f32, shape, x), cw(Dtype::f32, filters, w), cb(Dtype::f32, vector, b);
        Buffer cdy(Dtype::f32, out, dy), cy(Dtype::f32, out), cdx(Dtype::f32, shape), cdw(Dtype::f32, filters);
        std::vector<double> space(cpu::head_conv_scratch(cx.view(), K) / sizeof(double));
        cpu::head_conv_forward(cx.view(), cw.view(), cb.view(), cy.view());
        cpu::head_conv_backward(cx.view(), cw.view(), cdy.view(), cdx.view(), cdw.view(), space.data());

        const DeviceTensor tx(dtype, shape, x), tw(Dtype::f32, filters, w), tb(Dtype::f32, vector, b),
            tdy(Dtype::f32, out, dy);
        DeviceTensor y(Dtype::f32, out), dx(dtype, shape), dw(Dtype::f32, filters);
        const DeviceMemory scratch(cuda::head_conv_scratch(tx.view(), K));
        cuda::head_conv_forward(tx.view(), tw.view(), tb.view(), y.view());
        cuda::head_conv_backward(tx.view(), tw.view(), tdy.view(), dx.view(), dw.view(), scratch.data());
        expect_close(Dtype::f32, y.values(), cy.values());
        expect_close(dtype, dx.values(), cdx.values());
        expect_close(Dtype::f32, dw.values(), cdw.values());

        DeviceTensor dw_alone(Dtype::f32, filters), dx_alone(dtype, shape);
        cuda::head_conv_backward(tx.view(), tw.view(), tdy.view(), {}, dw_alone.view(), scratch.data());
        cuda::head_conv_backward(tx.view(), tw.view(), tdy.view(), dx_alone.view(), {}, nullptr);
        expect_same(dw_alone.values(), dw.values());
        expect_same(dx_alone.values(), dx.values());
      }
    }
  }
}

TEST_F(CudaProducts, ConvTransposeRoundsToTf32WhereThatIsAllowed) {
  const Shape shape{2, 8, 10, 64}, matrix{64, 2, 2, 24}, out{2, 16, 20, 24};
  const Values x = random_values(1, Dtype::f32, shape.size()), w = random_values(2, Dtype::f32, matrix.size());
  const Values dy = random_values(3, Dtype::f32, out.size());
  const DeviceTensor tx(Dtype::f32, shape, x), tw(Dtype::f32, matrix, w), tdy(Dtype::f32, out, dy);
  const DeviceMemory scratch(cuda::conv_transpose_scratch(tx.view(), 24));
  const auto all_passes = [&](bool tf32) {
    DeviceTensor y(Dtype::f32, out), dx(Dtype::f32, shape), dw(Dtype::f32, matrix);
    cuda::conv_transpose_forward(tx.view(), tw.view(), {}, y.view(), scratch.data(), tf32);
    cuda::conv_transpose_backward(tx.view(), tw.view(), tdy.view(), dx.view(), dw.view(), {}, scratch.data(), tf32);
    return std::array{y.values(), dx.values(), dw.values()};
  };
  const auto exact = all_passes(false), rounded = all_passes(true), again = all_passes(false);
  for (std::size_t pass = 0; pass < exact.size(); ++pass) {
    // Each operand is off by 2^-11 of itself at most, and so a product by 2^-10.
    EXPECT_LE(nmse(rounded[pass], exact[pass]), 0x1p-20) << pass;
    EXPECT_GE(nmse(rounded[pass], exact[pass]), 1e-9) << pass;
    expect_same(again[pass], exact[pass]);
  }
}

TEST_F(CudaProducts, ConvTransposeIsTheCpus) {
  const std::vector<Shape> few{{1, 1, 1, 1}, {2, 3, 5, 64}, {2, 8, 10, 17}, {1, 10, 12, 48}, {2, 24, 20, 3}};
  for (const Dtype dtype : device_dtypes()) {
    for (const Shape shape : few) {
      for (const std::int64_t Cout : {3, 24}) {
        const DeviceTensor sized(dtype, shape);
        const DeviceMemory scratch(cuda::conv_transpose_scratch(sized.view(), Cout));
        for (const std::int64_t gap : {0, 5, 8}) {
          SCOPED_TRACE(label(dtype, shape, Cout) + " gap " + std::to_string(gap));
          const Shape out{shape.n, 2 * shape.h, 2 * shape.w, Cout}, matrix{shape.c, 2, 2, Cout}, vector{1, 1, 1, Cout};
          const Values x = random_values(1, dtype, shape.size()), w = random_values(2, dtype, matrix.size());
          const Values b = random_values(3, Dtype::f32, Cout), dy = random_values(4, dtype, out.size());
          Buffer cx(Dtype::f32, shape, x), cw(Dtype::f32, matrix, w), cb(Dtype::f32, vector, b);
          Buffer cdy(Dtype::f32, out, dy), cy(Dtype::f32, out), cdx(Dtype::f32, shape), cdw(Dtype::f32, matrix);
          std::vector<double> space(cpu::conv_transpose_scratch(cx.view(), Cout) / sizeof(double) + 16);
          void* aligned = reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(space.data()) + 63) / 64 * 64);
          cpu::conv_transpose_forward(cx.view(), cw.view(), cb.view(), cy.view(), aligned);
          Buffer cdb(Dtype::f32, vector);
          cpu::conv_transpose_backward(cx.view(), cw.view(), cdy.view(), cdx.view(), cdw.view(), cdb.view(), aligned);

          const DeviceTensor tx(dtype, shape, x), tw(dtype, matrix, w), tb(Dtype::f32, vector, b),
              tdy(dtype, out, dy, gap);
          DeviceTensor y(dtype, out, gap), dx(dtype, shape), dw(Dtype::f32, matrix);
          cuda::conv_transpose_forward(tx.view(), tw.view(), tb.view(), y.view(), scratch.data());
          DeviceTensor db(Dtype::f32, vector);
          cuda::conv_transpose_backward(tx.view(), tw.view(), tdy.view(), dx.view(), dw.view(), db.view(),
                                        scratch.data());
          // The product is stored before the bias joins it: one rounding more, of a value that may be larger than y.
          if (dtype == Dtype::bf16) {
            EXPECT_LE(nmse(y.values(), cy.values()), 2 * kBf16Rounding * kBf16Rounding);
          } else {
            expect_close(dtype, y.values(), cy.values());
          }
          expect_close(dtype, dx.values(), cdx.values());
          // Tensor cores cut off where they add: 1.9e-12 was seen on an H200.
          expect_close(Dtype::f32, dw.values(), cdw.values(), dtype == Dtype::bf16 ? 1e-11 : 1e-12);
          expect_close(Dtype::f32, db.values(), cdb.values());

          DeviceTensor dx_alone(dtype, shape), dw_alone(dtype, matrix), db_alone(Dtype::f32, vector);
          cuda::conv_transpose_backward(tx.view(), tw.view(), tdy.view(), dx_alone.view(), {}, {}, scratch.data());
          cuda::conv_transpose_backward(tx.view(), tw.view(), tdy.view(), {}, dw_alone.view(), {}, scratch.data());
          cuda::conv_transpose_backward(tx.view(), tw.view(), tdy.view(), {}, {}, db_alone.view(), scratch.data());
          expect_same(dx_alone.values(), dx.values());
          expect_close(dtype, dw_alone.values(), cdw.values());  // in the dtype of the weights
          expect_same(db_alone.values(), db.values());
        }
      }
    }
  }
}

TEST_F(CudaProducts, BiasAndReluInPlace) {
  for (const Dtype dtype : device_dtypes()) {
    for (const Shape shape : shapes()) {
      SCOPED_TRACE(label(dtype, shape, 0));
      Values x = random_values(1, dtype, shape.size());
      x[0] = std::numeric_limits<double>::quiet_NaN();
      const Values b = random_values(2, Dtype::f32, shape.c);
      const DeviceTensor bias(Dtype::f32, {1, 1, 1, shape.c}, b);
      DeviceTensor both(dtype, shape, x), only_bias(dtype, shape, x), only_relu(dtype, shape, x);
      cuda::conv_epilogue(both.view(), bias.view(), {}, true);
      cuda::conv_epilogue(only_bias.view(), bias.view(), {}, false);
      cuda::conv_epilogue(only_relu.view(), {}, {}, true);
      Values sum = x, zeroed = x, expected = x;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const float exact = static_cast<float>(x[i]) + static_cast<float>(b[i % static_cast<std::size_t>(shape.c)]);
        sum[i] = stored(dtype, exact);
        expected[i] = exact < 0 ? 0 : sum[i];
        zeroed[i] = x[i] < 0 ? 0 : x[i];
      }
      expect_same(both.values(), expected);
      expect_same(only_bias.values(), sum);
      expect_same(only_relu.values(), zeroed);

      const Values r = random_values(3, dtype, shape.size());
      for (const std::int64_t gap : {0, 5, 8}) {
        const DeviceTensor residual(dtype, shape, r, gap);
        DeviceTensor all(dtype, shape, x), residual_alone(dtype, shape, x);
        cuda::conv_epilogue(all.view(), bias.view(), residual.view(), true);
        cuda::conv_epilogue(residual_alone.view(), {}, residual.view(), false);
        for (std::size_t i = 0; i < x.size(); ++i) {
          const float start = static_cast<float>(x[i]), more = static_cast<float>(r[i]);
          const float exact = start + static_cast<float>(b[i % static_cast<std::size_t>(shape.c)]) + more;
          expected[i] = exact < 0 ? 0 : stored(dtype, exact);
          sum[i] = stored(dtype, start + more);
        }
        expect_same(all.values(), expected);
        expect_same(residual_alone.values(), sum);
      }
    }
  }
}

TEST_F(CudaProducts, RotatedWeightsMakeBackwardDataAForwardConvolution) {
  for (const ConvShape s :
       {ConvShape{2, 7, 6, 5, 3, 3, 3}, ConvShape{1, 6, 9, 40, 70, 2, 3}, ConvShape{1, 4, 4, 3, 5, 1, 1}}) {
    const ConvCase c{ConvPass::backward_data, {1, s.Kh / 2}, s, Dtype::f32};
    const Shape weights{s.Cout, s.Kh, s.Kw, s.Cin}, x{s.N, s.H, s.W, s.Cin}, y{s.N, c.Ho(), c.Wo(), s.Cout};
    SCOPED_TRACE(weights.text());
    const Values w = random_values(1, Dtype::f32, weights.size()), dy = random_values(2, Dtype::f32, y.size());
    const DeviceTensor tw(Dtype::f32, weights, w);
    DeviceTensor rotated(Dtype::f32, {s.Cin, s.Kh, s.Kw, s.Cout});
    cuda::rotate_weights(tw.view(), rotated.view().data);
    Buffer cw(Dtype::f32, weights, w), cdy(Dtype::f32, y, dy), want(Dtype::f32, x), got(Dtype::f32, x);
    Buffer turned(Dtype::f32, {s.Cin, s.Kh, s.Kw, s.Cout}, rotated.values());
    const auto run = [](const ConvPlan& plan, const ConvOperands& io) {
      std::vector<double> space(plan.workspace / sizeof(double) + 16);
      plan.run(io, reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(space.data()) + 63) / 64 * 64));
    };
    ConvOperands backward;
    backward.dy = cdy.view();
    backward.weights = cw.view();
    backward.dx = want.view();
    run(cpu::plan_conv(c, ConvProvider::own), backward);
    // Square padding only: the CPU's planner has no other; Kh == Kw or a pad of its own for each would be needed.
    if (s.Kh != s.Kw) {
      const auto at = [&](std::int64_t co, std::int64_t kh, std::int64_t kw, std::int64_t ci) {
        return w[static_cast<std::size_t>(((co * s.Kh + kh) * s.Kw + kw) * s.Cin + ci)];
      };
      Values by_hand;
      for (std::int64_t ci = 0; ci < s.Cin; ++ci)
        for (std::int64_t kh = 0; kh < s.Kh; ++kh)
          for (std::int64_t kw = 0; kw < s.Kw; ++kw)
            for (std::int64_t co = 0; co < s.Cout; ++co) by_hand.push_back(at(co, s.Kh - 1 - kh, s.Kw - 1 - kw, ci));
      expect_same(rotated.values(), by_hand);
      continue;
    }
    ConvOperands forward;
    forward.x = cdy.view();
    forward.weights = turned.view();
    forward.y = got.view();
    const ConvShape swapped{s.N, y.h, y.w, s.Cout, s.Cin, s.Kh, s.Kw};
    run(cpu::plan_conv({ConvPass::forward, {1, s.Kh - 1 - c.spec.pad}, swapped, Dtype::f32}, ConvProvider::own),
        forward);
    expect_close(Dtype::f32, got.values(), want.values());
  }
}

TEST_F(CudaProducts, ConvolutionsAreTheCpus) {
  const ConvShape s{2, 9, 7, 8, 16, 3, 3};
  for (const Dtype dtype : device_dtypes()) {
    for (const int epilogue : {0, 1, 2}) {  // none; bias and ReLU; and a residual
      for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weights}) {
        if (epilogue > 0 && pass != ConvPass::forward) continue;
        SCOPED_TRACE(std::string(name_of(dtype)) + " " + kernels::name_of(pass) + " " + std::to_string(epilogue));
        const ConvCase c{pass, {1, 1, epilogue > 0, epilogue > 0, epilogue > 1}, s, dtype};
        const Shape x{s.N, s.H, s.W, s.Cin}, weights{s.Cout, 3, 3, s.Cin}, y{s.N, s.H, s.W, s.Cout};
        const Values nx = random_values(1, dtype, x.size()), nw = random_values(2, dtype, weights.size());
        const Values nb = random_values(3, Dtype::f32, s.Cout), ndy = random_values(4, dtype, y.size());
        Buffer cx(Dtype::f32, x, nx), cw(Dtype::f32, weights, nw), cb(Dtype::f32, {1, 1, 1, s.Cout}, nb);
        Buffer cdy(Dtype::f32, y, ndy), cy(Dtype::f32, y), cdx(Dtype::f32, x), cdw(Dtype::f32, weights);
        const Values residual = random_values(5, dtype, y.size());
        const Buffer cr(Dtype::f32, y, residual);
        const DeviceTensor tr(dtype, y, residual, 8);
        ConvOperands io;
        io.residual = cr.view();
        io.x = cx.view();
        io.weights = cw.view();
        io.bias = cb.view();
        io.dy = cdy.view();
        io.y = cy.view();
        io.dx = cdx.view();
        io.dweights = cdw.view();
        const ConvPlan want = cpu::plan_conv({pass, c.spec, s, Dtype::f32}, ConvProvider::own);
        std::vector<double> space(want.workspace / sizeof(double) + 16);
        want.run(io, reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(space.data()) + 63) / 64 * 64));

        const DeviceTensor tx(dtype, x, nx), tw(dtype, weights, nw), tb(Dtype::f32, {1, 1, 1, s.Cout}, nb),
            tdy(dtype, y, ndy);
        std::vector<ConvPlan> plans = cuda::plan_conv_candidates(c);
        plans.push_back(cuda::plan_conv(c));
        plans.push_back(cuda::plan_conv_by_id(c, plans.front().id));
        for (const ConvPlan& plan : plans) {
          SCOPED_TRACE(plan.id);
          DeviceTensor out(dtype, pass == ConvPass::forward ? y : pass == ConvPass::backward_data ? x : weights);
          const DeviceMemory workspace(plan.workspace);
          ConvOperands device;
          device.residual = tr.view();
          device.x = tx.view();
          device.weights = tw.view();
          device.bias = tb.view();
          device.dy = tdy.view();
          (pass == ConvPass::forward         ? device.y
           : pass == ConvPass::backward_data ? device.dx
                                             : device.dweights) = out.view();
          plan.run(device, workspace.data());
          Buffer& expected = pass == ConvPass::forward ? cy : pass == ConvPass::backward_data ? cdx : cdw;
          // bf16: cuDNN may round before the bias as well as after it.
          expect_close(dtype, out.values(), expected.values(), 1e-7, epilogue > 0 ? 2 : 1);
        }
      }
    }
  }
}

}  // namespace
}  // namespace unet::kernels::test::products_test
