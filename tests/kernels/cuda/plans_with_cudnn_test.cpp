// cuDNN plans every convolution of the networks for GPUs that are not there: each pass has a plan that passes the
// filters, and none copies a whole tensor into its workspace.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "engine/ops/conv_plans.h"
#include "engine/ops/ops.h"
#include "kernels/cuda/cudnn_conv.h"
#include "models/unet.h"
#include "tests/kernels/cuda/described_devices.h"
#include "tests/kernels/cuda/needs_cudnn.h"
#include "tests/support/places.h"

namespace unet::tests::plans_with_cudnn_test {
namespace {

using kernels::ConvCase;
using kernels::ConvPass;
using kernels::ConvShape;
using kernels::cuda::CudnnConv;
using kernels::cuda::CudnnForm;
using kernels::cuda::CudnnTarget;
using kernels::cuda::plan_cudnn_conv;

constexpr std::int64_t kImage = 256;

/// The convolutions of a training step and of inference, as the model itself asks for them: a narrow one runs on the
/// smallest image, and what it planned is scaled up. Images have 8 channels, as they are normalised for a GPU.
std::vector<ConvCase> convolutions_of(const models::SegmenterSpec& spec, std::int64_t N) {
  constexpr std::int64_t kSmallest = 16, kNarrow = 4;
  models::SegmenterSpec narrow = spec;
  narrow.base_channels = kNarrow;
  set_conv_provider(kernels::ConvProvider::automatic);  // forgets what ran before
  models::UNet net(narrow);
  const Tensor images = Tensor::zeros({2, kSmallest, kSmallest, narrow.in_channels}, Dtype::f32);
  const Tensor labels = Tensor::zeros({2, kSmallest, kSmallest}, Dtype::u8);
  Tape tape;
  tape.backward(softmax_cross_entropy(tape, net.forward(tape, tape.input(images)), labels));
  Tape inference(Tape::Mode::inference);
  net.forward(inference, inference.input(images));

  std::vector<ConvCase> out;
  for (const PlanUse& use : conv_plan_uses()) {
    ConvCase& c = out.emplace_back(use.of);
    ConvShape& shape = c.shape;
    shape.N = N;
    shape.H *= kImage / kSmallest;
    shape.W *= kImage / kSmallest;
    shape.Cin = shape.Cin == narrow.in_channels ? 8 : shape.Cin * spec.base_channels / kNarrow;
    shape.Cout = shape.Cout * spec.base_channels / kNarrow;
  }
  return out;
}

/// The same of a ResNet34-UNet, layer by layer; in inference its blocks end with a residual.
std::vector<ConvCase> convolutions_of_resnet34_unet(std::int64_t N) {
  struct Layer {
    std::int64_t side, Cin, Cout, kernel, stride;
  };
  constexpr Layer kLayers[] = {{256, 8, 64, 7, 2},   {64, 64, 64, 3, 1},   {64, 64, 128, 3, 2},  {64, 64, 128, 1, 2},
                               {32, 128, 128, 3, 1}, {32, 128, 256, 3, 2}, {32, 128, 256, 1, 2}, {16, 256, 256, 3, 1},
                               {16, 256, 512, 3, 2}, {16, 256, 512, 1, 2}, {8, 512, 512, 3, 1},  {16, 768, 256, 3, 1},
                               {32, 384, 128, 3, 1}, {64, 192, 64, 3, 1},  {128, 128, 32, 3, 1}, {128, 32, 32, 3, 1},
                               {256, 32, 16, 3, 1},  {256, 16, 16, 3, 1}};
  std::vector<ConvCase> out;
  for (const Layer& l : kLayers) {
    const ConvShape shape{N, l.side, l.side, l.Cin, l.Cout, l.kernel, l.kernel};
    const kernels::ConvSpec training{.stride = l.stride, .pad = l.kernel / 2};
    for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weights}) {
      if (l.side == kImage && l.Cin == 8 && pass == ConvPass::backward_data) continue;  // of an image
      out.push_back({pass, training, shape});
    }
    kernels::ConvSpec inference = training;
    inference.bias = true;
    inference.relu = l.kernel > 1;  // a norm of a shortcut has none
    out.push_back({ConvPass::forward, inference, shape});
    inference.residual = true;
    if (l.Cin == l.Cout) out.push_back({ConvPass::forward, inference, shape});
  }
  return out;
}

