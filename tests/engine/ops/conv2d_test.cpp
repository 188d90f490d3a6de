#include "engine/ops/conv_plans.h"
#include "tests/support/op_case.h"

namespace unet::tests::conv2d_test {
namespace {

struct Sizes {
  std::int64_t N, H, W, Cin, Cout, Kh, Kw;
};

/// extra: x is a channel slice of a tensor this much wider.
OpCase conv_case(const std::string& name, const Sizes& s, std::int64_t stride, std::int64_t pad, bool bias,
                 std::int64_t extra = 0) {
  std::vector<Input> inputs{Input({s.N, s.H, s.W, s.Cin}, Fill::normal, extra), Input({s.Cout, s.Kh, s.Kw, s.Cin})};
  if (bias) inputs.push_back(Input({s.Cout}));
  return {name, inputs, [stride, pad](Tape& tape, const std::vector<Var>& in) {
            Conv2dOptions options;
            options.stride = stride;
            options.pad = pad;
            return std::vector<Var>{conv2d(tape, in[0], in[1], in.size() > 2 ? in[2] : Var(), options)};
          }};
}

std::vector<OpCase> cases() {
  return {
      conv_case("3x3_pad1_odd", {2, 7, 5, 5, 6, 3, 3}, 1, 1, false),
      conv_case("3x3_pad1_bias", {1, 6, 9, 8, 16, 3, 3}, 1, 1, true),
      conv_case("3x3_one_pixel", {1, 1, 1, 3, 2, 3, 3}, 1, 1, true),
      conv_case("3x3_one_row", {1, 1, 11, 4, 4, 3, 3}, 1, 1, false),
      conv_case("3x3_no_pad", {2, 5, 6, 3, 5, 3, 3}, 1, 0, true),
      conv_case("3x3_kernel_covers_x", {1, 3, 3, 4, 3, 3, 3}, 1, 0, false),
      conv_case("3x3_pad2", {1, 4, 5, 3, 3, 3, 3}, 1, 2, true),
      conv_case("3x3_first_layer", {2, 12, 10, 3, 32, 3, 3}, 1, 1, false),
      conv_case("3x3_wide", {1, 8, 8, 64, 64, 3, 3}, 1, 1, false),
      conv_case("3x3_wide_odd", {3, 9, 11, 24, 40, 3, 3}, 1, 1, true),
      conv_case("3x3_stride2_odd", {2, 9, 7, 3, 4, 3, 3}, 2, 1, false),
      conv_case("3x3_stride2_rows_left_over", {1, 8, 6, 5, 7, 3, 3}, 2, 0, true),
      conv_case("3x3_stride3", {1, 10, 8, 4, 3, 3, 3}, 3, 1, false),
      conv_case("1x1", {2, 5, 3, 7, 9, 1, 1}, 1, 0, true),
      conv_case("1x1_one_pixel_one_channel", {1, 1, 1, 1, 1, 1, 1}, 1, 0, true),
      conv_case("1x1_head", {1, 13, 11, 16, 2, 1, 1}, 1, 0, true),
      conv_case("1x1_stride2", {2, 7, 5, 8, 6, 1, 1}, 2, 0, false),
      conv_case("1x1_pad1", {1, 3, 4, 2, 3, 1, 1}, 1, 1, true),
      conv_case("2x2_stride2", {1, 6, 7, 4, 5, 2, 2}, 2, 0, false),
      conv_case("5x5_pad2", {1, 7, 6, 3, 4, 5, 5}, 1, 2, true),
      conv_case("7x7_stride2_pad3", {1, 15, 13, 3, 8, 7, 7}, 2, 3, false),
      conv_case("3x1_pad1", {1, 5, 6, 3, 4, 3, 1}, 1, 1, false),
      conv_case("1x3_no_pad", {2, 4, 7, 5, 2, 1, 3}, 1, 0, true),
      conv_case("3x3_of_slice", {2, 9, 7, 16, 24, 3, 3}, 1, 1, false, 8),
      conv_case("3x3_of_odd_slice", {1, 6, 5, 5, 6, 3, 3}, 1, 1, true, 3),
      conv_case("3x3_first_layer_of_slice", {2, 7, 5, 3, 8, 3, 3}, 1, 1, false, 5),
      conv_case("3x3_stride2_of_slice", {2, 9, 8, 16, 20, 3, 3}, 2, 1, false, 16),
      conv_case("1x1_stride2_of_slice", {2, 9, 8, 16, 20, 1, 1}, 2, 0, false, 16),
  };
}

INSTANTIATE_TEST_SUITE_P(Conv2d, GradCheck, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Conv2d, Precision, testing::ValuesIn(cases()), case_name);

/// Every provider in turn; the automatic choice afterwards, whatever happens.
class Conv2dProvider : public testing::TestWithParam<kernels::ConvProvider> {
 protected:
  void SetUp() override { set_conv_provider(GetParam()); }
  void TearDown() override { set_conv_provider(kernels::ConvProvider::automatic); }
};

TEST_P(Conv2dProvider, F32AgainstF64OfOwn) {
  int ran = 0;
  for (const OpCase& op_case : cases()) {
    OpCase forced = op_case;
    forced.run = [provider = GetParam(), run = op_case.run](Tape& tape, const std::vector<Var>& in) {
      const bool f32 = in[0].value.dtype() == Dtype::f32;
      set_conv_provider(f32 ? provider : kernels::ConvProvider::own);
      return run(tape, in);
    };
    try {
      for (const std::string& problem : check_precision(forced)) ADD_FAILURE() << problem;
      ++ran;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("oneDNN"), std::string::npos) << error.what();
    }
  }
  if (ran == 0) GTEST_SKIP() << "this provider is not built in";
}

INSTANTIATE_TEST_SUITE_P(Conv2d, Conv2dProvider,
                         testing::Values(kernels::ConvProvider::own, kernels::ConvProvider::onednn),
                         [](const auto& param) {
                           return param.param == kernels::ConvProvider::own ? std::string("own")
                                                                            : std::string("onednn");
                         });

/// y = relu(scale * conv(x) + bias), by plans that scale their results and by those that read scaled weights.
TEST(Conv2d, ScaledResultsAreThoseOfScaledWeights) {
  const PoisonScope poison;
  for (const auto provider : {kernels::ConvProvider::automatic, kernels::ConvProvider::direct}) {
    set_conv_provider(provider);
    for (const Dtype dtype : {Dtype::f64, Dtype::f32, Dtype::bf16}) {
      for (const std::int64_t Cin : {3, 16}) {  // 16: Winograd, where that is allowed
        const Shape weights{21, 3, 3, Cin};
        const Dtype parameter = dtype == Dtype::bf16 ? Dtype::f32 : dtype;
        const std::vector<double> w = normal_values(weights.size(), 1), scale = normal_values(21, 2);
        std::vector<double> scaled = w;
        for (std::size_t i = 0; i < w.size(); ++i) scaled[i] *= scale[i / static_cast<std::size_t>(9 * Cin)];
        Tape tape(Tape::Mode::inference);
        const Var x = tape.input(Tensor::of({2, 9, 7, Cin}, dtype, normal_values(2 * 9 * 7 * Cin, 3)));
        const Var bias = tape.input(Tensor::of({21}, parameter, normal_values(21, 4)));
        Conv2dOptions options;
        options.pad = 1;
        options.relu = true;
        const Var expected = conv2d(tape, x, tape.input(Tensor::of(weights, parameter, scaled)), bias, options);
        options.scale = Tensor::of({21}, parameter, scale);
        const Var y = conv2d(tape, x, tape.input(Tensor::of(weights, parameter, w)), bias, options);
        const double bound = dtype == Dtype::f64 ? 1e-28 : dtype == Dtype::f32 ? 1e-12 : 1e-5;
        EXPECT_LE(nmse(y.value.values<double>(), expected.value.values<double>()), bound)
            << Cin << " channels, " << kernels::name_of(dtype);
      }
    }
  }
  set_conv_provider(kernels::ConvProvider::automatic);
}

/// y = relu(scale * conv(x) + bias + residual) by every provider, of dense tensors and of slices, against f64.
TEST(Conv2d, ResidualOfInferenceIsAddedBeforeTheRelu) {
  const PoisonScope poison;
  for (const auto provider :
       {kernels::ConvProvider::automatic, kernels::ConvProvider::own, kernels::ConvProvider::onednn}) {
    for (const Dtype dtype : {Dtype::f64, Dtype::f32, Dtype::bf16}) {
      if (!kernels::cpu::conv_provider_available(provider, {{}, {}, {}, dtype})) continue;
      for (const std::int64_t Cin : {3, 16}) {
        for (const std::int64_t stride : {1, 2}) {
          for (const std::int64_t extra : {0, 11}) {
            const Dtype parameter = dtype == Dtype::bf16 ? Dtype::f32 : dtype;
            const std::int64_t H = 9, W = 7, Cout = 21;
            const Shape out{2, (H + stride - 1) / stride, (W + stride - 1) / stride, Cout};
            const Sliced x({2, H, W, Cin}, dtype, extra, normal_values(2 * H * W * Cin, 3));
            const Sliced residual(out, dtype, extra, normal_values(out.size(), 5));
            const Tensor w = Tensor::of({Cout, 3, 3, Cin}, parameter, normal_values(Cout * 9 * Cin, 1));
            const Tensor scale = Tensor::of({Cout}, parameter, normal_values(Cout, 2));
            const Tensor bias = Tensor::of({Cout}, parameter, normal_values(Cout, 4));
            Tape tape(Tape::Mode::inference);
            const auto in_f64 = [](const Tensor& t) { return Tensor::of(t.shape(), Dtype::f64, t.values<double>()); };
            set_conv_provider(kernels::ConvProvider::own);
            std::vector<double> expected =
                conv2d(tape, tape.input(in_f64(x.tensor())), tape.input(in_f64(w)), {}, {.stride = stride, .pad = 1})
                    .value.values<double>();
            const std::vector<double> s = scale.values<double>(), b = bias.values<double>();
            const std::vector<double> r = residual.tensor().values<double>();
            for (std::size_t i = 0; i < expected.size(); ++i) {
              const std::size_t co = i % static_cast<std::size_t>(Cout);
              expected[i] = std::max(0.0, s[co] * expected[i] + b[co] + r[i]);
            }
            set_conv_provider(provider);
            Conv2dOptions options{.stride = stride, .pad = 1, .relu = true, .scale = scale};
            options.residual = residual.tensor();
            const Var y = conv2d(tape, tape.input(x.tensor()), tape.input(w), tape.input(bias), options);
            const double bound = dtype == Dtype::f64 ? 1e-28 : dtype == Dtype::f32 ? 1e-11 : 2e-5;
            EXPECT_LE(nmse(y.value.values<double>(), expected), bound)
                << Cin << " channels, stride " << stride << ", " << kernels::name_of(dtype) << ", slices +" << extra;
            EXPECT_TRUE(x.guards_intact() && residual.guards_intact());
          }
        }
      }
    }
  }
  set_conv_provider(kernels::ConvProvider::automatic);
}

/// A plan must keep within the workspace that it asks for and the operands' memory; provider after provider.
TEST(Conv2d, PlansStayInsideTheirMemory) {
  const PoisonScope poison;
  const auto check = [](kernels::ConvPass pass, const kernels::ConvSpec& spec, const kernels::ConvShape& s) {
    const kernels::ConvCase c{pass, spec, s, Dtype::f32};
    for (const kernels::ConvPlan& plan : kernels::cpu::plan_conv_candidates(c)) {
      const Tensor workspace = Tensor::empty({static_cast<std::int64_t>(plan.workspace) + 1}, Dtype::u8);
      const Tensor x = Tensor::zeros({s.N, s.H, s.W, s.Cin}, Dtype::f32);
      const Tensor y = Tensor::zeros({s.N, c.Ho(), c.Wo(), s.Cout}, Dtype::f32);
      const Tensor w = Tensor::zeros({s.Cout, s.Kh, s.Kw, s.Cin}, Dtype::f32);
      kernels::ConvOperands io;
      io.x = x.const_view();
      io.weights = w.const_view();
      io.dy = y.const_view();
      io.y = y.view();
      io.dx = x.view();
      io.dweights = w.view();
      plan.run(io, workspace.data<void>());
      for (const Tensor& t : {workspace, x, y, w}) EXPECT_TRUE(slack_intact(t)) << plan.id << " " << name_of(pass);
      EXPECT_EQ(broken_block_guards(), 0) << plan.id << " " << name_of(pass);
    }
  };
  for (const kernels::ConvPass pass :
       {kernels::ConvPass::forward, kernels::ConvPass::backward_data, kernels::ConvPass::backward_weights}) {
    for (const std::int64_t K : {1, 3}) {
      for (const std::int64_t stride : {1, 2}) {
        for (const std::int64_t Cin : {8, 24}) {
          for (const std::int64_t Cout : {2, 16}) {
            kernels::ConvSpec spec;
            spec.stride = stride;
            spec.pad = K / 2;
            SCOPED_TRACE(fmt::format("{}x{} stride {}, {} -> {}", K, K, stride, Cin, Cout));
            check(pass, spec, {1, 32, 32, Cin, Cout, K, K});
            check(pass, spec, {2, 7, 9, Cin, Cout, K, K});
          }
        }
      }
    }
  }
}

/// options.relu exists on inference tapes only, so its check is against relu(conv2d).
TEST(Conv2d, ReluOfInferenceIsReluOfConv) {
  for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
    const PoisonScope poison;
    for (const bool bias : {true, false}) {
      Tape tape(Tape::Mode::inference);
      const Var x = tape.input(Tensor::of({2, 9, 7, 5}, dtype, normal_values(630, 1)));
      const Var w = tape.input(Tensor::of({11, 3, 3, 5}, dtype, normal_values(495, 2)));
      const Var b = bias ? tape.input(Tensor::of({11}, dtype, normal_values(11, 3))) : Var();
      Conv2dOptions options;
      options.pad = 1;
      const std::vector<double> composed = relu(tape, conv2d(tape, x, w, b, options)).value.values<double>();
      options.relu = true;
      const std::vector<double> fused = conv2d(tape, x, w, b, options).value.values<double>();
      EXPECT_LE(max_relative(fused, composed), dtype == Dtype::f64 ? 1e-14 : 1e-6);
    }
  }
}

