// bench/gpu_model.py against what the stand-in counts: the launches of a training step, in order, and their bytes.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "models/registry.h"
#include "tests/models/unet_steps.h"
#include "tests/support/cuda_shim/shim_runtime.h"
#include "tests/support/file_support.h"
#include "tests/support/places.h"

namespace unet::test::gpu_model_on_stand_in_test {
namespace {

using shim::Traffic;
using tests::read_file;
using tests::run_command;
using tests::shell_quoted;

const std::string kUnet = "unet", kResnet34Unet = "resnet34_unet";

struct Network {
  const char* name;
  std::string model;
  std::int64_t base;
  bool bilinear;
  std::int64_t N, S;
  Dtype activations;
};
void PrintTo(const Network& net, std::ostream* out) { *out << net.name; }

/// A kernel's name less its type, namespaces, template arguments and parameters.
std::string short_name(std::string name) {
  const std::size_t kernel = name.find("_kernel");
  if (kernel == std::string::npos) return name;
  name.resize(kernel + 7);
  return name.substr(name.find_last_of(": ") + 1);
}

class GpuModel : public testing::TestWithParam<Network> {
 protected:
  void SetUp() override {
    if (!shim::counts_traffic()) GTEST_SKIP() << "nothing is counted in a build with a sanitizer";
    if (run_command("python3 --version").status != 0) GTEST_SKIP() << "python3 is absent";
  }

  static std::vector<Traffic> counted_step() {
    const Network& net = GetParam();
    const models::SegmenterSpec spec{3, 2, net.base, net.bilinear, net.model};
    const std::unique_ptr<models::Segmenter> model = models::make_segmenter(
        models::registry(), spec, 3, {.device = kCuda, .bf16_copies = net.activations == Dtype::bf16});
    Adam adam(model->parameters(), {});
    Step step(model->parameters(), adam);
    Batch batch = batch_of({"", spec, Loss::cross_entropy, net.N, net.S, net.S});
    batch.labels = Tensor::zeros(batch.labels.shape(), Dtype::u8);  // logits of ignored pixels would not be read
    shim::shim_runtime().begin_traffic();
    issue(*model, step, Loss::cross_entropy, batch, net.activations);
    step.take_result();
    std::vector<Traffic> out = shim::shim_runtime().take_traffic();
    const auto first = [](const Traffic& of) { return of.name.find("normalize_images") != std::string::npos; };
    out.erase(out.begin(), std::find_if(out.begin(), out.end(), first));
    return out;
  }

  std::string model(const std::string& options) const {
    const Network& net = GetParam();
    const tests::CommandResult result = run_command(
        fmt::format("python3 -B {} --model {} --batch-size {} --image-size {} --base-channels {} --precision {}{} {}",
                    shell_quoted(places::source("bench/gpu_model.py")), net.model, net.N, net.S, net.base,
                    net.activations == Dtype::bf16 ? "bf16" : "fp32", net.bilinear ? " --bilinear" : "", options));
    EXPECT_EQ(result.status, 0) << result.output;
    return result.output;
  }

  /// Nsight Compute's table of the step: every kernel is found in both, and the convolutions one by one.
  void stands_beside(std::vector<Traffic> counts) const {
    std::ostringstream csv;
    csv << R"("ID","Kernel Name","Metric Name","Metric Unit","Metric Value")" << '\n';
    counts.push_back(counts.front());  // the next step begins
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const Traffic& count = counts[i];
      const bool own = count.name.find("_kernel") != std::string::npos;
      const auto row = [&](const char* metric, const std::string& figure) {
        csv << fmt::format("\"{}\",\"{}\",\"{}\",{}\n", i, own ? count.name : "void cutlass_engine(T1)", metric,
                           figure);
      };
      row("dram__bytes_read.sum", fmt::format("\"byte\",\"{}\"", count.read));
      row("dram__bytes_write.sum", fmt::format("\"byte\",\"{}\"", count.written));
      row("gpu__time_duration.sum", "\"ns\",\"2,000\"");
    }
    tests::write_file(folder_ / "ncu.csv", csv.str());
    const std::string rows = model("--chip H200 --ncu " + shell_quoted(folder_ / "ncu.csv"));
    for (const char* missing : {"not predicted", "not seen"}) EXPECT_EQ(rows.find(missing), std::string::npos) << rows;
    const Network& net = GetParam();
    const std::int64_t stem = net.model == kUnet ? net.S : net.S / 2;
    EXPECT_NE(
        rows.find(fmt::format("row: model and ncu, convolution forward 8 -> {} at {} | predicted ", net.base, stem)),
        std::string::npos)
        << rows;
  }

