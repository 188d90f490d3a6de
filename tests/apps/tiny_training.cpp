#include "tests/apps/tiny_training.h"

#include <nlohmann/json.hpp>
#include <regex>

#include "engine/io/csv.h"
#include "engine/io/safetensors.h"

namespace unet::test {
namespace {

/// metrics.csv without its two columns of seconds.
std::string figures_of(const fs::path& path) {
  const CsvTable table = read_csv(path);
  std::string out;
  for (const std::vector<std::string>& row : table.rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string& name = table.columns[i];
      if (name != "seconds" && name != "images_per_second") out += name + " " + row[i] + "\n";
    }
  }
  return out;
}

}  // namespace

TinyTraining::TinyTraining() { write_small_pets(data_, 12, 1); }

Words TinyTraining::command(const fs::path& output, const Words& more) const {
  Words words = more;
  const auto given = [&more](const std::string& name) {
    return std::find(more.begin(), more.end(), name) != more.end();
  };
  const bool of_phases = given("--phase") || given("--config");  // which say epochs and rates themselves
  for (const auto& [name, value] : {std::pair<std::string, std::string>{"-e", "3"},
                                    {"--phase2-epochs", "2"},
                                    {"-b", "2"},
                                    {"--lr", "1e-2"},
                                    {"--keep", "1"},
                                    {"-j", "0"}}) {
    const bool of_two = name == "-e" || name == "--phase2-epochs" || name == "--lr";
    if (!given(name) && !(of_phases && of_two)) words = Words{name, value} + words;
  }
  return Words{program("train_unet")} + small_run(data_, output, words);
}

const fs::path& TinyTraining::alone(const Words& more) {
  std::string key;
  for (const std::string& word : more) key += word + " ";
  fs::path& output = alone_[key];
  if (output.empty()) {
    output = folder_ / fmt::format("alone{}", alone_.size());
    const ProgramResult result = run(command(output, more));
    EXPECT_EQ(result.code, 0) << result.err;
  }
  return output;
}

void TinyTraining::expect_as_alone(const fs::path& output, const Words& more) {
  const fs::path& expected = alone(more);
  EXPECT_EQ(run_files_of(output), run_files_of(expected));
  EXPECT_EQ(text_of(output / "steps.csv"), text_of(expected / "steps.csv"));
  EXPECT_EQ(figures_of(output / "metrics.csv"), figures_of(expected / "metrics.csv"));
  for (const std::string& name : names_in(expected)) {
    if (!name.starts_with("best")) continue;
    EXPECT_TRUE(text_of(output / name) == text_of(expected / name)) << name;
  }
  EXPECT_TRUE(tensors_of(output / "last.safetensors") == tensors_of(expected / "last.safetensors"));
  EXPECT_EQ(run_record_of(output / "last.safetensors"), run_record_of(expected / "last.safetensors"));
}

std::string run_record_of(const fs::path& path) {
  nlohmann::json record = nlohmann::json::parse(SafetensorsFile(path).metadata().at("run"));
  record["state"].erase("started");
  for (const char* name : {"output", "workers", "cache-mb"}) record["options"].erase(name);
  return record.dump(1);
}

std::vector<std::string> run_files_of(const fs::path& folder) {
  std::vector<std::string> names = names_in(folder);
  for (std::string& name : names) {
    name = std::regex_replace(name, std::regex("[0-9]{8}T[0-9]{6}Z|tfevents\\.[0-9]+"), "TIME");
  }
  return names;
}

}  // namespace unet::test
