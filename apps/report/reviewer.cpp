#include "apps/report/reviewer.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "apps/report/pictures.h"
#include "apps/run/overlay.h"
#include "engine/core/dispatch.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cross_entropy.h"
#include "kernels/probability_bins.h"

namespace unet {
namespace {

constexpr std::size_t kOfEach = 2;       // best, median, worst
constexpr std::size_t kOfBatch = 8;      // training images
constexpr std::size_t kMostSpread = 64;  // that may be the median

/// Dice of an image from its pixels by truth and prediction.
std::optional<double> dice_of(const std::int64_t* confusion, std::size_t classes, Background background) {
  std::vector<kernels::ClassCounts> counts(classes);
  for (std::size_t truth = 0; truth < classes; ++truth) {
    for (std::size_t claimed = 0; claimed < classes; ++claimed) {
      const std::int64_t pixels = confusion[truth * classes + claimed];
      counts[truth].truth += pixels;
      counts[claimed].predicted += pixels;
      if (truth == claimed) counts[truth].both = pixels;
    }
  }
  return scores(counts, background).dice;
}

}  // namespace

Reviewer::Reviewer(const Loader& loader, std::vector<std::string> classes, Background background, Device device)
    : background_(background), classes_(std::move(classes)), confusion_(classes_.size() * classes_.size()) {
  for (std::int64_t i = 0; i < loader.images(); ++i) images_.push_back({loader.sample(i).name, std::nullopt});
  spacing_ = (images_.size() + kMostSpread - 1) / kMostSpread;
  bins_ = Tensor::zeros({static_cast<std::int64_t>(classes_.size() * 2 * kernels::kProbabilityBins * sizeof(double))},
                        Dtype::u8, device);
}

void Reviewer::count(const Tensor& logits, const Tensor& labels) {
  const Shape& shape = labels.shape();
  const Tensor truth = labels.reshape({shape[0], shape[1], shape[2], 1});
  dispatch<cpu::probability_bins, cuda::probability_bins>(logits.device(), logits.const_view(), truth.const_view(),
                                                          kernels::CrossEntropySpec().ignore_index,
                                                          bins_.data<std::int64_t>());
}

void Reviewer::see(const Predicted& predicted) {
  const Batch& batch = predicted.batch;
  const std::size_t C = classes_.size(), pixels = static_cast<std::size_t>(batch.H * batch.W);
  const Tensor on_host = predicted.labels.to(Device());
  const auto* prediction = on_host.data<std::uint8_t>();
  std::vector<std::int64_t> counts(static_cast<std::size_t>(batch.N) * C * C);
  kernels::cpu::parallel_for(batch.N, [&](std::int64_t n) {
    std::int64_t* of_image = counts.data() + static_cast<std::size_t>(n) * C * C;
    for (std::size_t i = static_cast<std::size_t>(n) * pixels, end = i + pixels; i < end; ++i) {
      if (batch.labels[i] != kIgnoredLabel) ++of_image[batch.labels[i] * C + prediction[i]];
    }
  });
  for (std::int64_t n = 0; n < batch.N; ++n, ++seen_) {
    const std::int64_t* of_image = counts.data() + static_cast<std::size_t>(n) * C * C;
    for (std::size_t i = 0; i < C * C; ++i) confusion_[i] += of_image[i];
    const std::optional<double> dice = dice_of(of_image, C, background_);
    images_[seen_].dice = dice;
    if (dice) keep(batch, n, prediction + static_cast<std::size_t>(n) * pixels, *dice);
  }
}

void Reviewer::keep(const Batch& batch, std::int64_t n, const std::uint8_t* prediction, double dice) {
  const bool worse = worst_.size() < kOfEach || dice < worst_.back().dice;
  const bool better = best_.size() < kOfEach || dice > best_.back().dice;
  const bool spread = seen_ % spacing_ == 0;
  if (!worse && !better && !spread) return;
  const std::ptrdiff_t pixels = batch.H * batch.W;
  const auto labels = batch.labels.begin() + n * pixels;
  const Image photo = photo_of(batch, n);
  const Kept kept{seen_, dice, photo_in_page(photo), labels_in_page({labels, labels + pixels}, photo),
                  labels_in_page({prediction, prediction + pixels}, photo)};
  const auto insert = [&kept](std::vector<Kept>& list, auto before) {
    list.insert(std::upper_bound(list.begin(), list.end(), kept, before), kept);
    if (list.size() > kOfEach) list.pop_back();
  };
  if (worse) insert(worst_, [](const Kept& a, const Kept& b) { return a.dice < b.dice; });
  if (better) insert(best_, [](const Kept& a, const Kept& b) { return a.dice > b.dice; });
  if (spread) spread_.push_back(kept);
}

void Reviewer::see_training(const Batch& batch) {
  for (std::int64_t n = 0; n < batch.N && batch_.size() < kOfBatch; ++n) {
    const Image photo = photo_of(batch, n);
    const auto labels = batch.labels.begin() + n * batch.H * batch.W;
    const std::vector<std::uint8_t> shown = labels_in_page({labels, labels + batch.H * batch.W}, photo);
    batch_.push_back(tint(photo_in_page(photo), shown.data(), background_));
  }
}

void Reviewer::finish() {
  const Tensor on_host = bins_.to(Device());
  const auto* bins = on_host.data<std::int64_t>();
  counted_.assign(bins, bins + classes_.size() * 2 * kernels::kProbabilityBins);
  bins_ = Tensor();
}

std::vector<std::pair<std::string, const Reviewer::Kept*>> Reviewer::chosen() const {
  std::vector<std::pair<std::string, const Kept*>> out;
  const auto add = [&out](const std::string& role, const Kept& kept) {
    const bool there =
        std::any_of(out.begin(), out.end(), [&](const auto& shown) { return shown.second->place == kept.place; });
    if (!there) out.emplace_back(role, &kept);
  };
  for (const Kept& kept : worst_) add("worst", kept);
  for (const Kept& kept : best_) add("best", kept);
  std::vector<double> all;
  for (const ReviewedImage& image : images_) {
    if (image.dice) all.push_back(*image.dice);
  }
  if (all.empty()) return out;
  std::nth_element(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2), all.end());
  const double median = all[all.size() / 2];
  std::vector<const Kept*> near;
  for (const Kept& kept : spread_) near.push_back(&kept);
  std::stable_sort(near.begin(), near.end(), [median](const Kept* a, const Kept* b) {
    return std::fabs(a->dice - median) < std::fabs(b->dice - median);
  });
  const std::size_t most = out.size() + kOfEach;
  for (const Kept* kept : near) {
    if (out.size() < most) add("median", *kept);
  }
  const auto rank = [](const std::string& role) { return role == "worst" ? 0 : role == "median" ? 1 : 2; };
  std::stable_sort(out.begin(), out.end(), [&](const auto& a, const auto& b) { return rank(a.first) < rank(b.first); });
  return out;
}