struct Precision {
  const char* name;
  Dtype dtype;
  bool tf32;

  ConvCase of(ConvCase c) const {
    c.dtype = dtype;
    c.tf32 = tf32;
    return c;
  }
};
constexpr Precision kPrecisions[] = {
    {"fp32", Dtype::f32, false}, {"tf32", Dtype::f32, true}, {"bf16", Dtype::bf16, false}};

bool on_tensor_cores(const CudnnConv& conv) { return conv.plan->config().has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE); }

class CudnnPlan : public NeedsCudnn, public testing::WithParamInterface<DescribedDevice> {
 protected:
  void expect_plans(const models::SegmenterSpec& spec, std::int64_t N, const Precision& precision) {
    const std::vector<ConvCase> convolutions = convolutions_of(spec, N);
    // 18 convolutions, of which some have equal shapes; the first needs no backward data.
    ASSERT_GE(convolutions.size(), 40u);
    expect_plans(convolutions, precision);
  }

  void expect_plans(const std::vector<ConvCase>& convolutions, const Precision& precision) {
    for (const ConvCase& convolution : convolutions) {
      const ConvCase c = precision.of(convolution);
      SCOPED_TRACE(fmt::format("sm_{} {}", GetParam().compute_capability, text_of(c)));
      const CudnnConv conv = plan_cudnn_conv(target_, c);
      SCOPED_TRACE(conv.id);
      expect_good(conv, c);
    }
  }

  void expect_good(const CudnnConv& conv, const ConvCase& c) {
    const ConvShape& s = c.shape;
    const double element = c.dtype == Dtype::bf16 ? 2 : 4;
    const double x = element * double(s.N * s.H * s.W * s.Cin);
    const double y = element * double(s.N * c.Ho() * c.Wo() * s.Cout);
    const double workspace = double(conv.plan->workspace());
    EXPECT_LE(workspace, double(256 << 20));
    if (c.dtype == Dtype::f32 && c.pass == ConvPass::backward_data && c.spec.stride > 1) {
      // cuDNN has none for NHWC: it copies dx and dy (and the weights) into another layout and back.
      EXPECT_LE(workspace, x + y + 2 * element * double(s.Cout * s.taps() * s.Cin) + 4096);
    } else {
      EXPECT_LT(workspace, std::min(x, y)) << "a whole tensor";
    }
    const auto& config = conv.plan->config();
    EXPECT_FALSE(config.has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC));
    EXPECT_FALSE(config.has(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS));
    EXPECT_FALSE(config.has(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION));
    EXPECT_NE(config.engine_index, 0) << "the naive engine";
    const bool server = GetParam().compute_capability == 90 || GetParam().compute_capability == 100;
    if (c.dtype == Dtype::f32 && !c.tf32) {
      EXPECT_FALSE(on_tensor_cores(conv));
    } else if (c.spec.stride > 1 && (c.dtype == Dtype::f32 || s.taps() == 1)) {
      // TF32 has no such engine for every strided convolution, and a strided 1x1 may be bound by memory.
    } else if (c.dtype == Dtype::bf16 || server) {  // elsewhere TF32 has no engine for NHWC without a copy
      EXPECT_TRUE(on_tensor_cores(conv));
    }
    if (c.dtype == Dtype::bf16 && c.spec.relu && !c.spec.residual) {
      EXPECT_EQ(conv.form, CudnnForm::fused);
    }
  }

  std::shared_ptr<const CudnnTarget> target() {
    if (!target_) target_ = CudnnTarget::described(GetParam().json());
    return target_;
  }

  std::shared_ptr<const CudnnTarget> target_;
};

INSTANTIATE_TEST_SUITE_P(Sm, CudnnPlan, testing::ValuesIn(described_devices()),
                         [](const auto& device) { return std::to_string(device.param.compute_capability); });

