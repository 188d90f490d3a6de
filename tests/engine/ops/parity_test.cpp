// Every op against what PyTorch computed: op_values.safetensors, recorded by generate_op_values.py beside this file.
// f64: max |a-b| <= 1e-10 max |b| for outputs and gradients; f32: NMSE <= 1e-10.
#include <nlohmann/json.hpp>

#include "engine/io/safetensors.h"
#include "kernels/running_stats.h"
#include "tests/support/op_case.h"
#include "tests/support/places.h"

namespace unet::tests::parity_test {
namespace {

using nlohmann::json;

const std::string kFile = places::source("tests/engine/ops/op_values.safetensors");

json recorded_cases() {
  const SafetensorsFile file(kFile);
  return json::parse(file.metadata().at("cases"));
}

std::vector<std::string> case_names() {
  std::vector<std::string> out;
  try {
    for (const json& c : recorded_cases()) out.push_back(c.at("name"));
  } catch (const Error&) {
    out.clear();  // GoogleTest fails on a suite without cases
  }
  return out;
}

class Record {
 public:
  explicit Record(std::string name) : name_(std::move(name)) {
    for (const json& c : recorded_cases()) {
      if (c.at("name") == name_) options_ = c;
    }
  }
  const json& options() const { return options_; }

  /// NAME/what in `dtype` (u8 stays u8); undefined if not recorded.
  Tensor tensor(const std::string& what, Dtype dtype) const {
    const TensorInfo* info = file_.find(name_ + "/" + what);
    if (info == nullptr) return {};
    const std::vector<std::int64_t>& s = info->shape;
    const Shape shape = s.size() == 1   ? Shape{s[0]}
                        : s.size() == 3 ? Shape{s[0], s[1], s[2]}
                                        : Shape{s.at(0), s.at(1), s.at(2), s.at(3)};
    if (info->dtype == SafeDtype::kU8) {
      std::vector<std::uint8_t> values(info->elements());
      file_.read(*info, values.data());
      return Tensor::of(shape, Dtype::u8, values);
    }
    return Tensor::of(shape, dtype, values(what));
  }
  std::vector<double> values(const std::string& what) const {
    const TensorInfo* info = file_.find(name_ + "/" + what);
    if (info == nullptr) return {};
    std::vector<double> out(info->elements());
    file_.read(*info, out.data());
    return out;
  }
  std::vector<Tensor> list(const std::string& what, Dtype dtype) const {
    std::vector<Tensor> out;
    for (int i = 0;; ++i) {
      Tensor next = tensor(what + std::to_string(i), dtype);
      if (!next.defined()) return out;
      out.push_back(next);
    }
  }

