// Makes a Review: looks at each batch of an evaluation as it passes, at little cost beside the network.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "apps/report/review.h"
#include "apps/run/evaluation.h"

namespace unet {

class Reviewer {
 public:
  /// Of the loader's images, by their names. Keeps pictures whose turn may come, 64 at most, as small as the page shows
  /// them.
  Reviewer(const Loader& loader, std::vector<std::string> classes, Background background, Device device);

  /// A visitor of evaluate(), which gives the batches in the order of the list.
  void see(const Predicted& predicted);
  /// The same of every pixel: Views::pixels.
  void count(const Tensor& logits, const Tensor& labels);
  /// A batch of the training, of which the first few are shown.
  void see_training(const Batch& batch);
  bool saw_training() const { return !batch_.empty(); }

  /// Once all batches have been seen: brings the bins to the host.
  void finish();
  /// After finish(), from any thread: encodes the pictures.
  Review review() const;
  /// Likewise: the worst, the median and the best image as overlay.h judges them, by these words.
  std::vector<std::pair<std::string, Image>> judgements() const;
  /// After finish(): Review::bins.
  const std::vector<std::int64_t>& bins() const { return counted_; }
  const std::vector<std::string>& classes() const { return classes_; }
  Background background() const { return background_; }
  /// [truth][prediction] so far.
  const std::vector<std::int64_t>& confusion() const { return confusion_; }

 private:
  /// An image that may be shown.
  struct Kept {
    std::size_t place = 0;  // in the list
    double dice = 0;
    Image photo;                                 // as the page has it
    std::vector<std::uint8_t> truth, predicted;  // likewise
  };
  void keep(const Batch& batch, std::int64_t n, const std::uint8_t* prediction, double dice);
  std::vector<std::pair<std::string, const Kept*>> chosen() const;
  ReviewedPicture picture_of(const std::string& role, const Kept& kept) const;

  Background background_;
  std::vector<std::string> classes_;
  std::vector<ReviewedImage> images_;
  std::size_t seen_ = 0, spacing_ = 1;  // every so many images one is kept for the median
  std::vector<std::int64_t> confusion_;
  Tensor bins_;                        // on the device
  std::vector<std::int64_t> counted_;  // the same on the host
  std::vector<Kept> best_, worst_, spread_;
  std::vector<Image> batch_;  // tinted
};

}  // namespace unet
