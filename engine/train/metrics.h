// Figures of merit of a segmentation, all from the counts of the arg-max prediction (kernels/confusion.h); ignored
// pixels count nowhere. With both, predicted, truth the pixel counts of one class:
//
//   Dice = 2 * both / (predicted + truth)       IoU = both / (predicted + truth - both)
//   precision = both / predicted                recall = both / truth
//
// A class has a figure only where its denominator is not 0: one that is in neither truth nor prediction of an image has
// no score there, and one that is nowhere in a split has none of the split. Of an image:
//
//   its score is the mean over its scored classes;
//   where no class is scored (nothing to find, nothing claimed) it is 1, and the image is counted (nothing_to_find());
//   where every pixel is ignored it has none, is left out of every mean, and is counted (ignored()).
//
// Scored classes are 1..C-1 (class 0 is the background) or, with Background::none, all. With C = 1 the one class is
// taken; its arg-max is the class itself everywhere, so such figures say little: a network that separates object from
// ground needs 2 channels here.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/confusion.h"

namespace unet {

/// Whether class 0 is what is left over, or a class like the others.
enum class Background { class0, none };

/// "0" and "none".
const char* name_of(Background background);

/// One class, in an image or in all images of a split taken as one. Nothing where there is nothing to divide by.
struct ClassScores {
  std::optional<double> dice, iou, precision, recall;
};
ClassScores class_scores(const kernels::ClassCounts& counts);

/// One image, or a split taken as one image.
struct Scores {
  std::optional<double> dice, iou;  // means over the scored classes; 1 if there are none; nothing if all is ignored
  std::optional<double> pixel_accuracy;  // share of the pixels that count, background included
  bool nothing_to_find = false;          // pixels count, but no class is scored
  bool nonempty = false;                 // the truth holds a class that is not the background
};
/// counts: the C classes of one image.
Scores scores(std::span<const kernels::ClassCounts> counts, Background background = Background::class0);

/// A figure's key in tables and JSON, its value, and the line that says what it means.
struct Figure {
  const char* key;
  std::optional<double> value;
  const char* meaning;
};

/// Sums over the images of a split, in the order they are added.
class SegmentationMetrics {
 public:
  explicit SegmentationMetrics(int classes, Background background = Background::class0);

  /// counts: a whole number of images, C entries each, as kernels::cpu::confusion leaves them. Throws Error otherwise.
  void add(std::span<const kernels::ClassCounts> counts);

  int classes() const { return static_cast<int>(total_.size()); }
  Background background() const { return background_; }
  std::int64_t images() const { return images_; }
  /// Images whose pixels are all ignored; they are in no mean.
  std::int64_t ignored() const { return ignored_; }
  /// Images that count 1 because there was nothing to find and nothing was claimed.
  std::int64_t nothing_to_find() const { return nothing_to_find_; }
  /// Images whose truth holds foreground; with Background::none all that are not ignored.
  std::int64_t nonempty() const { return nonempty_; }

  /// Means over images; nothing if none counts.
  std::optional<double> dice() const { return mean(dice_sum_, images_ - ignored_); }
  std::optional<double> iou() const { return mean(iou_sum_, images_ - ignored_); }
  /// Over the images whose truth holds foreground. Nothing with Background::none, where the question makes no sense.
  std::optional<double> dice_nonempty() const;
  /// All images taken as one: means over the classes that are somewhere in truth or prediction.
  std::optional<double> dice_dataset() const { return dataset_mean(&ClassScores::dice); }
  std::optional<double> iou_dataset() const { return dataset_mean(&ClassScores::iou); }
  /// Of all pixels of all images.
  std::optional<double> pixel_accuracy() const { return scores(total_, background_).pixel_accuracy; }

  /// Whether the class takes part in the means.
  bool is_scored(int c) const;
  /// Of all images taken as one.
  ClassScores of_class(int c) const { return class_scores(total_.at(static_cast<std::size_t>(c))); }
  /// Pixels of the truth, and the images whose truth holds the class.
  std::int64_t pixels(int c) const { return total_.at(static_cast<std::size_t>(c)).truth; }
  std::int64_t images_with(int c) const { return images_with_.at(static_cast<std::size_t>(c)); }

  /// The figures above in the order of tables: dice, dice_nonempty (if there is a background), dice_dataset, iou,
  /// iou_dataset, pixel_accuracy.
  std::vector<Figure> figures() const;

 private:
  static std::optional<double> mean(double sum, std::int64_t count);
  std::optional<double> dataset_mean(std::optional<double> ClassScores::*figure) const;

  Background background_;
  std::vector<kernels::ClassCounts> total_;
  std::vector<std::int64_t> images_with_;
  std::int64_t images_ = 0, ignored_ = 0, nothing_to_find_ = 0, nonempty_ = 0;
  double dice_sum_ = 0, iou_sum_ = 0, nonempty_sum_ = 0;
};

/// What chooses the best epoch.
enum class BestBy { dice, dice_nonempty, dice_dataset, iou_dataset };
const char* name_of(BestBy best_by);
/// The figure; nothing where the split has none.
std::optional<double> score_of(BestBy best_by, const SegmentationMetrics& metrics);

/// "0.1234", or "-" where there is no figure.
std::string figure_text(std::optional<double> value);

}  // namespace unet
