#include "engine/data/mask_kind.h"

#include <algorithm>
#include <string>

#include "engine/core/error.h"
#include "engine/core/text.h"

namespace unet {
namespace {

std::string allowed_values(MaskKind kind, int classes) {
  if (kind == MaskKind::trimap) return "1 (pet), 2 (background) or 3 (border) of a trimap: mend the mask";
  return fmt::format(
      "0..{} or 255 (ignored) for {} classes: mend the mask, give the right number of classes, or say which value is "
      "which class (--class-map FILE, which train_unet --write-class-map FILE proposes){}",
      classes - 1, classes, classes == 2 ? "; --binarize 128 is for soft edges" : "");
}

/// "masks/a.png (value 1), masks/b.png (value 3) and 4 more".
std::string names_of(const std::vector<const Finding*>& masks) {
  constexpr std::size_t most = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(most, masks.size()); ++i) {
    int value = 1;
    while (!masks[i]->values[static_cast<std::size_t>(value)]) ++value;
    text += fmt::format("{}{} (value {})", i == 0 ? "" : ", ", masks[i]->sample.mask.string(), value);
  }
  return masks.size() > most ? fmt::format("{} and {} more", text, masks.size() - most) : text;
}

/// Throws Error naming what is unknown, most pixels first.
void check_known(const Scan& scan, const DatasetOptions& options) {
  if (scan.unknown.empty()) return;
  constexpr std::size_t most = 8;
  std::vector<std::pair<MaskValue, UnknownInAll>> unknown(scan.unknown.begin(), scan.unknown.end());
  std::stable_sort(unknown.begin(), unknown.end(),
                   [](const auto& a, const auto& b) { return a.second.value.pixels > b.second.value.pixels; });
  std::string text;
  for (std::size_t i = 0; i < std::min(most, unknown.size()); ++i) {
    const auto& [value, in_all] = unknown[i];
    text += fmt::format("\n  {}: {} pixels, the first in {} at x={} y={}", text_of(value), in_all.value.pixels,
                        escaped(scan.findings[in_all.first].sample.mask.string()), in_all.value.x, in_all.value.y);
  }
  if (unknown.size() > most) text += fmt::format("\n  and {} more", unknown.size() - most);
  throw Error(fmt::format(
      "data folder {}: the masks hold {}{} values that the class map does not name; give each an entry (\"class\": "
      "\"ignore\" for what should not count):{}",
      escaped(options.folder.string()), unknown.size() > MaskFacts::kMostUnknown ? "more than " : "",
      std::min(unknown.size(), MaskFacts::kMostUnknown), text));
}

/// Values in any mask.
std::bitset<256> values_of(const Scan& scan) {
  std::bitset<256> values;
  for (const Finding& finding : scan.findings) values |= finding.values;
  return values;
}

/// Two values in all, and not those of index masks or of black and white ones.
bool are_two(const std::bitset<256>& values) {
  return values.count() == 2 && !(values[0] && (values[1] || values[255]));
}

/// Of masks that are neither trimaps nor read by a class map.
MaskKind kind_of(const Scan& scan, const DatasetOptions& options) {
  if (options.classes == 2 && are_two(values_of(scan))) return MaskKind::two_values;
  std::vector<const Finding*> of_0_and_255, others;
  for (const Finding& finding : scan.findings) {
    if (holds_0_and_255_alone(finding.values)) of_0_and_255.push_back(&finding);
    if ((finding.values & ~std::bitset<256>().set(0).set(255)).any()) others.push_back(&finding);
  }
  if (!others.empty() && of_0_and_255.size() > others.size()) {
    throw Error(
        "data folder {}: {} masks hold nothing but 0 and 255, and {} hold{} other values: {}; expected 0 and 255 in "
        "all, or class indices with 255 for what is ignored. As indices the former would teach nothing: save the odd "
        "ones as 0 and 255 (--binarize 128 takes them so), or the others with the index of their class",
        options.folder.string(), of_0_and_255.size(), others.size(), others.size() == 1 ? "s" : "", names_of(others));
  }
  if (!others.empty()) return MaskKind::indices;
  if (options.classes > 2 && !of_0_and_255.empty()) {
    throw Error(
        "data folder {}: the masks hold nothing but 0 and 255, which are two classes, and {} are asked for; the first: "
        "{}. Ask for two classes, or save the masks with class indices 0..{}",
        options.folder.string(), options.classes, of_0_and_255.front()->sample.mask.string(), options.classes - 1);
  }
  return options.classes == 2 ? MaskKind::binary : MaskKind::indices;
}

LabelTable label_table(MaskKind kind, const Scan& scan, const DatasetOptions& options) {
  const std::bitset<256> values = values_of(scan);
  LabelTable labels;
  labels.fill(-1);
  switch (kind) {
    case MaskKind::trimap:
      labels[1] = 1;
      labels[2] = 0;
      labels[3] = options.border == Border::foreground ? 1 : options.border == Border::background ? 0 : kIgnoredLabel;
      break;
    case MaskKind::binary:
      labels[0] = 0;
      labels[255] = 1;
      break;
    case MaskKind::two_values:
      for (std::size_t value = 0; value < labels.size(); ++value) {
        if (values[value]) labels[value] = static_cast<std::int16_t>((values << (256 - value)).any());
      }
      break;
    case MaskKind::class_map:
      for (std::size_t code = 0; const ClassMap::Entry& entry : options.class_map->entries) {
        labels[code++] = static_cast<std::int16_t>(entry.label);
      }
      break;
    case MaskKind::indices:
      for (int c = 0; c < options.classes; ++c) labels[static_cast<std::size_t>(c)] = static_cast<std::int16_t>(c);
      labels[255] = kIgnoredLabel;
      if (options.ignored_value) labels[static_cast<std::size_t>(*options.ignored_value)] = kIgnoredLabel;
      break;
  }
  return labels;
}

void check_values(const Scan& scan, const DatasetOptions& options, const MaskMeaning& meaning) {
  for (const Finding& finding : scan.findings) {
    for (std::size_t value = 0; value < meaning.labels.size(); ++value) {
      if (!finding.values[value] || meaning.labels[value] >= 0) continue;
      MaskFacts facts;
      const std::vector<std::uint8_t> pixels = read_mask_codes(finding.sample.mask, options, facts).pixels;
      throw Error("{}: mask {} has value {} at {} pixels, expected {}", finding.sample.listed_at,
                  finding.sample.mask.string(), value, std::count(pixels.begin(), pixels.end(), value),
                  allowed_values(meaning.kind, options.classes));
    }
  }
}

}  // namespace

MaskMeaning meaning_of(const Scan& scan, const DatasetOptions& options, bool trimaps) {
  check_known(scan, options);
  MaskMeaning out;
  out.kind = options.class_map ? MaskKind::class_map : trimaps ? MaskKind::trimap : kind_of(scan, options);
  if (options.ignored_value && out.kind != MaskKind::indices) {
    throw Error(
        "data folder {}: --ignore-index {} is for masks that hold the indices of the classes, and these are {}: leave "
        "it out, or say what each value means (--class-map FILE)",
        options.folder.string(), *options.ignored_value, name_of(out.kind));
  }
  out.labels = label_table(out.kind, scan, options);
  check_values(scan, options, out);
  return out;
}

bool holds_0_and_255_alone(const std::bitset<256>& values) {
  return values[255] && values.count() == (values[0] ? 2u : 1u);
}

std::bitset<256> labels_of(const std::bitset<256>& values, const LabelTable& labels) {
  std::bitset<256> out;
  for (std::size_t value = 0; value < labels.size(); ++value) {
    if (values[value] && labels[value] >= 0) out.set(static_cast<std::size_t>(labels[value]));
  }
  return out;
}

}  // namespace unet
