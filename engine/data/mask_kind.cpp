#include "engine/data/mask_kind.h"

#include <algorithm>
#include <string>

#include "engine/core/error.h"

namespace unet {
namespace {

std::string allowed_values(MaskKind kind, int classes) {
  switch (kind) {
    case MaskKind::trimap:
      return "1 (pet), 2 (background) or 3 (border) of a trimap: mend the mask";
    case MaskKind::binary:
      return "0 or 255: mend the mask";
    case MaskKind::indices:
      break;
  }
  return fmt::format("0..{} or 255 (ignored) for {} classes: mend the mask or give the right number of classes",
                     classes - 1, classes);
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

}  // namespace

LabelTable label_table(MaskKind kind, int classes, Border border) {
  LabelTable labels;
  labels.fill(-1);
  switch (kind) {
    case MaskKind::trimap:
      labels[1] = 1;
      labels[2] = 0;
      labels[3] = border == Border::foreground ? 1 : border == Border::background ? 0 : kIgnoredLabel;
      break;
    case MaskKind::binary:
      labels[0] = 0;
      labels[255] = 1;
      break;
    case MaskKind::indices:
      for (int c = 0; c < classes; ++c) labels[static_cast<std::size_t>(c)] = static_cast<std::int16_t>(c);
      labels[255] = kIgnoredLabel;
      break;
  }
  return labels;
}

MaskKind kind_of(const std::vector<Finding>& findings, const DatasetOptions& options) {
  std::vector<const Finding*> of_0_and_255, others;
  for (const Finding& finding : findings) {
    if (holds_0_and_255_alone(finding.values)) of_0_and_255.push_back(&finding);
    if ((finding.values & ~std::bitset<256>().set(0).set(255)).any()) others.push_back(&finding);
  }
  if (!others.empty() && of_0_and_255.size() > others.size()) {
    throw Error(
        "data folder {}: {} masks hold nothing but 0 and 255, and {} hold{} other values: {}; expected 0 and 255 in "
        "all, or class indices with 255 for what is ignored. As indices the former would teach nothing: save the odd "
        "ones as 0 and 255, or the others with the index of their class",
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

void check_values(const std::vector<Finding>& findings, MaskKind kind, int classes, const LabelTable& labels) {
  for (const Finding& finding : findings) {
    for (std::size_t value = 0; value < labels.size(); ++value) {
      if (!finding.values[value] || labels[value] >= 0) continue;
      const std::vector<std::uint8_t> pixels = load_mask(finding.sample.mask).pixels;
      throw Error("{}: mask {} has value {} at {} pixels, expected {}", finding.sample.listed_at,
                  finding.sample.mask.string(), value, std::count(pixels.begin(), pixels.end(), value),
                  allowed_values(kind, classes));
    }
  }
}

}  // namespace unet
