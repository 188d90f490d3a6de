// bf16 activations: every op against its f32 self on the same (bf16) numbers, with f32 parameters beside both. What
// either stores in bf16 is rounded once: off by at most 2^-8 of itself, over many values a third of 2^-16 in the mean
// square. What stays f32 (logits, gradients of parameters) differs by the order of additions at most. Where the CPU
// multiplies bf16, weights are rounded besides: at most 1e-5 in all.
#include "kernels/cpu/isa.h"
#include "tests/support/op_case.h"

namespace unet::tests::bf16_test {
namespace {

struct Bf16Case {
  std::string name;
  std::vector<Shape> inputs;
  std::size_t activations;  // the first so many inputs; the others are parameters
  std::function<std::vector<Var>(Tape&, const std::vector<Var>&)> run;
  bool own_products = false;  // weights are rounded where the CPU multiplies bf16
};
void PrintTo(const Bf16Case& c, std::ostream* out) { *out << c.name; }

PassResult pass(const Bf16Case& c, Dtype dtype) {
  const OpCase op_case{c.name, {}, c.run};
  std::vector<Tensor> inputs, cotangents;
  std::vector<Var> constants;
  Tape tape(Tape::Mode::inference);
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    const Tensor values =
        Tensor::of(c.inputs[i], i < c.activations ? Dtype::bf16 : Dtype::f32, normal_values(c.inputs[i].size(), i));
    inputs.push_back(i < c.activations ? Tensor::of(c.inputs[i], dtype, values.values<float>()) : values);
    constants.push_back(tape.input(inputs[i]));
  }
  for (const Var& y : c.run(tape, constants)) {
    const Tensor values = Tensor::of(y.shape(), Dtype::bf16, normal_values(y.shape().size(), 77));
    cotangents.push_back(Tensor::of(y.shape(), y.value.dtype(), values.values<float>()));
  }
  const PoisonScope poison;
  return run_pass(op_case, inputs, cotangents);
}

class Bf16 : public testing::TestWithParam<Bf16Case> {};

TEST_P(Bf16, EqualsF32OnTheSameNumbers) {
  const Bf16Case& c = GetParam();
  const PassResult exact = pass(c, Dtype::f32), rounded = pass(c, Dtype::bf16);
  const bool pairs = c.own_products && kernels::cpu::isa() >= kernels::cpu::Isa::avx512_bf16;
  const double bound = pairs ? 1e-5 : 0x1p-16 / 3;
  ASSERT_EQ(rounded.outputs.size(), exact.outputs.size());
  for (std::size_t i = 0; i < exact.outputs.size(); ++i) {
    EXPECT_LE(nmse(rounded.outputs[i], exact.outputs[i]), bound) << "output " << i;
  }
  for (std::size_t i = 0; i < exact.gradients.size(); ++i) {
    EXPECT_LE(nmse(rounded.gradients[i], exact.gradients[i]), i < c.activations ? bound : 1e-11) << "gradient " << i;
  }
}

std::vector<Bf16Case> cases() {
  const auto convolution = [](Tape& tape, const std::vector<Var>& in) {
    return std::vector<Var>{conv2d(tape, in[0], in[1], in[2], {.pad = in[1].shape()[1] / 2})};
  };
  const auto strided = [](Tape& tape, const std::vector<Var>& in) {
    return std::vector<Var>{conv2d(tape, in[0], in[1], Var(), {.stride = 2, .pad = 1})};
  };
  const auto norm = [](Tape& tape, const std::vector<Var>& in) {
    NormActOptions options;
    if (in.size() > 3) options.residual = in[1];
    return std::vector<Var>{norm_act(tape, in[0], in[in.size() - 2], in[in.size() - 1], {}, options).y};
  };
  const auto join_slices = [](Tape& tape, const std::vector<Var>& in) {
    const Tensor cat = Tensor::empty({2, 8, 6, 16}, in[0].value.dtype());
    const Var up = conv_transpose2d(tape, in[1], in[2], in[3], cat.slice(8, 16));
    const Var bilinear = upsample_bilinear(tape, in[0], true, cat.slice(0, 8));
    return std::vector<Var>{join(tape, cat, {bilinear, up})};
  };
  return {
      {"winograd", {{2, 9, 7, 16}, {24, 3, 3, 16}, {24}}, 1, convolution},
      {"first_layer", {{2, 9, 7, 3}, {16, 3, 3, 3}, {16}}, 1, convolution, true},
      {"five_by_five", {{1, 8, 9, 6}, {7, 5, 5, 6}, {7}}, 1, convolution, true},
      {"strided", {{1, 12, 9, 6}, {7, 3, 3, 6}}, 1, strided, true},
      {"conv_transpose",
       {{2, 4, 3, 8}, {8, 2, 2, 5}, {5}},
       1,
       [](Tape& tape, const std::vector<Var>& in) {
         return std::vector<Var>{conv_transpose2d(tape, in[0], in[1], in[2])};
       },
       true},
      {"pixel_linear",
       {{2, 9, 7, 13}, {3, 1, 1, 13}, {3}},
       1,
       [](Tape& tape, const std::vector<Var>& in) {
         return std::vector<Var>{pixel_linear(tape, in[0], in[1], in[2])};
       }},
      {"head_conv",
       {{2, 9, 7, 13}, {3, 3, 3, 13}, {3}},
       1,
       [](Tape& tape, const std::vector<Var>& in) { return std::vector<Var>{head_conv2d(tape, in[0], in[1], in[2])}; }},
      {"norm_act", {{2, 7, 5, 9}, {9}, {9}}, 1, norm},
      {"norm_act_residual", {{2, 7, 5, 9}, {2, 7, 5, 9}, {9}, {9}}, 2, norm},
      {"joined_slices", {{2, 4, 3, 8}, {2, 4, 3, 6}, {6, 2, 2, 8}, {8}}, 2, join_slices, true},
      {"relu", {{2, 5, 7, 9}}, 1, [](Tape& tape, const auto& in) { return std::vector<Var>{relu(tape, in[0])}; }},
      {"max_pool",
       {{2, 6, 8, 9}},
       1,
       [](Tape& tape, const auto& in) { return std::vector<Var>{max_pool2d(tape, in[0])}; }},
      {"overlapping_max_pool",
       {{2, 6, 7, 9}},
       1,
       [](Tape& tape, const auto& in) {
         return std::vector<Var>{max_pool2d(tape, in[0], {3, 2, 1})};
       }},
      {"upsample_nearest",
       {{2, 5, 7, 9}},
       1,
       [](Tape& tape, const auto& in) { return std::vector<Var>{upsample_nearest(tape, in[0])}; }},
      {"add",
       {{2, 5, 7, 9}, {2, 5, 7, 9}},
       2,
       [](Tape& tape, const auto& in) { return std::vector<Var>{add(tape, in[0], in[1])}; }},
      {"pad",
       {{1, 5, 7, 3}},
       1,
       [](Tape& tape, const auto& in) { return std::vector<Var>{pad_or_crop(tape, in[0], 8, 6)}; }},
  };
}

INSTANTIATE_TEST_SUITE_P(Ops, Bf16, testing::ValuesIn(cases()), [](const auto& c) { return c.param.name; });

TEST(Bf16Dtypes, ParametersStayF32) {
  Tape tape;
  const auto zeros = [&](const Shape& shape, Dtype dtype) { return tape.input(Tensor::zeros(shape, dtype)); };
  const Var x = zeros({1, 4, 4, 8}, Dtype::bf16);
  EXPECT_EQ(error_of([&] { norm_act(tape, x, zeros({8}, Dtype::bf16), zeros({8}, Dtype::f32), {}); }),
            "norm_act: gamma is bf16 but x is bf16, beside which f32 is expected");
  EXPECT_EQ(error_of([&] {
              pixel_linear(tape, x, zeros({2, 1, 1, 8}, Dtype::f64), {});
            }),
            "pixel_linear: weight is f64 but x is bf16, beside which f32 is expected");
  EXPECT_EQ(error_of([&] {
              conv_transpose2d(tape, x, zeros({8, 2, 2, 4}, Dtype::f32), zeros({4}, Dtype::bf16));
            }),
            "conv_transpose2d: bias is bf16 but x is bf16, beside which f32 is expected");
  EXPECT_EQ(error_of([&] {
              softmax_cross_entropy(tape, zeros({1, 4, 4, 2}, Dtype::bf16), Tensor::zeros({1, 4, 4}, Dtype::u8));
            }),
            "softmax_cross_entropy: logits must be f32 or f64, got bf16");
  EXPECT_EQ(pixel_linear(tape, x, zeros({2, 1, 1, 8}, Dtype::f32), {}).value.dtype(), Dtype::f32);
  EXPECT_EQ(error_of([&] {
              head_conv2d(tape, x, zeros({2, 3, 3, 8}, Dtype::bf16), {});
            }),
            "head_conv2d: weight is bf16 but x is bf16, beside which f32 is expected");
  EXPECT_EQ(head_conv2d(tape, x, zeros({2, 3, 3, 8}, Dtype::f32), {}).value.dtype(), Dtype::f32);
}

}  // namespace
}  // namespace unet::tests::bf16_test
