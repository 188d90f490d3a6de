// Operands of two devices are refused by every op that takes several.
// Nothing runs on the other one.
#include "tests/support/op_case.h"

namespace unet::tests::two_devices_on_stand_in_test {
namespace {

class TwoDevices : public testing::Test {
 protected:
  Var here(const Shape& shape) { return tape_.input(Tensor::zeros(shape, Dtype::f32)); }
  Var there(const Shape& shape) { return tape_.input(elsewhere(shape, Dtype::f32)); }
  static Tensor elsewhere(const Shape& shape, Dtype dtype) { return Tensor::zeros(shape, dtype, kCuda); }
  Tape tape_;
  Var x_ = here({1, 4, 4, 8});
};

TEST_F(TwoDevices, Conv2d) {
  EXPECT_EQ(error_of([&] { conv2d(tape_, x_, there({2, 1, 1, 8}), {}); }), "conv2d: weight is on cuda but x is on cpu");
  EXPECT_NE(error_of([&] { conv2d(tape_, x_, here({2, 1, 1, 8}), there({2})); }).find("bias is on"), std::string::npos);
}

TEST_F(TwoDevices, HeadConv2d) {
  EXPECT_NE(error_of([&] { head_conv2d(tape_, x_, there({2, 3, 3, 8}), {}); }).find("weight is on"), std::string::npos);
  EXPECT_NE(error_of([&] {
              head_conv2d(tape_, x_, here({2, 3, 3, 8}), there({2}));
            }).find("bias is on"),
            std::string::npos);
}

TEST_F(TwoDevices, ConvTranspose2d) {
  const auto fails = [&](const Var& w, const Var& b, const Tensor& out) {
    return error_of([&] { conv_transpose2d(tape_, x_, w, b, out); });
  };
  EXPECT_NE(fails(there({8, 2, 2, 3}), {}, {}).find("weight is on"), std::string::npos);
  EXPECT_NE(fails(here({8, 2, 2, 3}), there({3}), {}).find("bias is on"), std::string::npos);
  EXPECT_NE(fails(here({8, 2, 2, 3}), {}, elsewhere({1, 8, 8, 3}, Dtype::f32)).find("out is on"), std::string::npos);
}

TEST_F(TwoDevices, NormAct) {
  NormActOptions options;
  const auto fails = [&](const Var& gamma, const Var& beta) {
    return error_of([&] { norm_act(tape_, x_, gamma, beta, {}, options); });
  };
  EXPECT_NE(fails(there({8}), here({8})).find("gamma is on"), std::string::npos);
  EXPECT_NE(fails(here({8}), there({8})).find("beta is on"), std::string::npos);
  options.residual = there({1, 4, 4, 8});
  EXPECT_NE(fails(here({8}), here({8})).find("residual is on"), std::string::npos);
  options.residual = {};
  options.out = elsewhere({1, 4, 4, 8}, Dtype::f32);
  EXPECT_NE(fails(here({8}), here({8})).find("out is on"), std::string::npos);
}

TEST_F(TwoDevices, Movements) {
  EXPECT_NE(error_of([&] { add(tape_, x_, there({1, 4, 4, 8})); }).find("b is on"), std::string::npos);
  EXPECT_NE(error_of([&] { concat(tape_, {x_, there({1, 4, 4, 8})}); }).find("a part is on"), std::string::npos);
  EXPECT_NE(error_of([&] {
              upsample_bilinear(tape_, x_, true, elsewhere({1, 8, 8, 8}, Dtype::f32));
            }).find("out is on"),
            std::string::npos);
}

TEST_F(TwoDevices, Losses) {
  const Tensor labels = elsewhere({1, 4, 4}, Dtype::u8);
  EXPECT_EQ(error_of([&] { softmax_cross_entropy(tape_, x_, labels); }),
            "softmax_cross_entropy: labels is on cuda but logits is on cpu");
  EXPECT_EQ(error_of([&] { soft_dice_loss(tape_, x_, labels); }),
            "soft_dice_loss: labels is on cuda but logits is on cpu");
  EXPECT_NE(error_of([&] {
              softmax_cross_entropy(tape_, x_, Tensor::zeros({1, 4, 4}, Dtype::u8), {}, elsewhere({8}, Dtype::f32));
            }).find("class_weights is on"),
            std::string::npos);
}

}  // namespace
}  // namespace unet::tests::two_devices_on_stand_in_test
