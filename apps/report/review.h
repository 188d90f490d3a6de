// What an evaluation shows beside its figures: which classes are taken for which, how the probabilities lie, each
// image's Dice, pictures. Kept in a run's folder for the best epoch (best_validation.json), so that a page can be made
// of it after a resume, and two runs be compared image by image.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/train/metrics.h"

namespace unet {

struct ReviewedImage {
  std::string name;
  std::optional<double> dice;  // as SegmentationMetrics scores it; nothing where every pixel is ignored
};

/// An image at the network's size, or smaller; each picture a data: URI.
struct ReviewedPicture {
  std::string role;  // "worst", "median", "best"
  std::string name;
  std::optional<double> dice;
  std::string photo, truth, prediction, errors;
};

/// Precision over recall of one class against the others, as its threshold falls.
struct RecallPoint {
  double threshold = 0, recall = 0, precision = 0;
};

struct Review {
  int phase = 0;  // of the epoch; 0: of no run
  std::int64_t epoch = 0;
  Background background = Background::class0;
  std::vector<std::string> classes;
  std::vector<std::int64_t> confusion;  // [truth][prediction] in pixels at the network's size
  std::vector<std::int64_t> bins;       // [class][2][kProbabilityBins] of kernels/probability_bins.h
  std::vector<ReviewedImage> images;    // in the order of the list
  std::vector<ReviewedPicture> pictures;
  std::vector<std::string> batch;  // of the training, as the network saw it: data: URIs

  std::int64_t pixels(std::size_t truth, std::size_t prediction) const {
    return confusion[truth * classes.size() + prediction];
  }
};

/// Points from the highest threshold down, those without a claim left out; empty where no pixel is of the class.
std::vector<RecallPoint> recall_curve(const Review& review, std::size_t of_class);
/// Area below it as average precision: the sum over points of (recall - recall before) * precision.
double average_precision(const std::vector<RecallPoint>& curve);

std::string to_text(const Review& review);
/// Throws Error saying what is wrong: every field has its form, and they fit each other.
Review parse_review(const std::string& text);

inline constexpr const char* kReviewFile = "best_validation.json";
/// Of a run's folder; nothing where there is no file. Throws Error naming it where it is damaged.
std::optional<Review> review_in(const std::filesystem::path& folder);

}  // namespace unet
