#include "engine/train/metrics.h"

#include "engine/core/error.h"

namespace unet {
namespace {

/// 1 where there was nothing to find and nothing was found.
double ratio(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? 1 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

Scores scores(std::span<const kernels::ClassCounts> counts) {
  const std::size_t first = counts.size() > 1 ? 1 : 0;
  double dice = 0, iou = 0;
  std::int64_t correct = 0, pixels = 0;
  for (std::size_t c = 0; c < counts.size(); ++c) {
    const auto& [both, predicted, truth] = counts[c];
    correct += both;
    pixels += truth;
    if (c < first) continue;
    dice += ratio(2 * both, predicted + truth);
    iou += ratio(both, predicted + truth - both);
  }
  const double classes = static_cast<double>(counts.size() - first);
  return {dice / classes, iou / classes, ratio(correct, pixels)};
}

SegmentationMetrics::SegmentationMetrics(int classes) {
  if (classes < 1) throw Error("metrics: {} classes: expected at least 1", classes);
  total_.resize(static_cast<std::size_t>(classes));
}

void SegmentationMetrics::add(std::span<const kernels::ClassCounts> counts) {
  const std::size_t C = total_.size();
  if (counts.size() % C != 0)
    throw Error("metrics: {} counts: expected {} (classes) for every image", counts.size(), C);
  for (std::size_t begin = 0; begin < counts.size(); begin += C) {
    const auto image = counts.subspan(begin, C);
    const Scores score = scores(image);
    dice_sum_ += score.dice;
    iou_sum_ += score.iou;
    ++images_;
    for (std::size_t c = 0; c < C; ++c) {
      total_[c].both += image[c].both;
      total_[c].predicted += image[c].predicted;
      total_[c].truth += image[c].truth;
    }
  }
}

}  // namespace unet
