// Figures of merit of a segmentation, all from the counts of the arg-max prediction (kernels/confusion.h) at network
// resolution; ignored pixels count nowhere. With both, predicted, truth the pixel counts of one class:
//
//   Dice = 2 * both / (predicted + truth)      IoU = both / (predicted + truth - both)
//
// each 1 where prediction and truth are both empty: the foreground classes of an image without foreground, left empty
// by the prediction, score 1; an image whose pixels are all ignored scores 1 as well. Foreground is classes 1..C-1.
// With C = 1 the one class is taken; its arg-max is the class itself everywhere, so such figures say little: a network
// that separates object from ground needs 2 channels here.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/confusion.h"

namespace unet {

/// One image, or a data set taken as one image.
struct Scores {
  double dice = 1;            // mean over the foreground classes
  double iou = 1;             // likewise
  double pixel_accuracy = 1;  // share of the pixels that count, background included; 1 if none counts
};

/// counts: the C classes of one image.
Scores scores(std::span<const kernels::ClassCounts> counts);

/// A figure's key in tables and JSON, and the line that says what it means.
struct MetricMeaning {
  const char* key;
  const char* meaning;
};
inline constexpr MetricMeaning dice_meaning{
    "dice", "mean over images of the mean over foreground classes of 2|P&T| / (|P|+|T|); empty on empty counts 1"};
inline constexpr MetricMeaning dice_dataset_meaning{
    "dice_dataset", "mean over foreground classes of 2|P&T| / (|P|+|T|), pixels summed over all images first"};
inline constexpr MetricMeaning iou_meaning{
    "iou", "mean over images of the mean over foreground classes of |P&T| / |P or T|; empty on empty counts 1"};
inline constexpr MetricMeaning iou_dataset_meaning{
    "iou_dataset", "mean over foreground classes of |P&T| / |P or T|, pixels summed over all images first"};
inline constexpr MetricMeaning pixel_accuracy_meaning{
    "pixel_accuracy", "share of all pixels (background included, ignored ones excluded) predicted correctly"};

/// Sums over the images of a split, in the order they are added.
class SegmentationMetrics {
 public:
  explicit SegmentationMetrics(int classes);

  /// counts: a whole number of images, C entries each, as kernels::cpu::confusion leaves them. Throws Error otherwise.
  void add(std::span<const kernels::ClassCounts> counts);

  std::int64_t images() const { return images_; }
  /// Means over the images added; 1 if there are none.
  double dice() const { return mean(dice_sum_); }
  double iou() const { return mean(iou_sum_); }
  /// All images taken as one: dice is dice_dataset, iou is iou_dataset.
  Scores dataset() const { return scores(total_); }
  /// Of all pixels of all images.
  double pixel_accuracy() const { return dataset().pixel_accuracy; }

 private:
  double mean(double sum) const { return images_ == 0 ? 1 : sum / static_cast<double>(images_); }

  std::vector<kernels::ClassCounts> total_;
  std::int64_t images_ = 0;
  double dice_sum_ = 0;
  double iou_sum_ = 0;
};

}  // namespace unet
