// The README's embedding example: its program is built from the README's text (tests/CMakeLists.txt), its CMake block
// configures.
#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <regex>

#include "apps/option_table.h"
#include "apps/preset.h"
#include "engine/io/safetensors.h"
#include "tests/apps/program.h"
#include "tests/support/places.h"

namespace unet::test::readme_test {
namespace {

/// The README's block of this language.
std::string block(const std::string& language) {
  const std::string readme = text_of(places::source("README.md")), fence = "```" + language + "\n";
  const std::size_t begin = readme.find(fence);
  EXPECT_NE(begin, std::string::npos) << language;
  if (begin == std::string::npos) return {};
  EXPECT_EQ(readme.find(fence, begin + 1), std::string::npos) << "two blocks of " << language << ": which one?";
  return readme.substr(begin + fence.size(), readme.find("```", begin + 3) - begin - fence.size());
}

TEST(Readme, EmbeddedProgramLearnsAndSaves) {
  const Folder folder;
  const ProgramResult result = run({program("readme_squares")}, {}, folder.path());
  ASSERT_EQ(result.code, 0) << result.err;
  std::vector<double> losses;
  for (const std::string& line : lines_of(result.out)) {
    int step = 0;
    double loss = 0;
    ASSERT_EQ(std::sscanf(line.c_str(), "step %d: loss %lf", &step, &loss), 2) << line;
    losses.push_back(loss);
    EXPECT_EQ(step, 10 * static_cast<int>(losses.size()));
  }
  ASSERT_EQ(losses.size(), 5u);
  EXPECT_LT(losses.back(), losses.front());
  EXPECT_LT(losses.back(), 0.5) << "ln 2 = 0.69 is what a guess costs";
  const SafetensorsFile file(folder / "squares.safetensors");
  EXPECT_NE(file.find("first.conv.weight"), nullptr);
  EXPECT_NE(file.find("second.norm.running_mean"), nullptr);
  EXPECT_NE(file.find("head.weight"), nullptr);
  EXPECT_EQ(file.metadata().at("note"), "made by the README");
}

TEST(Readme, ListsTheOptionsOfTheTable) {
  TrainOptions options;
  std::map<std::string, std::string> expected, found;  // group -> names in order
  for (const OptionRow& row : table_of(options, {})) {
    std::string group = row.group;
    group[0] = static_cast<char>(std::tolower(group[0]));
    // Without aliases, which stand behind the first long name.
    std::string names = row.names.substr(0, row.names.find(',', row.names.find("--")));
    std::replace(names.begin(), names.end(), ',', ' ');
    expected[group] += names + "\n";
  }
  const std::regex name("`((-[a-z] )?--[a-z0-9-]+)");
  for (const std::string& line : lines_of(text_of(places::source("README.md")))) {
    std::smatch row;
    if (!std::regex_match(line, row, std::regex(R"(\| ([a-z]+) \| (`-.*) \|)")) || !expected.contains(row[1])) continue;
    const std::string list = row[2];
    for (std::sregex_iterator at(list.begin(), list.end(), name), end; at != end; ++at)
      found[row[1]] += at->str(1) + "\n";
  }
  EXPECT_EQ(found, expected);
}

TEST(Readme, ListsThePresets) {
  const std::string readme = text_of(places::source("README.md"));
  for (const Preset& preset : presets()) {
    std::string options;
    for (const auto& [name, value] : preset.options) {
      options += fmt::format("{}--{}={}", options.empty() ? "" : " ", name, value);
    }
    const std::string told =
        options.empty() ? fmt::format("`{}`", preset.name) : fmt::format("| `{}` | `{}`", preset.name, options);
    EXPECT_TRUE(preset.name == std::string("default") || readme.find(told) != std::string::npos) << told;
  }
}

TEST(Readme, CMakeBlockConfigures) {
  const Folder folder;
  write_text(folder / "CMakeLists.txt", block("cmake"));
  write_text(folder / "squares.cpp", block("cpp"));
  fs::create_directory_symlink(fs::canonical(places::source()), folder / "unet.cpp");
  const ProgramResult result = run({places::cmake(), "-S", folder.path().string(), "-B", (folder / "build").string(),
                                    "-G", places::generator(), "-DCMAKE_CXX_COMPILER=" + places::compiler()});
  EXPECT_EQ(result.code, 0) << result.out << result.err;
  EXPECT_EQ(result.err.find("Warning"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace unet::test::readme_test