  const tests::TemporaryFolder folder_;
};

TEST_P(GpuModel, KnowsEveryLaunchAndItsBytes) {
  const std::vector<Traffic> counts = counted_step();
  model("--csv " + shell_quoted(folder_ / "model.csv"));
  std::istringstream table(read_file(folder_ / "model.csv"));
  std::string line;
  std::getline(table, line);
  ASSERT_EQ(line.substr(0, 24), "kernel,what,read,written");
  double all_counted = 0, all_modelled = 0;
  for (const Traffic& count : counts) {
    ASSERT_TRUE(std::getline(table, line)) << "the model ends before " << count.name;
    std::istringstream cells(line);
    std::string kernel, what, read, written;
    for (std::string* cell : {&kernel, &what, &read, &written}) std::getline(cells, *cell, ',');
    ASSERT_EQ(kernel, short_name(count.name)) << what;
    const auto counted_read = static_cast<double>(count.read), counted_written = static_cast<double>(count.written);
    EXPECT_NEAR(std::stod(read), counted_read, 64 + 0.02 * counted_read) << line;  // 64: a few constants
    EXPECT_NEAR(std::stod(written), counted_written, 0.02 * counted_written) << line;
    all_counted += counted_read + counted_written;
    all_modelled += std::stod(read) + std::stod(written);
  }
  EXPECT_FALSE(std::getline(table, line)) << "counted were " << counts.size() << " launches";
  EXPECT_NEAR(all_modelled, all_counted, 0.005 * all_counted);
  stands_beside(counts);
}

INSTANTIATE_TEST_SUITE_P(Networks, GpuModel,
                         testing::Values(Network{"unet_bf16", kUnet, 8, false, 2, 48, Dtype::bf16},
                                         Network{"unet_fp32", kUnet, 8, false, 1, 32, Dtype::f32},
                                         Network{"unet_bilinear", kUnet, 24, true, 1, 32, Dtype::bf16},
                                         Network{"resnet34_unet_bf16", kResnet34Unet, 32, false, 2, 64, Dtype::bf16},
                                         Network{"resnet34_unet_fp32", kResnet34Unet, 16, false, 1, 64, Dtype::f32}),
                         [](const auto& net) { return std::string(net.param.name); });

/// What networks of the usual width take, told by the model alone: nobody has to wait for the stand-in.
TEST(GpuModelOfTheUsualWidth, NamesLaunchesTimeAndBounds) {
  const auto run = [](const std::string& options) {
    return run_command("python3 -B " + shell_quoted(places::source("bench/gpu_model.py")) + " " + options);
  };
  if (run("--help").status == 127) GTEST_SKIP() << "python3 is absent";
  const std::string usual = run("").output;
  EXPECT_NE(usual.find("row: model, a step | 204 x, "), std::string::npos) << usual;
  EXPECT_NE(usual.find("row: model of a step | unet, base 64, 256x256, N=32, bf16, H100: "), std::string::npos)
      << usual;
  EXPECT_NE(usual.find("row: model, combine_kernel | 40 x, "), std::string::npos) << usual;
  const std::string other = run("--model resnet34_unet").output;
  EXPECT_NE(other.find("row: model, a step | 479 x, "), std::string::npos) << other;
  EXPECT_NE(run("--model resnet34_unet --image-size 272").status, 0) << "272 is no multiple of 32";
  for (const char* chip : {"H200", "A100", "'NVIDIA GeForce RTX 4090'"}) {
    EXPECT_EQ(run(std::string("--chip ") + chip).status, 0) << chip;
  }
  EXPECT_NE(run("--chip 'Voodoo 2'").status, 0);
  EXPECT_NE(run("--image-size 250").status, 0);
}

}  // namespace
}  // namespace unet::test::gpu_model_on_stand_in_test
