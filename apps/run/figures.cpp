#include "apps/run/figures.h"

#include <fmt/core.h>
#include <algorithm>
#include <nlohmann/json.hpp>

namespace unet {
namespace {

const char* images(std::int64_t count) { return count == 1 ? "image" : "images"; }

}  // namespace

std::string remarks(const SegmentationMetrics& m) {
  std::string out;
  const bool has_background = m.background() == Background::class0;
  if (const std::int64_t counted = m.images() - m.ignored(); has_background && m.nonempty() < counted) {
    out += fmt::format("{} of {} images hold foreground\n", m.nonempty(), counted);
  }
  if (const std::int64_t n = m.nothing_to_find(); n > 0) {
    out += fmt::format("{} {} with nothing to find and nothing claimed: 1 each in dice and iou\n", n, images(n));
  }
  if (const std::int64_t n = m.ignored(); n > 0) {
    out += fmt::format("{} {} with every pixel ignored: in no figure\n", n, images(n));
  }
  return out;
}

std::string class_table(const SegmentationMetrics& m, const SegmentationMetrics& native, const ClassNames& names) {
  std::size_t width = 5;
  for (const std::string& name : names) width = std::max(width, name.size());
  std::string out = fmt::format("{:>{}}  {:>9}  {:>9}  {:>9}  {:>9}  {:>12}  {:>7}  {:>11}  {:>10}\n", "class", width,
                                "dice", "iou", "precision", "recall", "pixels", "images", "dice_native", "iou_native");
  for (int c = 0; c < m.classes(); ++c) {
    const ClassScores s = m.of_class(c);
    out += fmt::format("{:>{}}  {:>9}  {:>9}  {:>9}  {:>9}  {:>12}  {:>7}", names[static_cast<std::size_t>(c)], width,
                       figure_text(s.dice), figure_text(s.iou), figure_text(s.precision), figure_text(s.recall),
                       m.pixels(c), m.images_with(c));
    const ClassScores full = native.of_class(c);
    out += fmt::format("  {:>11}  {:>10}", figure_text(full.dice), figure_text(full.iou));
    out += m.is_scored(c) ? "\n" : "  background: in no mean\n";
  }
  return out;
}

nlohmann::ordered_json to_json(std::optional<double> value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

nlohmann::ordered_json classes_json(const SegmentationMetrics& m, const SegmentationMetrics& native,
                                    const ClassNames& names) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (int c = 0; c < m.classes(); ++c) {
    const ClassScores s = m.of_class(c);
    nlohmann::ordered_json entry;
    entry["class"] = c;
    entry["name"] = names[static_cast<std::size_t>(c)];
    entry["in_means"] = m.is_scored(c);
    entry["dice"] = to_json(s.dice);
    entry["iou"] = to_json(s.iou);
    entry["precision"] = to_json(s.precision);
    entry["recall"] = to_json(s.recall);
    entry["pixels"] = m.pixels(c);
    entry["images"] = m.images_with(c);
    entry["dice_native"] = to_json(native.of_class(c).dice);
    entry["iou_native"] = to_json(native.of_class(c).iou);
    out.push_back(std::move(entry));
  }
  return out;
}

CsvCell cell(std::optional<double> value) { return value ? CsvCell(*value) : CsvCell(""); }

std::vector<std::string> class_columns(const ClassNames& names) {
  std::vector<std::string> out;
  for (const std::string& name : names) {
    for (const char* figure : {"dice", "iou", "precision", "recall"}) {
      out.push_back(fmt::format("val_{}_{}", figure, name));
    }
  }
  return out;
}

std::vector<CsvCell> class_cells(const SegmentationMetrics& m) {
  std::vector<CsvCell> out;
  for (int c = 0; c < m.classes(); ++c) {
    const ClassScores s = m.of_class(c);
    for (const std::optional<double> value : {s.dice, s.iou, s.precision, s.recall}) out.push_back(cell(value));
  }
  return out;
}

}  // namespace unet
