#include "engine/data/remarks.h"

#include <fmt/core.h>

#include <unordered_map>

#include "engine/core/text.h"

namespace unet {
namespace {

/// How many, and which was the first.
struct Tally {
  std::int64_t count = 0;
  const Finding* first = nullptr;

  void add(const Finding& finding) {
    if (count++ == 0) first = &finding;
  }
  std::string first_image() const { return escaped(first->sample.image.string()); }
};

std::string photographs(std::int64_t count) { return fmt::format("{} photograph{}", count, count == 1 ? "" : "s"); }

/// "7 of 9", and what part of them was looked into if not all.
std::string share(std::int64_t count, std::int64_t looked_into, std::int64_t all) {
  return fmt::format("{} of the {}{}", count, looked_into < all ? "first " : "", looked_into);
}

void on_photographs(const std::vector<Finding>& findings, Exif exif, Remarks& remarks) {
  Tally turned, alpha, transparent, deep, narrow;
  std::int64_t alpha_looked_into = 0, deep_looked_into = 0;
  for (const Finding& finding : findings) {
    const ImageHead& head = finding.photograph;
    if (head.orientation != 1) turned.add(finding);
    if (head.alpha) alpha.add(finding);
    if (head.bits == 16) deep.add(finding);
    if (finding.transparent) transparent.add(finding);
    if (finding.narrow) narrow.add(finding);
    alpha_looked_into += head.alpha && finding.looked_into;
    deep_looked_into += head.bits == 16 && finding.looked_into;
  }
  if (turned.count > 0) {
    remarks.notes.push_back(fmt::format(
        "EXIF: {} {}, the first: {}", photographs(turned.count),
        exif == Exif::apply ? "turned upright (--exif ignore: as stored)" : "not turned upright (--exif apply: turned)",
        turned.first_image()));
  }
  if (alpha.count > 0) {
    remarks.notes.push_back(
        fmt::format("alpha: dropped from {}; {} with transparent pixels, whose hidden colours count, the first: {}",
                    photographs(alpha.count), share(transparent.count, alpha_looked_into, alpha.count),
                    (transparent.count > 0 ? transparent : alpha).first_image()));
  }
  if (narrow.count > 0) {
    remarks.warnings.push_back(fmt::format(
        "{} photographs of 16 bits use less than a sixteenth of their range, of which the upper 8 bits are read: they "
        "look almost black or flat. Scale their values to 0..65535. The first: {}",
        share(narrow.count, deep_looked_into, deep.count), narrow.first_image()));
  }
}

void on_palettes(const std::vector<Finding>& findings, Remarks& remarks) {
  struct Use {
    std::size_t index;
    const Finding* finding;
  };
  std::unordered_map<std::uint32_t, Use> first_use;  // by colour
  std::string first_conflict;
  std::int64_t masks = 0;
  for (const Finding& finding : findings) {
    std::size_t index = 0;
    bool conflict = false;
    for (const std::uint32_t color : finding.colors) {
      while (!finding.values[index]) ++index;
      const Use& use = first_use.try_emplace(color, index, &finding).first->second;
      if (use.index != index && use.finding->palette != finding.palette) {
        conflict = true;
        if (first_conflict.empty()) {
          first_conflict =
              fmt::format("#{:06x} is index {} in {} and index {} in {}", color, use.index,
                          escaped(use.finding->sample.mask.string()), index, escaped(finding.sample.mask.string()));
        }
      }
      ++index;
    }
    masks += conflict;
  }
  if (masks == 0) return;
  remarks.warnings.push_back(
      fmt::format("{} palette mask{} the colours of others under other indices: {}. Indices are what counts: save all "
                  "masks with one palette",
                  masks, masks == 1 ? " shows" : "s show", first_conflict));
}

void on_binarized(const std::vector<Finding>& findings, int threshold, Remarks& remarks) {
  Tally changed;
  std::int64_t pixels = 0, all = 0;
  for (const Finding& finding : findings) {
    if (finding.changed > 0) changed.add(finding);
    pixels += finding.changed;
    all += std::int64_t{finding.photograph.size.width} * finding.photograph.size.height;
  }
  if (changed.count == 0) return;
  remarks.notes.push_back(fmt::format(
      "binarized at {}: {:.2f} % of the pixels were neither black nor white, in {} of {} masks, the first: {}",
      threshold, 100.0 * static_cast<double>(pixels) / static_cast<double>(all), changed.count, findings.size(),
      escaped(changed.first->sample.mask.string())));
}

void on_ignored(const std::vector<Finding>& findings, Remarks& remarks) {
  Tally ignored;
  for (const Finding& finding : findings) {
    if (holds_0_and_255_alone(finding.values)) ignored.add(finding);
  }
  if (ignored.count == 0) return;
  remarks.warnings.push_back(fmt::format(
      "255 means ignored, and {} of {} masks hold{} nothing else but 0: save what should be a class under "
      "its index. The first: {}",
      ignored.count, findings.size(), ignored.count == 1 ? "s" : "", escaped(ignored.first->sample.mask.string())));
}

void on_vanishing(const std::vector<Finding>& findings, const DatasetOptions& options, const LabelTable& labels,
                  Remarks& remarks) {
  std::vector<std::int64_t> held(256), vanished(256);
  for (const Finding& finding : findings) {
    const std::bitset<256> before = labels_of(finding.values, labels), after = labels_of(finding.kept, labels);
    for (std::size_t c = 0; c < kIgnoredLabel; ++c) {
      held[c] += before[c];
      vanished[c] += before[c] && !after[c];
    }
  }
  const std::vector<std::string> names = class_names(options.class_map, options.classes);
  for (std::size_t c = 0; c < names.size(); ++c) {
    if (vanished[c] == 0) continue;
    auto& lines = vanished[c] == held[c] ? remarks.warnings : remarks.notes;
    lines.push_back(
        fmt::format("class {} vanishes in {} of {} masks that hold it at {}x{}: a larger --image-size keeps it",
                    names[c], vanished[c], held[c], options.height, options.width));
  }
}

}  // namespace

Remarks remarks_on(const std::vector<Finding>& findings, const DatasetOptions& options, const MaskMeaning& meaning) {
  Remarks remarks;
  on_photographs(findings, options.exif, remarks);
  if (!options.class_map) on_palettes(findings, remarks);
  if (options.binarize > 0) on_binarized(findings, options.binarize, remarks);
  if (meaning.kind == MaskKind::indices) on_ignored(findings, remarks);
  on_vanishing(findings, options, meaning.labels, remarks);
  return remarks;
}

}  // namespace unet
