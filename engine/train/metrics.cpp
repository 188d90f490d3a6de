#include "engine/train/metrics.h"

#include "engine/core/error.h"

namespace unet {
namespace {

std::optional<double> ratio(std::int64_t part, std::int64_t whole) {
  if (whole == 0) return std::nullopt;
  return static_cast<double>(part) / static_cast<double>(whole);
}

std::size_t first_scored(std::size_t classes, Background background) {
  return classes > 1 && background == Background::class0 ? 1 : 0;
}

}  // namespace

const char* name_of(Background background) { return background == Background::class0 ? "0" : "none"; }

const char* name_of(BestBy best_by) {
  switch (best_by) {
    case BestBy::dice:
      return "dice";
    case BestBy::dice_nonempty:
      return "dice_nonempty";
    case BestBy::dice_dataset:
      return "dice_dataset";
    case BestBy::iou_dataset:
      break;
  }
  return "iou_dataset";
}

ClassScores class_scores(const kernels::ClassCounts& counts) {
  const auto& [both, predicted, truth] = counts;
  return {ratio(2 * both, predicted + truth), ratio(both, predicted + truth - both), ratio(both, predicted),
          ratio(both, truth)};
}

Scores scores(std::span<const kernels::ClassCounts> counts, Background background) {
  const std::size_t first = first_scored(counts.size(), background);
  Scores out;
  double dice = 0, iou = 0;
  std::int64_t correct = 0, pixels = 0, scored = 0;
  for (std::size_t c = 0; c < counts.size(); ++c) {
    correct += counts[c].both;
    pixels += counts[c].truth;
    if (c < first) continue;
    out.nonempty = out.nonempty || counts[c].truth > 0;
    const ClassScores of_class = class_scores(counts[c]);
    if (!of_class.dice) continue;
    dice += *of_class.dice;
    iou += *of_class.iou;
    ++scored;
  }
  if (pixels == 0) return out;
  out.pixel_accuracy = ratio(correct, pixels);
  out.nothing_to_find = scored == 0;
  out.dice = scored == 0 ? 1 : dice / static_cast<double>(scored);
  out.iou = scored == 0 ? 1 : iou / static_cast<double>(scored);
  return out;
}

SegmentationMetrics::SegmentationMetrics(int classes, Background background) : background_(background) {
  if (classes < 1) throw Error("metrics: {} classes: expected at least 1", classes);
  total_.resize(static_cast<std::size_t>(classes));
  images_with_.resize(static_cast<std::size_t>(classes));
}

void SegmentationMetrics::add(std::span<const kernels::ClassCounts> counts) {
  const std::size_t C = total_.size();
  if (counts.size() % C != 0)
    throw Error("metrics: {} counts: expected {} (classes) for every image", counts.size(), C);
  for (std::size_t begin = 0; begin < counts.size(); begin += C) {
    const auto image = counts.subspan(begin, C);
    for (std::size_t c = 0; c < C; ++c) {
      total_[c].both += image[c].both;
      total_[c].predicted += image[c].predicted;
      total_[c].truth += image[c].truth;
      images_with_[c] += image[c].truth > 0;
    }
    ++images_;
    const Scores score = scores(image, background_);
    if (!score.dice) {
      ++ignored_;
      continue;
    }
    dice_sum_ += *score.dice;
    iou_sum_ += *score.iou;
    nothing_to_find_ += score.nothing_to_find;
    if (!score.nonempty) continue;
    ++nonempty_;
    nonempty_sum_ += *score.dice;
  }
}

std::optional<double> SegmentationMetrics::mean(double sum, std::int64_t count) {
  if (count == 0) return std::nullopt;
  return sum / static_cast<double>(count);
}

std::optional<double> SegmentationMetrics::dice_nonempty() const {
  if (background_ == Background::none) return std::nullopt;
  return mean(nonempty_sum_, nonempty_);
}

std::optional<double> SegmentationMetrics::dataset_mean(std::optional<double> ClassScores::*figure) const {
  double sum = 0;
  std::int64_t count = 0;
  for (int c = 0; c < classes(); ++c) {
    const std::optional<double> value = of_class(c).*figure;
    if (!is_scored(c) || !value) continue;
    sum += *value;
    ++count;
  }
  return mean(sum, count);
}

bool SegmentationMetrics::is_scored(int c) const {
  return static_cast<std::size_t>(c) >= first_scored(total_.size(), background_);
}

std::vector<Figure> SegmentationMetrics::figures() const {
  std::vector<Figure> out;
  out.push_back({"dice", dice(),
                 "mean over images of the mean over their classes of 2|P&T| / (|P|+|T|); nothing to find, nothing "
                 "claimed counts 1"});
  if (background_ == Background::class0) {
    out.push_back({"dice_nonempty", dice_nonempty(), "the same over the images whose truth holds foreground"});
  }
  out.push_back(
      {"dice_dataset", dice_dataset(), "mean over classes of 2|P&T| / (|P|+|T|), pixels summed over all images first"});
  out.push_back({"iou", iou(), "mean over images of the mean over their classes of |P&T| / |P or T|, as dice"});
  out.push_back(
      {"iou_dataset", iou_dataset(), "mean over classes of |P&T| / |P or T|, pixels summed over all images first"});
  out.push_back({"pixel_accuracy", pixel_accuracy(),
                 "share of all pixels predicted correctly, class 0 included, ignored ones excluded"});
  return out;
}

std::optional<double> score_of(BestBy best_by, const SegmentationMetrics& metrics) {
  switch (best_by) {
    case BestBy::dice:
      return metrics.dice();
    case BestBy::dice_nonempty:
      return metrics.dice_nonempty();
    case BestBy::dice_dataset:
      return metrics.dice_dataset();
    case BestBy::iou_dataset:
      break;
  }
  return metrics.iou_dataset();
}

std::string figure_text(std::optional<double> value) { return value ? fmt::format("{:.4f}", *value) : "-"; }

}  // namespace unet