TEST_P(CudnnPlan, UNetFp32) {
  target();
  for (const std::int64_t N : {2, 16, 32}) expect_plans({}, N, kPrecisions[0]);
}

TEST_P(CudnnPlan, UNetTf32) {
  target();
  for (const std::int64_t N : {2, 16, 32}) expect_plans({}, N, kPrecisions[1]);
}

TEST_P(CudnnPlan, UNetBf16) {
  target();
  for (const std::int64_t N : {2, 16, 32}) expect_plans({}, N, kPrecisions[2]);
}

TEST_P(CudnnPlan, NarrowAndBilinearUNets) {
  target();
  models::SegmenterSpec bilinear;
  bilinear.bilinear = true;
  models::SegmenterSpec narrow[2];
  narrow[0].base_channels = 16;
  narrow[1].base_channels = 32;
  for (const Precision& precision : kPrecisions) {
    expect_plans(bilinear, 16, precision);
    for (const models::SegmenterSpec& spec : narrow) expect_plans(spec, 16, precision);
  }
}

TEST_P(CudnnPlan, ResNet34UNet) {
  target();
  for (const Precision& precision : kPrecisions) {
    for (const std::int64_t N : {2, 16, 32}) expect_plans(convolutions_of_resnet34_unet(N), precision);
  }
}

// ---- ids and candidates ---------------------------------------------------------------------------------------------

const ConvShape kShape{8, 64, 64, 128, 128, 3, 3};

TEST_P(CudnnPlan, AnIdNamesTheSamePlanAgain) {
  for (const Precision& precision : kPrecisions) {
    for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weights}) {
      for (const bool epilogue : {false, true}) {
        if (epilogue && pass != ConvPass::forward) continue;
        const ConvCase c = precision.of({pass, {1, 1, epilogue, epilogue}, kShape});
        const auto candidates = cudnn_conv_candidates(target(), c, {6, 6});
        ASSERT_FALSE(candidates.empty()) << precision.name << " " << name_of(pass);
        std::set<std::string> ids;
        for (const CudnnConv& conv : candidates) {
          EXPECT_TRUE(ids.insert(conv.id).second) << conv.id << " twice";
          const CudnnConv again = cudnn_conv_by_id(target(), c, conv.id);
          EXPECT_EQ(again.id, conv.id);
          EXPECT_EQ(again.form, conv.form);
          EXPECT_EQ(again.plan->workspace(), conv.plan->workspace());
          EXPECT_EQ(again.plan->json(), conv.plan->json());
        }
        const CudnnConv chosen = plan_cudnn_conv(target(), c);
        EXPECT_EQ(chosen.id, candidates.front().id);
      }
    }
  }
}

TEST_P(CudnnPlan, StridesOddSizesAndOtherKernelsHavePlansToo) {
  const ConvCase cases[] = {{ConvPass::forward, {2, 1}, {3, 37, 41, 64, 96, 3, 3}},
                            {ConvPass::forward, {2, 3}, {2, 96, 96, 8, 64, 7, 7}},
                            {ConvPass::forward, {1, 0, true, false}, {2, 33, 31, 24, 40, 1, 1}},
                            {ConvPass::forward, {1, 1, true, true}, {1, 5, 7, 3, 5, 3, 3}}};
  for (ConvCase c : cases) {
    for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weights}) {
      c.pass = pass;
      if (pass != ConvPass::forward) c.spec.bias = c.spec.relu = false;
      for (const Precision& precision : kPrecisions) {
        EXPECT_NO_THROW(plan_cudnn_conv(target(), precision.of(c))) << text_of(precision.of(c));
      }
    }
  }
}

/// A plan file may say of a TF32 engine that it was chosen for strict fp32: older ones did not tell the two apart.
TEST_P(CudnnPlan, ATf32EngineIsNotReplayedInStrictFp32) {
  for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_weights}) {
    const ConvCase c = kPrecisions[1].of({pass, {1, 1}, kShape});
    for (const CudnnConv& conv : cudnn_conv_candidates(target(), c, {6, 6})) {
      if (!on_tensor_cores(conv)) continue;
      SCOPED_TRACE(conv.id);
      EXPECT_NO_THROW(cudnn_conv_by_id(target(), c, conv.id));
      try {
        cudnn_conv_by_id(target(), kPrecisions[0].of(c), conv.id);
        ADD_FAILURE() << "was planned";
      } catch (const std::invalid_argument& error) {
        EXPECT_EQ(error.what(), "plan id \"" + conv.id + "\" rounds more than " + text_of(kPrecisions[0].of(c)) +
                                    " allows: plan anew");
      }
    }
  }
}

