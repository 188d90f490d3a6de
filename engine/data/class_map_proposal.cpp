#include "engine/data/class_map_proposal.h"

#include <algorithm>

#include "engine/core/error.h"
#include "engine/data/data_scan.h"
#include "engine/data/layout.h"

namespace unet {
namespace {

using Counted = std::pair<MaskValue, std::int64_t>;  // pixels

constexpr MaskValue kBlack = color_value(0, 0, 0);
bool is_color(MaskValue value) { return value >= kBlack; }

/// Gray values by size, then colours by pixels; the background first.
void sort(std::vector<Counted>& values) {
  std::sort(values.begin(), values.end(), [](const Counted& a, const Counted& b) {
    if (is_color(a.first) && is_color(b.first)) return a.second != b.second ? a.second > b.second : a.first < b.first;
    return a.first < b.first;
  });
  const auto background = std::find_if(values.begin(), values.end(),
                                       [](const Counted& value) { return value.first == 0 || value.first == kBlack; });
  if (background != values.end()) std::rotate(values.begin(), background, background + 1);
}

}  // namespace

ClassMapProposal propose_class_map(DatasetOptions options) {
  options.class_map.emplace();  // names nothing: all is unknown to it
  const Layout layout = find_layout(options);
  const Scan scan = scan_pairs(layout.lists[static_cast<std::size_t>(Split::all)], options);
  if (scan.unknown.size() > ClassMap::kMostEntries) {
    throw Error(
        "data folder {}: the masks hold more than {} values or colours, too many for classes: are they photographs, or "
        "black and white with soft edges (--binarize 128)?",
        options.folder.string(), ClassMap::kMostEntries);
  }
  if (scan.unknown.size() < 2) {
    throw Error("data folder {}: the masks hold {} values, expected two at least", options.folder.string(),
                scan.unknown.size());
  }
  std::vector<Counted> values;
  std::int64_t all = 0;
  for (const auto& [value, in_all] : scan.unknown) {
    values.emplace_back(value, in_all.value.pixels);
    all += in_all.value.pixels;
  }
  sort(values);
  ClassMapProposal out;
  ClassMap& map = out.map;
  map.has_background = values[0].first == 0 || values[0].first == kBlack || values.size() == 2;
  for (const auto& [value, pixels] : values) {
    const bool ignored = value == 255 && values.size() > 2;
    const int label = ignored ? kIgnoredLabel : map.classes++;
    std::string name = ignored                            ? "ignored"
                       : label == 0 && map.has_background ? "background"
                                                          : fmt::format("class {}", label);
    out.report += fmt::format("{:>8} -> {:<12} {:.2f} %\n", text_of(value), name,
                              100.0 * static_cast<double>(pixels) / static_cast<double>(all));
    map.entries.push_back({std::move(name), value, label});
  }
  return out;
}

}  // namespace unet
