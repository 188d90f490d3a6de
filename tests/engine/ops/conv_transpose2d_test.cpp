#include "tests/support/op_case.h"

namespace unet::tests::conv_transpose2d_test {
namespace {

/// extra < 0: no destination given; else the result goes into a slice of a tensor this much wider.
OpCase up_case(const std::string& name, const Shape& x, std::int64_t Cout, bool bias, std::int64_t extra = -1) {
  std::vector<Input> inputs{Input(x), Input({x[3], 2, 2, Cout})};
  if (bias) inputs.push_back(Input({Cout}));
  return {name, inputs, [x, Cout, extra](Tape& tape, const std::vector<Var>& in) {
            const Var b = in.size() > 2 ? in[2] : Var();
            if (extra < 0) return std::vector<Var>{conv_transpose2d(tape, in[0], in[1], b)};
            const Sliced out({x[0], 2 * x[1], 2 * x[2], Cout}, in[0].value.dtype(), extra);
            const Var y = conv_transpose2d(tape, in[0], in[1], b, out.tensor());
            EXPECT_TRUE(out.guards_intact()) << "wrote beside the slice";
            EXPECT_EQ(y.value.data<void>(), out.tensor().data<void>());
            return std::vector<Var>{y};
          }};
}

std::vector<OpCase> cases() {
  return {
      up_case("bias", {2, 4, 3, 8}, 4, true),
      up_case("no_bias_odd", {1, 5, 7, 3}, 5, false),
      up_case("one_pixel", {1, 1, 1, 6}, 3, true),
      up_case("one_channel", {1, 3, 2, 1}, 1, true),
      up_case("wide", {1, 6, 6, 64}, 32, true),
      up_case("channels_not_of_8", {3, 3, 5, 13}, 11, false),
      up_case("one_row", {2, 1, 9, 10}, 7, true),
      up_case("into_slice", {2, 3, 4, 8}, 4, true, 4),
      up_case("into_odd_slice", {1, 5, 3, 6}, 3, false, 5),
      up_case("into_slice_one_pixel", {1, 1, 1, 4}, 2, true, 3),
      up_case("into_dense_out", {1, 2, 3, 5}, 6, true, 0),
  };
}

INSTANTIATE_TEST_SUITE_P(ConvTranspose2d, GradCheck, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(ConvTranspose2d, Precision, testing::ValuesIn(cases()), case_name);

TEST(ConvTranspose2d, SaysWhatIsWrong) {
  Tape tape;
  const auto zeros = [&](const Shape& shape, Dtype dtype = Dtype::f32) {
    return tape.input(Tensor::zeros(shape, dtype));
  };
  const Var x = zeros({2, 4, 4, 8});
  Var weight = zeros({16, 2, 2, 4});
  weight.name = "up1.up.weight";
  EXPECT_EQ(error_of([&] { conv_transpose2d(tape, x, weight, {}); }),
            "conv_transpose2d \"up1.up.weight\": weight [16,2,2,4] (Cin,2,2,Cout) expects Cin=16, but x is [2,4,4,8] "
            "(N,H,W,C)");
  EXPECT_EQ(error_of([&] {
              conv_transpose2d(tape, x, zeros({8, 3, 3, 4}), {});
            }),
            "conv_transpose2d: weight must be (Cin,2,2,Cout), got [8,3,3,4]");
  EXPECT_EQ(error_of([&] {
              conv_transpose2d(tape, x, zeros({8, 2, 2, 4}, Dtype::f64), {});
            }),
            "conv_transpose2d: weight is f64 but x is f32");
  EXPECT_EQ(error_of([&] {
              conv_transpose2d(tape, x, zeros({8, 2, 2, 4}), zeros({5}));
            }),
            "conv_transpose2d: bias must be [4] (Cout), got [5]");
  EXPECT_EQ(error_of([&] {
              conv_transpose2d(tape, x, zeros({8, 2, 2, 4}), {}, Tensor::zeros({2, 4, 4, 4}, Dtype::f32));
            }),
            "conv_transpose2d: out must be [2,8,8,4] (N,H,W,C), got [2,4,4,4]");
  EXPECT_EQ(error_of([&] {
              conv_transpose2d(tape, x, zeros({8, 2, 2, 4}), {}, Tensor::zeros({2, 8, 8, 4}, Dtype::f64));
            }),
            "conv_transpose2d: out is f64 but x is f32");
  const Tensor wide = Tensor::zeros({1, 4, 4, 16}, Dtype::f32);
  EXPECT_EQ(error_of([&] {
              conv_transpose2d(tape, tape.input(wide.slice(8, 16)), zeros({8, 2, 2, 4}), {});
            }),
            "conv_transpose2d: x [1,4,4,8] is a slice (pitch 16); a dense tensor is expected");
}

}  // namespace
}  // namespace unet::tests::conv_transpose2d_test
