// The rules of ARCHITECTURE that a machine can see, on every source of the project; and each rule on a made-up breach.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "models/registry.h"
#include "tests/structure/source_tree.h"

namespace unet::tests::structure_test {
namespace {

using Rule = std::function<std::vector<std::string>(const Source&)>;

const std::vector<std::string> kProduct{"kernels", "engine", "models", "apps"};
const std::vector<std::string> kAll{"kernels", "engine", "models", "apps", "tests", "bench"};

std::string report(const std::vector<Source>& sources, const Rule& rule) {
  std::string out;
  for (const Source& source : sources) {
    for (const std::string& breach : rule(source)) out += breach + "\n";
  }
  return out;
}

TEST(Structure, TheLawOfIncludes) { EXPECT_EQ(report(project_sources(kAll), breaches_of_layers), ""); }
TEST(Structure, TheLawOfTheEnginesRooms) { EXPECT_EQ(report(project_sources({"engine"}), breaches_of_rooms), ""); }
TEST(Structure, NoCudaOutsideItsFolder) { EXPECT_EQ(report(project_sources(kAll), breaches_of_the_cuda_door), ""); }
TEST(Structure, HeadersHaveTheirForm) { EXPECT_EQ(report(project_sources(kProduct), breaches_of_header_form), ""); }
TEST(Structure, NoMacros) { EXPECT_EQ(report(project_sources(kProduct), breaches_of_no_macros), ""); }

TEST(Structure, TheTestsMirrorTheProduct) {
  const std::set<std::string> product = folders_of(project_sources(kProduct));
  const Rule rule = [&](const Source& source) { return breaches_of_the_test_tree(source, product); };
  EXPECT_EQ(report(project_sources({"tests"}), rule), "");
}

TEST(Structure, ATestHasANamespace) {
  EXPECT_EQ(report(project_sources({"tests"}), breaches_of_a_tests_namespace), "");
}

TEST(Structure, ProgramsKnowNoNetwork) {
  const std::vector<std::string> networks = models::names_of(models::registry());
  EXPECT_EQ(report(project_sources({"apps"}), [&](const Source& s) { return breaches_of_the_registry(s, networks); }),
            "");
}

TEST(Structure, SourcesAreFound) {
  std::map<std::string, int> count;
  for (const Source& source : project_sources(kAll)) ++count[source.path.substr(0, source.path.find('/'))];
  for (const std::string& folder : kProduct) EXPECT_GE(count[folder], 2) << folder;
  EXPECT_GE(count["tests"], 2);
}

/// Longer than this needs a reason, here.
constexpr int kMostLines = 400;
const std::map<std::string, std::string> kLongFiles{};

TEST(Structure, FilesAreShort) {
  int longest = 0, files = 0, total = 0;
  for (const Source& source : project_sources(kProduct)) {
    const int lines = lines_of(source.text);
    ++files;
    total += lines;
    longest = std::max(longest, lines);
    EXPECT_TRUE(lines <= kMostLines || kLongFiles.contains(source.path)) << source.path << " has " << lines << " lines";
  }
  for (const auto& [path, reason] : kLongFiles) {
    const std::vector<Source> sources = project_sources(kProduct);
    const auto found = std::ranges::find(sources, path, &Source::path);
    ASSERT_NE(found, sources.end()) << path;
    EXPECT_GT(lines_of(found->text), kMostLines) << path << " is short now: take it off the list";
  }
  RecordProperty("files", files);
  RecordProperty("lines", total);
  RecordProperty("longest", longest);
}

// ---- every rule finds a breach --------------------------------------------------------------------------------------

bool finds(const Rule& rule, const std::string& path, const std::string& text) { return !rule({path, text}).empty(); }

TEST(StructureRules, FindABreachOfLayers) {
  const Rule rule = breaches_of_layers;
  EXPECT_TRUE(finds(rule, "kernels/cpu/relu.cpp", "#include \"engine/core/tensor.h\"\n"));
  EXPECT_TRUE(finds(rule, "engine/ops/relu.cpp", "  #  include \"models/unet.h\"\n"));
  EXPECT_TRUE(finds(rule, "models/unet.cpp", "#include \"apps/options.h\"\n"));
  EXPECT_TRUE(finds(rule, "apps/options.cpp", "#include \"tests/support/tensors.h\"\n"));
  EXPECT_TRUE(finds(rule, "bench/a.cpp", "#include \"tests/support/tensors.h\"\n"));
  EXPECT_TRUE(finds(rule, "engine/ops/relu.cpp", "#include <kernels/relu.h>\n"));
  EXPECT_TRUE(finds(rule, "engine/ops/relu.cpp", "#include \"ops.h\"\n"));
  EXPECT_TRUE(finds(rule, "engine/ops/relu.cpp", "#include \"../../models/unet.h\"\n"));
  EXPECT_FALSE(finds(rule, "apps/train_unet.cpp", "#include \"models/unet.h\"\n#include \"kernels/view.h\"\n"));
  EXPECT_FALSE(finds(rule, "engine/ops/relu.cpp", "#include <vector>\n#include \"kernels/relu.h\"\n"));
  EXPECT_FALSE(finds(rule, "tests/ops/a.cpp", "#include \"tests/support/tensors.h\"\n#include \"apps/options.h\"\n"));
  const std::vector<std::string> breach = breaches_of_layers({"kernels/a.h", "\n#include \"engine/core/error.h\"\n"});
  ASSERT_EQ(breach.size(), 1u);
  EXPECT_EQ(breach[0], "kernels/a.h:2: includes engine/core/error.h, against kernels <- engine <- models <- apps");
}

TEST(StructureRules, FindABreachOfRooms) {
  const Rule rule = breaches_of_rooms;
  EXPECT_TRUE(finds(rule, "engine/core/tensor.h", "#include \"engine/io/csv.h\"\n"));
  EXPECT_TRUE(finds(rule, "engine/io/csv.cpp", "#include \"engine/autograd/tape.h\"\n"));
  EXPECT_TRUE(finds(rule, "engine/data/loader.cpp", "#include \"engine/ops/ops.h\"\n"));
  EXPECT_TRUE(finds(rule, "engine/train/step.cpp", "#include \"engine/data/loader.h\"\n"));
  EXPECT_TRUE(finds(rule, "engine/ops/relu.cpp", "#include \"engine/nn/layers.h\"\n"));
  EXPECT_TRUE(finds(rule, "engine/train/step.cpp", "#include \"engine/nn/layers.h\"\n"));
  EXPECT_TRUE(finds(rule, "engine/cellar/wine.h", "#pragma once\n"));
  EXPECT_FALSE(finds(rule, "engine/nn/layers.cpp", "#include \"engine/ops/ops.h\"\n#include \"kernels/view.h\"\n"));
  EXPECT_FALSE(
      finds(rule, "engine/ops/plan_file.cpp", "#include \"engine/io/image.h\"\n#include \"engine/ops/a.h\"\n"));
  EXPECT_FALSE(finds(rule, "apps/run/a.cpp", "#include \"engine/train/metrics.h\"\n"));
}

TEST(StructureRules, FindATestInAFolderThatTheProductHasNot) {
  const std::set<std::string> product = folders_of({{"kernels/cpu/relu.cpp", ""}, {"engine/io/csv.h", ""}});
  const Rule rule = [&](const Source& source) { return breaches_of_the_test_tree(source, product); };
  EXPECT_TRUE(finds(rule, "tests/kernels/relu/relu_test.cpp", ""));
  EXPECT_TRUE(finds(rule, "tests/engine/train/step_test.cpp", ""));
  EXPECT_TRUE(finds(rule, "tests/engine/ops/relu_test.cpp", ""));
  EXPECT_TRUE(finds(rule, "tests/relu_test.cpp", ""));
  EXPECT_TRUE(finds(rule, "tests/supports/a.h", ""));
  EXPECT_FALSE(finds(rule, "tests/kernels/cpu/relu_test.cpp", ""));
  EXPECT_FALSE(finds(rule, "tests/kernels/shapes.h", ""));
  EXPECT_FALSE(finds(rule, "tests/engine/io/csv_test.cpp", ""));
  EXPECT_FALSE(finds(rule, "tests/support/preload/file_faults.cpp", ""));
}

TEST(StructureRules, FindATestWithoutANamespaceOfItsOwn) {
  const Rule rule = breaches_of_a_tests_namespace;
  EXPECT_TRUE(finds(rule, "tests/engine/io/csv_test.cpp", "namespace unet::tests {\nnamespace {\n"));
  EXPECT_TRUE(finds(rule, "tests/engine/io/csv_test.cpp", "namespace unet::tests::csv_test {\nTEST(Csv, Reads) {\n"));
  EXPECT_TRUE(finds(rule, "tests/engine/io/csv_test.cpp", "namespace unet::tests::image_test {\nnamespace {\n"));
  EXPECT_FALSE(finds(rule, "tests/engine/io/csv_test.cpp", "namespace unet::tests::csv_test {\nnamespace {\n"));
  EXPECT_FALSE(finds(rule, "tests/engine/io/rows.cpp", "namespace unet::tests {\n"));
}

TEST(StructureRules, FindCudaOutside) {
  const Rule rule = breaches_of_the_cuda_door;
  EXPECT_TRUE(finds(rule, "engine/core/pool.cpp", "#include <cuda_runtime.h>\n"));
  EXPECT_TRUE(finds(rule, "kernels/conv_plan.cpp", "#include <cudnn.h>\n"));
  EXPECT_TRUE(finds(rule, "tests/ops/a.cpp", "#include <cuda_bf16.h>\n"));
  EXPECT_TRUE(finds(rule, "kernels/a.cpp", "#include <cublasLt.h>\n"));
  EXPECT_FALSE(finds(rule, "kernels/cuda/runtime.cpp", "#include <cuda_runtime.h>\n"));
  EXPECT_FALSE(finds(rule, "engine/core/pool.cpp", "#include \"kernels/cuda/runtime.h\"\n"));
  EXPECT_FALSE(finds(rule, "tests/ops/a.cpp", "#include \"kernels/cuda/cudnn_conv.h\"\n"));
}

TEST(StructureRules, FindABadHeader) {
  const Rule rule = breaches_of_header_form;
  EXPECT_TRUE(finds(rule, "engine/a.h", "namespace unet {}\n"));
  EXPECT_TRUE(finds(rule, "engine/a.h", "#pragma once\nint f();\n"));
  EXPECT_TRUE(finds(rule, "kernels/a.h", "#pragma once\nnamespace unet {}\n"));
  EXPECT_TRUE(finds(rule, "engine/a.h", "#pragma once\nnamespace unet {}\nusing namespace std;\n"));
  EXPECT_FALSE(finds(rule, "kernels/a.h", "#pragma once\nnamespace unet::kernels::cpu {}\n"));
}

TEST(StructureRules, FindANetworkInAProgram) {
  const Rule rule = [](const Source& source) { return breaches_of_the_registry(source, {"unet", "resnet34_unet"}); };
  EXPECT_TRUE(finds(rule, "apps/run/a.cpp", "#include \"models/resnet34_unet.h\"\n"));
  EXPECT_TRUE(finds(rule, "apps/a.cpp", "if (o.model == \"unet\") {}\n"));
  EXPECT_FALSE(finds(rule, "apps/a.cpp", "#include \"models/registry.h\"\n#include \"apps/train_unet.h\"\n"));
  EXPECT_FALSE(finds(rule, "models/registry.cpp", "#include \"models/unet.h\"\n"));
}

TEST(StructureRules, FindAMacro) {
  EXPECT_TRUE(finds(breaches_of_no_macros, "engine/a.cpp", "#define CHECK(x) x\n"));
  EXPECT_TRUE(finds(breaches_of_no_macros, "engine/a.cpp", "# define N 3\n"));
  EXPECT_FALSE(finds(breaches_of_no_macros, "kernels/cuda/a.h", "#define UNET_CUDA_CHECK(x) x\n"));
  EXPECT_FALSE(finds(breaches_of_no_macros, "engine/a.cpp", "// #define is not for us\n"));
}

}  // namespace
}  // namespace unet::tests::structure_test