ReviewedPicture Reviewer::picture_of(const std::string& role, const Kept& kept) const {
  const Image& photo = kept.photo;
  return {.role = role,
          .name = images_[kept.place].name,
          .dice = kept.dice,
          .photo = picture_uri(photo),
          .truth = picture_uri(tint(photo, kept.truth.data(), background_)),
          .prediction = picture_uri(tint(photo, kept.predicted.data(), background_)),
          .errors = picture_uri(comparison(photo, kept.truth.data(), kept.predicted.data(), background_))};
}

std::vector<std::pair<std::string, Image>> Reviewer::judgements() const {
  std::vector<std::pair<std::string, Image>> out;
  for (const auto& [role, kept] : chosen()) {
    if (!out.empty() && out.back().first == role) continue;  // the first of each
    out.emplace_back(role, judgement(kept->photo, kept->truth.data(), kept->predicted.data(), background_, classes_));
  }
  return out;
}

Review Reviewer::review() const {
  Review out;
  out.background = background_;
  out.classes = classes_;
  out.confusion = confusion_;
  out.bins = counted_;
  out.images = images_;
  for (const auto& [role, kept] : chosen()) out.pictures.push_back(picture_of(role, *kept));
  for (const Image& image : batch_) out.batch.push_back(picture_uri(image));
  return out;
}

}  // namespace unet
