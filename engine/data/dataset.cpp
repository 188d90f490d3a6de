#include "engine/data/dataset.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_set>

#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/data/data_scan.h"
#include "engine/data/layout.h"
#include "engine/data/mask_kind.h"
#include "engine/data/remarks.h"

namespace unet {
namespace {

constexpr std::array<std::string_view, 5> kSplitNames{"train", "val", "trainval", "test", "all"};
constexpr std::array<std::string_view, 3> kBorderNames{"foreground", "background", "ignore"};
constexpr std::array<std::string_view, 5> kMaskKindNames{"trimap", "binary", "indices", "two values", "class map"};

template <class Enum, std::size_t count>
Enum parse(std::string_view name, const std::array<std::string_view, count>& names, const char* what) {
  const auto at = std::find(names.begin(), names.end(), name);
  if (at == names.end()) {
    std::string choices;
    for (const std::string_view choice : names) choices += fmt::format("{}{}", choices.empty() ? "" : ", ", choice);
    throw Error("{} \"{}\": expected one of {}", what, name, choices);
  }
  return static_cast<Enum>(at - names.begin());
}

}  // namespace

std::string_view name_of(Split split) { return kSplitNames[static_cast<std::size_t>(split)]; }
std::string_view name_of(Border border) { return kBorderNames[static_cast<std::size_t>(border)]; }
std::string_view name_of(MaskKind kind) { return kMaskKindNames[static_cast<std::size_t>(kind)]; }
Split parse_split(std::string_view name) { return parse<Split>(name, kSplitNames, "split"); }
Border parse_border(std::string_view name) { return parse<Border>(name, kBorderNames, "border"); }

Dataset::Dataset(const DatasetOptions& options) : options_(options) {
  if (options.classes < 2 || options.classes > 255) {
    throw Error("{} classes: expected 2 to 255 (background included)", options.classes);
  }
  if (options.class_map && options.class_map->classes != options.classes) {
    throw Error("the class map names {} classes, and {} are asked for: leave the number of classes out",
                options.class_map->classes, options.classes);
  }
  if (options.binarize > 0 && (options.classes != 2 || options.class_map)) {
    throw Error("--binarize makes masks of two classes, black and white: it goes with neither {} nor a class map",
                options.classes == 2 ? "other classes" : fmt::format("{} classes", options.classes));
  }
  class_names_ = unet::class_names(options.class_map, options.classes);
  Layout layout = find_layout(options);
  layout_ = layout.text;
  fills_ = layout.fills;
  by_hash_ = layout.by_hash;
  lists_ = std::move(layout.lists);
  if (layout.trimaps && !options.class_map && options.classes != 2) {
    throw Error("data folder {}: trimaps of the Oxford layout have 2 classes, not {}: leave the number of classes out",
                options.folder.string(), options.classes);
  }
  Scan scan = scan_pairs(list(Split::all), options);
  leave_out_broken(scan.findings);
  masks_.masks = static_cast<std::int64_t>(scan.findings.size());
  masks_.pixels = scan.pixels;
  const MaskMeaning meaning = meaning_of(scan, options, layout.trimaps);
  masks_.kind = meaning.kind;
  label_of_ = meaning.labels;
  remarks_ = remarks_on(scan.findings, options, meaning);
  remarks_.notes.insert(remarks_.notes.begin(), layout.notes.begin(), layout.notes.end());

  training_classes_.resize(class_names_.size());
  std::unordered_set<std::string> training;
  for (const Sample& sample : list(Split::train)) training.insert(sample.image.string());
  for (const Finding& finding : scan.findings) {
    if (training.contains(finding.sample.image.string())) add_to_training_classes(finding);
    for (const char c : finding.sample.name) hash_ = mix64(hash_ ^ static_cast<unsigned char>(c));
    hash_ = mix64(mix64(hash_ ^ finding.photograph_bytes) ^ finding.contents);
  }
  for (const Split split : {Split::train, Split::val, Split::test}) {
    hash_ = mix64(hash_ ^ static_cast<std::uint64_t>(size(split)));
  }
  if (!options.class_map) return;  // else what its codes mean is the map's
  for (const char c : text_of(*options.class_map)) hash_ = mix64(hash_ ^ static_cast<unsigned char>(c));
}

void Dataset::leave_out_broken(std::vector<Finding>& findings) {
  const std::size_t pairs = findings.size();
  std::unordered_set<std::string> broken;
  for (const Finding& finding : findings) {
    if (finding.corrupt.empty()) continue;
    skipped_.push_back({finding.sample.name, finding.corrupt});
    broken.insert(finding.sample.image.string());
  }
  if (broken.empty()) return;
  if (broken.size() * 100 > pairs) {
    throw Error("{} of {} pairs are broken, at most 1 % are skipped; the first: {}", broken.size(), pairs,
                skipped_.front().reason);
  }
  std::erase_if(findings, [](const Finding& finding) { return !finding.corrupt.empty(); });
  for (std::vector<Sample>& samples : lists_) {
    std::erase_if(samples, [&](const Sample& sample) { return broken.contains(sample.image.string()); });
  }
}

void Dataset::add_to_training_classes(const Finding& finding) {
  std::vector<std::int64_t> pixels(class_names_.size());
  std::int64_t all = 0;
  for (std::size_t value = 0, i = 0; value < 256; ++value) {
    if (!finding.values[value]) continue;
    const std::int64_t here = finding.pixels[i++];
    if (label_of_[value] == kIgnoredLabel) continue;
    pixels[static_cast<std::size_t>(label_of_[value])] += here;
    all += here;
  }
  for (std::size_t c = 0; c < pixels.size(); ++c) {
    training_classes_[c].pixels += pixels[c];
    if (pixels[c] > 0) training_classes_[c].pixels_around += all;
  }
}

std::vector<std::string> Dataset::check_trainable() const {
  std::vector<std::string> present, absent;
  for (std::size_t c = 0; c < class_names_.size(); ++c) {
    (training_classes_[c].pixels > 0 ? present : absent).push_back(class_names_[c]);
  }
  if (present.size() < 2) {
    throw Error(
        "data folder {}: the {} training masks hold {}: there is nothing to learn; expected pixels of two classes at "
        "least. Look at the masks and at what their values mean: {}",
        options_.folder.string(), size(Split::train),
        present.empty()                   ? "only ignored pixels"
        : training_classes_[0].pixels > 0 ? fmt::format("class {} alone, no foreground", present[0])
                                          : fmt::format("class {} alone", present[0]),
        values_text());
  }
  if (absent.empty()) return {};
  return {fmt::format("no training mask holds class {}: the network cannot learn what it never sees",
                      fmt::join(absent, ", "))};
}

const std::vector<Sample>& Dataset::samples(Split split) const {
  if (list(split).empty()) {
    throw Error("data folder {}: split {} is empty; the others: train {}, val {}, test {}: {}",
                options_.folder.string(), name_of(split), size(Split::train), size(Split::val), size(Split::test),
                fills_[split == Split::test  ? 2
                       : split == Split::val ? 1
                                             : 0]);
  }
  return list(split);
}

LabelledImage Dataset::load(const Sample& sample) const {
  LabelledImage pair;
  try {
    MaskFacts facts;
    pair = {to_rgb(load_image(sample.image, options_.exif)), read_mask_codes(sample.mask, options_, facts)};
  } catch (const Error& error) {
    throw Error("{}: {}", sample.listed_at, error.what());
  }
  check_sizes(sample, {pair.image.width, pair.image.height}, pair.labels);
  std::int16_t seen = 0;  // negative once a value is not allowed
  for (std::uint8_t& pixel : pair.labels.pixels) {
    const std::int16_t label = label_of_[pixel];
    seen = static_cast<std::int16_t>(seen | label);
    if (label >= 0) pixel = static_cast<std::uint8_t>(label);
  }
  if (seen < 0) throw Error("{}: mask {} has changed since the start", sample.listed_at, sample.mask.string());
  return pair;
}

std::string Dataset::value_text(std::size_t code) const {
  if (masks_.kind != MaskKind::class_map) return std::to_string(code);
  return text_of(options_.class_map->entries[code].value);
}

std::string Dataset::values_text() const {
  std::int64_t total = 0;
  for (const std::int64_t count : masks_.pixels) total += count;
  std::string text;
  for (std::size_t value = 0; value < 256; ++value) {
    if (masks_.pixels[value] == 0) continue;
    const std::int16_t label = label_of_[value];
    text += fmt::format("{}{} -> {} {:.1f} %", text.empty() ? "" : ", ", value_text(value),
                        label == kIgnoredLabel ? "ignored" : "class " + class_names_[static_cast<std::size_t>(label)],
                        100.0 * static_cast<double>(masks_.pixels[value]) / static_cast<double>(total));
  }
  return text;
}

std::string Dataset::report() const {
  std::string text = fmt::format("data {}: {}, {} train, {} val, {} test\n", escaped(options_.folder.string()), layout_,
                                 size(Split::train), size(Split::val), size(Split::test));
  if (list(Split::trainval).empty() && list(Split::test).empty()) {
    text += fmt::format("no lists: one split of all {} pairs\n", size(Split::all));
  }
  text += fmt::format("masks: {} ({}), {}\n", masks_.masks, name_of(masks_.kind), values_text());
  if (!skipped_.empty())
    text += fmt::format("skipped: {} broken, the first: {}\n", skipped_.size(), skipped_.front().reason);
  for (const std::string& note : remarks_.notes) text += note + "\n";
  return text;
}

}  // namespace unet