class CudnnPlanErrors : public NeedsCudnn {
 protected:
  template <class Exception>
  static std::string replay(const std::string& id, Dtype dtype = Dtype::f32) {
    const auto target = CudnnTarget::described(described_devices()[1].json());
    try {
      cudnn_conv_by_id(target, {ConvPass::forward, {1, 1}, kShape, dtype}, id);
    } catch (const Exception& error) {
      return error.what();
    }
    return "no error";
  }
};

TEST_F(CudnnPlanErrors, AreClear) {
  const std::string version = kernels::cuda::cudnn_version();
  EXPECT_EQ(replay<std::invalid_argument>("onednn:nhwc"),
            "plan id \"onednn:nhwc\": expected cudnn:VERSION:FORM:eENGINE:SETTINGS");
  EXPECT_EQ(replay<std::invalid_argument>("cudnn:1.2.3:plain:e5:"),
            "plan id \"cudnn:1.2.3:plain:e5:\" is of cuDNN 1.2.3, but " + version + " is loaded: plan anew");
  EXPECT_EQ(replay<std::invalid_argument>("cudnn:" + version + ":plane:e5:"),
            "plan id \"cudnn:" + version + ":plane:e5:\": no form \"plane\"");
  EXPECT_EQ(replay<std::invalid_argument>("cudnn:" + version + ":rotated:e5:"),
            "plan id \"cudnn:" + version + ":rotated:e5:\": no form \"rotated\"")
      << "of a forward pass";
  EXPECT_EQ(replay<std::invalid_argument>("cudnn:" + version + ":plain:e5x:"),
            "plan id \"cudnn:" + version + ":plain:e5x:\": \"5x\" is not a number");
  EXPECT_EQ(replay<std::invalid_argument>("cudnn:" + version + ":plain:e5:2"),
            "plan id \"cudnn:" + version + ":plain:e5:2\": setting \"2\"");
  EXPECT_EQ(replay<std::invalid_argument>("cudnn:" + version + ":plain:e5:", Dtype::f64),
            "convolution forward f64, x [8,64,64,128], weights [128,3,3,128], stride 1, pad 1: cuDNN convolutions are "
            "f32 and bf16");
  const std::string refused = replay<std::runtime_error>("cudnn:" + version + ":plain:e9999:");
  EXPECT_EQ(refused.rfind("cuDNN " + version + ", ", 0), 0u) << refused;
}

TEST_F(CudnnPlanErrors, ADescriptionThatIsNoneIsRefused) {
  EXPECT_THROW(CudnnTarget::described("{\"deviceVer\": 900}"), std::runtime_error);
}

/// A broken installation is told from a case that has no kernel: cuDNN's own words reach the user.
TEST(CudnnOfWhichAPartIsMissing, SaysWhich) {
  const std::string library = places::build("lib/unet_fake_cudnn.so");
  ::setenv("UNET_CUDNN", library.c_str(), 1);
  if (kernels::cuda::cudnn_library().path() != library) GTEST_SKIP() << "the real library is open";
  try {
    plan_cudnn_conv(CudnnTarget::current_device(nullptr), {ConvPass::forward, {1, 1}, kShape, Dtype::bf16});
    ADD_FAILURE() << "was planned";
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(
        std::string(error.what()),
        "convolution forward bf16, x [8,64,64,128], weights [128,3,3,128], stride 1, pad 1: cuDNN 9.19.0 has no "
        "deterministic kernel within 64 MiB of workspace; its last refusal: cuDNN 9.19.0, finalizing a descriptor: "
        "CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED no libcudnn_heuristic.so.9");
  }
}

}  // namespace
}  // namespace unet::tests::plans_with_cudnn_test