TEST(Conv2d, SaysWhatIsWrong) {
  Tape tape;
  Tape inference(Tape::Mode::inference);
  const Var x = tape.input(Tensor::zeros({8, 96, 96, 3}, Dtype::f32));
  const auto weight = [&](const Shape& shape, Dtype dtype = Dtype::f32) {
    Var var = tape.input(Tensor::zeros(shape, dtype));
    var.name = "down2.conv1.weight";
    return var;
  };
  EXPECT_EQ(error_of([&] {
              conv2d(tape, x, weight({128, 3, 3, 64}), {});
            }),
            "conv2d \"down2.conv1.weight\": weight [128,3,3,64] (Cout,Kh,Kw,Cin) expects Cin=64, but x is [8,96,96,3] "
            "(N,H,W,C)");
  EXPECT_EQ(error_of([&] {
              conv2d(tape, x, tape.input(Tensor::zeros({8, 27}, Dtype::f32)), {});
            }),
            "conv2d: weight must be (Cout,Kh,Kw,Cin), got [8,27]");
  EXPECT_EQ(error_of([&] {
              conv2d(tape, x, weight({4, 3, 3, 3}, Dtype::f64), {});
            }),
            "conv2d \"down2.conv1.weight\": weight is f64 but x is f32");
  EXPECT_EQ(error_of([&] {
              conv2d(tape, x, weight({4, 3, 3, 3}), tape.input(Tensor::zeros({3}, Dtype::f32)));
            }),
            "conv2d \"down2.conv1.weight\": bias must be [4] (Cout), got [3]");
  EXPECT_EQ(error_of([&] {
              conv2d(tape, x, weight({4, 3, 3, 3}), tape.input(Tensor::zeros({4}, Dtype::f64)));
            }),
            "conv2d \"down2.conv1.weight\": bias is f64 but x is f32");
  EXPECT_EQ(error_of([&] {
              conv2d(tape, {}, weight({4, 3, 3, 3}), {});
            }),
            "conv2d \"down2.conv1.weight\": x is not given");
  EXPECT_EQ(error_of([&] {
              conv2d(tape, tape.input(Tensor::zeros({8, 3}, Dtype::f32)), weight({4, 3, 3, 3}), {});
            }),
            "conv2d \"down2.conv1.weight\": x must be [N,H,W,C] with at least one element, got [8,3]");
  EXPECT_EQ(error_of([&] {
              conv2d(tape, tape.input(Tensor::zeros({0, 4, 4, 3}, Dtype::f32)), weight({4, 3, 3, 3}), {});
            }),
            "conv2d \"down2.conv1.weight\": x must be [N,H,W,C] with at least one element, got [0,4,4,3]");
  EXPECT_EQ(error_of([&] {
              conv2d(tape, tape.input(Tensor::zeros({1, 4, 4, 3}, Dtype::u8)), weight({4, 3, 3, 3}), {});
            }),
            "conv2d \"down2.conv1.weight\": x must be f32, f64 or bf16, got u8");
  EXPECT_EQ(error_of([&] {
              conv2d(tape, tape.input(Tensor::zeros({1, 4, 4, 3}, Dtype::bf16)),
                     tape.input(Tensor::zeros({4, 3, 3, 3}, Dtype::bf16)), {});
            }),
            "conv2d: weight is bf16 but x is bf16, beside which f32 is expected");
  EXPECT_EQ(error_of([&] {
              conv2d(inference, x, weight({4, 3, 3, 3}), {},
                     {.stride = 2, .pad = 1, .residual = Tensor::zeros({8, 96, 96, 4}, Dtype::f32)});
            }),
            "conv2d \"down2.conv1.weight\": residual must be [8,48,48,4] (N,Ho,Wo,Cout), got [8,96,96,4]");
  EXPECT_EQ(error_of([&] {
              conv2d(inference, x, weight({4, 3, 3, 3}), {},
                     {.pad = 1, .residual = Tensor::zeros({8, 96, 96, 4}, Dtype::bf16)});
            }),
            "conv2d \"down2.conv1.weight\": residual is bf16 but x is f32");
  EXPECT_EQ(error_of([&] {
              conv2d(tape, tape.leaf(x.value), weight({4, 3, 3, 3}), {},
                     {.pad = 1, .residual = Tensor::zeros({8, 96, 96, 4}, Dtype::f32)});
            }),
            "conv2d \"down2.conv1.weight\": residual of conv2d is for what has no gradient");
  EXPECT_EQ(error_of([&] {
              conv2d(tape, x, weight({4, 99, 3, 3}), {}, {.stride = 1, .pad = 1});
            }),
            "conv2d \"down2.conv1.weight\": x [8,96,96,3] (N,H,W,C) with pad 1 is smaller than the kernel 99x3");
  EXPECT_EQ(error_of([&] {
              conv2d(tape, x, weight({4, 3, 3, 3}), {}, {.stride = 0, .pad = 1});
            }),
            "conv2d \"down2.conv1.weight\": stride must be >= 1 and pad >= 0, got 0 and 1");
  EXPECT_EQ(
      error_of([&] {
        conv2d(tape, tape.leaf(x.value), weight({4, 3, 3, 3}), {}, {.pad = 1, .scale = Tensor::zeros({4}, Dtype::f32)});
      }),
      "conv2d \"down2.conv1.weight\": scale of conv2d is for what has no gradient");
  EXPECT_EQ(error_of([&] {
              conv2d(tape, tape.leaf(x.value), weight({4, 3, 3, 3}), {}, {.pad = 1, .relu = true});
            }),
            "conv2d \"down2.conv1.weight\": relu inside conv2d is for what has no gradient");
}

}  // namespace
}  // namespace unet::tests::conv2d_test
