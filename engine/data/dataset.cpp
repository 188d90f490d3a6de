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
constexpr std::array<std::string_view, 3> kKindNames{"trimap", "binary", "indices"};

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
std::string_view name_of(MaskKind kind) { return kKindNames[static_cast<std::size_t>(kind)]; }
Split parse_split(std::string_view name) { return parse<Split>(name, kSplitNames, "split"); }
Border parse_border(std::string_view name) { return parse<Border>(name, kBorderNames, "border"); }

Dataset::Dataset(const DatasetOptions& options) : options_(options) {
  if (options.classes < 2 || options.classes > 255) {
    throw Error("{} classes: expected 2 to 255 (background included)", options.classes);
  }
  Layout layout = find_layout(options.folder, options.group_by);
  oxford_ = layout.oxford;
  by_hash_ = layout.by_hash;
  lists_ = std::move(layout.lists);
  if (oxford_ && options.classes != 2) {
    throw Error("data folder {}: trimaps of the Oxford layout have 2 classes, not {}: leave the number of classes out",
                options.folder.string(), options.classes);
  }
  Scan scan = scan_pairs(list(Split::all), options);
  leave_out_broken(scan.findings);
  masks_.masks = static_cast<std::int64_t>(scan.findings.size());
  masks_.pixels = scan.pixels;
  masks_.kind = oxford_ ? MaskKind::trimap : kind_of(scan.findings, options);
  label_of_ = label_table(masks_.kind, options.classes, options.border);
  check_values(scan.findings, masks_.kind, options.classes, label_of_);
  remarks_ = remarks_on(scan.findings, options, masks_.kind, label_of_);
  remarks_.notes.insert(remarks_.notes.begin(), layout.notes.begin(), layout.notes.end());

  std::unordered_set<std::string_view> training;
  for (const Sample& sample : list(Split::train)) training.insert(sample.name);
  for (const Finding& finding : scan.findings) {
    if (training.contains(finding.sample.name)) training_labels_ |= labels_of(finding.values, label_of_);
    for (const char c : finding.sample.name) hash_ = mix64(hash_ ^ static_cast<unsigned char>(c));
    hash_ = mix64(mix64(hash_ ^ finding.photograph_bytes) ^ finding.contents);
  }
  for (const Split split : {Split::train, Split::val, Split::test}) {
    hash_ = mix64(hash_ ^ static_cast<std::uint64_t>(size(split)));
  }
}

void Dataset::leave_out_broken(std::vector<Finding>& findings) {
  const std::size_t pairs = findings.size();
  std::unordered_set<std::string> broken;
  for (const Finding& finding : findings) {
    if (finding.corrupt.empty()) continue;
    skipped_.push_back({finding.sample.name, finding.corrupt});
    broken.insert(finding.sample.name);
  }
  if (broken.empty()) return;
  if (broken.size() * 100 > pairs) {
    throw Error("{} of {} pairs are broken, at most 1 % are skipped; the first: {}", broken.size(), pairs,
                skipped_.front().reason);
  }
  std::erase_if(findings, [](const Finding& finding) { return !finding.corrupt.empty(); });
  for (std::vector<Sample>& samples : lists_) {
    std::erase_if(samples, [&](const Sample& sample) { return broken.contains(sample.name); });
  }
}

std::vector<std::string> Dataset::check_trainable() const {
  std::vector<int> present, absent;
  for (int c = 0; c < options_.classes; ++c) {
    (training_labels_[static_cast<std::size_t>(c)] ? present : absent).push_back(c);
  }
  if (present.size() < 2) {
    throw Error(
        "data folder {}: the {} training masks hold {}: there is nothing to learn; expected pixels of two classes at "
        "least. Look at the masks and at what their values mean: {}",
        options_.folder.string(), size(Split::train),
        present.empty()   ? "only ignored pixels"
        : present[0] == 0 ? "class 0 alone, no foreground"
                          : fmt::format("class {} alone", present[0]),
        values_text());
  }
  if (absent.empty()) return {};
  return {fmt::format("no training mask holds class {}: the network cannot learn what it never sees",
                      fmt::join(absent, ", "))};
}

std::string Dataset::how_to_fill(Split split) const {
  if (by_hash_ && split != Split::test) {
    return fmt::format("expected at least 2 {}, one to train on and one to validate on",
                       options_.group_by.empty() ? "pictures" : "groups of pictures");
  }
  const char* list = split == Split::test ? "test" : oxford_ ? "trainval" : split == Split::val ? "val" : "train";
  return fmt::format("name its pictures in {}{}.txt, or choose another split", oxford_ ? "annotations/" : "", list);
}

const std::vector<Sample>& Dataset::samples(Split split) const {
  if (list(split).empty()) {
    throw Error("data folder {}: split {} is empty; the others: train {}, val {}, test {}: {}",
                options_.folder.string(), name_of(split), size(Split::train), size(Split::val), size(Split::test),
                how_to_fill(split));
  }
  return list(split);
}

LabelledImage Dataset::load(const Sample& sample) const {
  LabelledImage pair;
  try {
    pair = {to_rgb(load_image(sample.image, options_.exif)), load_mask(sample.mask)};
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

std::string Dataset::values_text() const {
  std::int64_t total = 0;
  for (const std::int64_t count : masks_.pixels) total += count;
  std::string text;
  for (std::size_t value = 0; value < 256; ++value) {
    if (masks_.pixels[value] == 0) continue;
    const std::int16_t label = label_of_[value];
    text += fmt::format("{}{} -> {} {:.1f} %", text.empty() ? "" : ", ", value,
                        label == kIgnoredLabel ? "ignored" : fmt::format("class {}", label),
                        100.0 * static_cast<double>(masks_.pixels[value]) / static_cast<double>(total));
  }
  return text;
}

std::string Dataset::report() const {
  std::string text = fmt::format("data {}: {}, {} train, {} val, {} test\n", escaped(options_.folder.string()),
                                 oxford_ ? "Oxford-IIIT Pet layout" : "images/ and masks/", size(Split::train),
                                 size(Split::val), size(Split::test));
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