 private:
  SafetensorsFile file_{kFile};
  std::string name_;
  json options_;
};

std::vector<Var> run_op(const Record& record, Dtype dtype, const RunningStats& stats, Tape& tape,
                        const std::vector<Var>& in) {
  const json& options = record.options();
  const std::string op = options.at("op");
  const Var bias = in.size() > 2 ? in[2] : Var();
  if (op == "conv2d") {
    return {conv2d(tape, in[0], in[1], bias, {.stride = options.at("stride"), .pad = options.at("pad")})};
  }
  if (op == "pixel_linear") return {pixel_linear(tape, in[0], in[1], bias)};
  if (op == "head_conv2d") return {head_conv2d(tape, in[0], in[1], bias)};
  if (op == "conv_transpose2d") return {conv_transpose2d(tape, in[0], in[1], bias)};
  if (op == "norm_act") {
    NormActOptions norm;
    norm.relu = options.at("relu");
    norm.pool = options.at("pool");
    norm.training = options.at("training");
    norm.epsilon = options.at("epsilon");
    if (options.at("residual")) norm.residual = in[3];
    const NormActResult out = norm_act(tape, in[0], in[1], in[2], stats, norm);
    return norm.pool ? std::vector<Var>{out.y, out.pooled} : std::vector<Var>{out.y};
  }
  if (op == "relu") return {relu(tape, in[0])};
  if (op == "max_pool2d") {
    return {max_pool2d(tape, in[0], {options.at("kernel"), options.at("stride"), options.at("pad")})};
  }
  if (op == "add") return {add(tape, in[0], in[1])};
  if (op == "concat") return {concat(tape, in)};
  if (op == "upsample_bilinear") return {upsample_bilinear(tape, in[0], options.at("align_corners"))};
  if (op == "upsample_nearest") return {upsample_nearest(tape, in[0])};
  if (op == "pad_or_crop") return {pad_or_crop(tape, in[0], options.at("height"), options.at("width"))};
  const Tensor labels = record.tensor("labels", dtype);
  if (op == "softmax_cross_entropy") {
    return {softmax_cross_entropy(tape, in[0], labels, {}, record.tensor("weights", dtype))};
  }
  if (op == "soft_dice_loss") {
    kernels::SoftDiceSpec spec;
    spec.smooth = options.at("smooth");
    spec.batch = options.at("batch");
    spec.background = options.at("background");
    return {soft_dice_loss(tape, in[0], labels, spec)};
  }
  if (op == "loss_sum") {
    const kernels::LossSumSpec spec{.cross_entropy = options.at("cross_entropy"),
                                    .focal = options.at("focal"),
                                    .dice = options.at("dice"),
                                    .dice_batch = options.at("dice_batch"),
                                    .smoothing = options.at("smoothing"),
                                    .gamma = options.at("gamma")};
    return {loss_sum(tape, in[0], labels, spec, record.tensor("weights", dtype))};
  }
  throw Error("the record names an unknown op {}", op);
}

class Parity : public testing::TestWithParam<std::string> {
 protected:
  void check(Dtype dtype) {
    const PoisonScope poison;
    const Record record(GetParam());
    const std::vector<Tensor> inputs = record.list("in", dtype);
    ASSERT_FALSE(inputs.empty());
    RunningStats stats;
    stats.mean = record.tensor("mean", dtype);
    stats.variance = record.tensor("variance", dtype);
    const bool reports = stats.mean.defined() && record.options().at("training");
    if (reports) {
      stats.pending_mean = Tensor::empty(stats.mean.shape(), dtype);
      stats.pending_variance = Tensor::empty(stats.mean.shape(), dtype);
    }
    const OpCase op_case{
        GetParam(), {}, [&](Tape& tape, const std::vector<Var>& in) { return run_op(record, dtype, stats, tape, in); }};
    const PassResult got = run_pass(op_case, inputs, cotangents(record, dtype));
    for (std::size_t i = 0; i < got.outputs.size(); ++i) {
      expect_close("out" + std::to_string(i), got.outputs[i], record, dtype);
    }
    for (std::size_t i = 0; i < got.gradients.size(); ++i) {
      expect_close("grad" + std::to_string(i), got.gradients[i], record, dtype);
    }
    if (reports) {
      const kernels::StepControl commit;
      kernels::cpu::update_running_stats(0.1, &commit, stats.pending_mean.const_view(), stats.mean.view());
      kernels::cpu::update_running_stats(0.1, &commit, stats.pending_variance.const_view(), stats.variance.view());
      expect_close("new_mean", stats.mean.values<double>(), record, dtype);
      expect_close("new_variance", stats.variance.values<double>(), record, dtype);
    }
  }

 private:
  /// A loss is f64 whatever the dtype of the logits.
  static std::vector<Tensor> cotangents(const Record& record, Dtype dtype) {
    std::vector<Tensor> out = record.list("cot", dtype);
    if (out.size() == 1 && out[0].shape() == Shape{1}) out = record.list("cot", Dtype::f64);
    return out;
  }
  static void expect_close(const std::string& what, const std::vector<double>& got, const Record& record, Dtype dtype) {
    const std::vector<double> expected = record.values(what);
    ASSERT_EQ(got.size(), expected.size()) << what;
    if (dtype == Dtype::f64) {
      EXPECT_LE(max_relative(got, expected), 1e-10) << what;
    } else {
      EXPECT_LE(nmse(got, expected), 1e-10) << what;
    }
  }
};

TEST_P(Parity, F64) { check(Dtype::f64); }
TEST_P(Parity, F32) { check(Dtype::f32); }

INSTANTIATE_TEST_SUITE_P(Ops, Parity, testing::ValuesIn(case_names()), [](const auto& param) { return param.param; });

TEST(ParityRecord, NamesItsVersionAndCoversEveryOp) {
  const SafetensorsFile file(kFile);
  EXPECT_FALSE(file.metadata().at("torch").empty());
  std::map<std::string, int> count;
  for (const json& c : recorded_cases()) ++count[c.at("op")];
  for (const char* op : {"conv2d", "pixel_linear", "head_conv2d", "conv_transpose2d", "norm_act", "relu", "max_pool2d",
                         "add", "concat", "upsample_bilinear", "upsample_nearest", "pad_or_crop",
                         "softmax_cross_entropy", "soft_dice_loss", "loss_sum"}) {
    EXPECT_GE(count[op], 1) << op;
  }
}

}  // namespace
}  // namespace unet::tests::parity_test
