#include "apps/report/left_run.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/report/metrics_table.h"
#include "engine/core/error.h"
#include "engine/io/image.h"

namespace unet {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMostBytes = std::int64_t{64} << 20;

std::string column_of(const std::string& best_by) { return "val_" + (best_by.empty() ? "dice" : best_by); }

void read_record(LeftRun& run) {
  const fs::path path = run.folder / "run.json";
  if (!fs::exists(path)) {
    throw Error("{}: holds no run.json, so it is no folder of a run; name the folder that train_unet -o was given",
                run.folder.string());
  }
  const std::vector<std::uint8_t> bytes = read_file(path, kMostBytes);
  try {
    const nlohmann::json json = nlohmann::json::parse(bytes.begin(), bytes.end());
    run.options = json.at("options").get<std::map<std::string, std::string>>();
    const nlohmann::json& data = json.at("data");
    run.classes = data.at("classes").get<std::vector<std::string>>();
    run.data_hash = data.at("hash").get<std::string>();
    for (const char* split : {"train", "val", "test"}) {
      run.data[fmt::format("images to {}", split)] = data.at("images").at(split).dump();
    }
    run.data["kind of masks"] = data.at("masks").at("kind").get<std::string>();
    run.data["pixels of the masks by value"] = data.at("masks").value("pixels", nlohmann::json()).dump();
  } catch (const nlohmann::json::exception& error) {
    throw Error("{}: is damaged, or of another program: {}", path.string(), printable(error.what()));
  }
}

}  // namespace

std::string LeftRun::option(const std::string& name) const {
  const auto found = options.find(name);
  return found == options.end() ? "" : found->second;
}

LeftRun left_run(const fs::path& folder) {
  LeftRun out;
  out.folder = folder;
  const fs::path whole = fs::absolute(folder).lexically_normal();
  out.title = (whole.has_filename() ? whole : whole.parent_path()).filename().string();
  read_record(out);
  out.metrics = read_csv(folder / "metrics.csv");
  if (out.metrics.rows.empty())
    throw Error("{}: no epoch of the run is over: there is nothing to compare", folder.string());
  const std::vector<double> score = numbers_of(out.metrics, column_of(out.option("best-by")));
  for (std::size_t i = 1; i < score.size(); ++i) {
    if (score[i] > score[out.best] || std::isnan(score[out.best])) out.best = i;
  }
  out.review = review_in(folder);
  const double phase = numbers_of(out.metrics, "phase")[out.best], epoch = numbers_of(out.metrics, "epoch")[out.best];
  if (out.review && (out.review->phase != phase || static_cast<double>(out.review->epoch) != epoch)) out.review.reset();
  return out;
}

std::vector<std::string> differences_of_data(const LeftRun& a, const LeftRun& b) {
  std::vector<std::string> out;
  const auto compare = [&](const std::string& what, const std::string& of_a, const std::string& of_b) {
    if (of_a != of_b)
      out.push_back(fmt::format("{}: {} and {}", what, of_a.empty() ? "none" : of_a, of_b.empty() ? "none" : of_b));
  };
  const auto names = [](const LeftRun& run) {
    std::string text;
    for (const std::string& name : run.classes) text += (text.empty() ? "" : ", ") + name;
    return text;
  };
  compare("classes", names(a), names(b));
  for (const char* option : {"background", "border", "binarize", "ignore-index", "exif", "class-map"}) {
    compare(fmt::format("--{}", option), a.option(option), b.option(option));
  }
  if (a.data_hash == b.data_hash) return out;
  const std::size_t before = out.size();
  for (const auto& [what, text] : a.data) compare(what, text, b.data.at(what));
  if (out.size() == before) {
    out.push_back("the names of images, a mask, or the size of a photograph's file (their hashes differ: " +
                  a.data_hash + " and " + b.data_hash + ")");
  }
  return out;
}

DataOptions data_of(const LeftRun& run) {
  DataOptions out;
  out.folder = run.option("data");
  out.images = run.option("images");
  out.masks = run.option("masks");
  out.mask_suffix = run.option("mask-suffix");
  out.train_list = run.option("train-list");
  out.val_list = run.option("val-list");
  out.test_list = run.option("test-list");
  out.follow_links = run.option("follow-links") == "true";
  if (run.option("group-by") != "none") out.group_by = run.option("group-by");
  if (run.option("ignore-index") != "255") out.ignore_index = plain_number(run.option("ignore-index"));
  return out;
}

std::vector<PairedDice> paired(const Review& first, const Review& second) {
  std::map<std::string, double> other;
  for (const ReviewedImage& image : second.images) {
    if (image.dice) other[image.name] = *image.dice;
  }
  std::vector<PairedDice> out;
  for (std::size_t i = 0; i < first.images.size(); ++i) {
    const ReviewedImage& image = first.images[i];
    const auto found = other.find(image.name);
    if (image.dice && found != other.end()) out.push_back({image.name, i, *image.dice, found->second});
  }
  return out;
}

}  // namespace unet
