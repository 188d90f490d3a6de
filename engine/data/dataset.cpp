#include "engine/data/dataset.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <unordered_set>

#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/data/layout.h"

namespace unet {
namespace {

using Counts = std::array<std::int64_t, 256>;

constexpr std::array<std::string_view, 4> split_names{"train", "val", "trainval", "test"};
constexpr std::array<std::string_view, 3> border_names{"foreground", "background", "ignore"};
constexpr std::array<std::string_view, 3> kind_names{"trimap", "binary", "indices"};

template <class Enum, std::size_t count>
Enum parse(std::string_view name, const std::array<std::string_view, count>& names, const char* what) {
  const auto at = std::find(names.begin(), names.end(), name);
  if (at == names.end()) {
    std::string choices;
    for (const std::string_view choice : names) choices += fmt::format("{}{}", choices.empty() ? "" : ", ", choice);
    throw Error("{} \"{}\": expected one of {}", what, name, choices);
  }
  return static_cast<Enum>(at - names.begin());
}

Counts count_values(const Image& mask) {
  Counts counts{};
  for (const std::uint8_t value : mask.pixels) ++counts[value];
  return counts;
}

void check_sizes(const Sample& sample, const ImageSize& image, const Image& mask) {
  if (image == ImageSize{mask.width, mask.height}) return;
  const bool stored = image.turned && image == ImageSize{mask.height, mask.width};
  throw Error("{}: photograph {} is {}x{}, but its mask {} is {}x{}, expected one size{}", sample.listed_at,
              sample.image.string(), image.width, image.height, sample.mask.string(), mask.width, mask.height,
              stored ? ": the photograph is turned by its EXIF orientation, turn the mask too" : "");
}

/// The labels each kind of mask gives to the values in its files; -1 where a value is not allowed.
std::array<std::int16_t, 256> label_table(MaskKind kind, int classes, Border border) {
  std::array<std::int16_t, 256> labels;
  labels.fill(-1);
  switch (kind) {
    case MaskKind::trimap:
      labels[1] = 1;
      labels[2] = 0;
      labels[3] = border == Border::foreground ? 1 : border == Border::background ? 0 : ignored_label;
      break;
    case MaskKind::binary:
      labels[0] = 0;
      labels[255] = 1;
      break;
    case MaskKind::indices:
      for (int c = 0; c < classes; ++c) labels[static_cast<std::size_t>(c)] = static_cast<std::int16_t>(c);
      labels[255] = ignored_label;
      break;
  }
  return labels;
}

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

/// Calls work(i) for all i below count on a few threads. The error of the lowest i is thrown, whatever the timing:
/// indices are taken in order, so every one below a failed one has been taken and is finished.
template <class Work>
void for_each_index(std::size_t count, int threads, const Work& work) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::size_t failed_at = count;
  std::exception_ptr failure;
  const auto loop = [&] {
    for (std::size_t i = next++; i < count; i = next++) {
      try {
        work(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        next = count;
        if (i >= failed_at) return;
        failed_at = i;
        failure = std::current_exception();
      }
    }
  };
  {
    std::vector<std::jthread> helpers;
    try {
      for (int t = 1; t < threads; ++t) helpers.emplace_back(loop);
    } catch (const std::system_error& error) {
      next = count;  // those that have started end
      throw Error(
          "cannot start {} threads that look at the data: {}; ask for fewer --threads, or raise the limit "
          "(ulimit -u)",
          threads, error.what());
    }
    loop();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

std::string_view name_of(Split split) { return split_names[static_cast<std::size_t>(split)]; }
std::string_view name_of(Border border) { return border_names[static_cast<std::size_t>(border)]; }
std::string_view name_of(MaskKind kind) { return kind_names[static_cast<std::size_t>(kind)]; }
Split parse_split(std::string_view name) { return parse<Split>(name, split_names, "split"); }
Border parse_border(std::string_view name) { return parse<Border>(name, border_names, "border"); }

Dataset::Dataset(const DatasetOptions& options) : options_(options) {
  if (options.classes < 2 || options.classes > 255) {
    throw Error("{} classes: expected 2 to 255 (background included)", options.classes);
  }
  Layout layout = find_layout(options.folder);
  oxford_ = layout.oxford;
  lists_ = std::move(layout.lists);
  if (oxford_ && options.classes != 2) {
    throw Error("data folder {}: trimaps of the Oxford layout have 2 classes, not {}: leave the number of classes out",
                options.folder.string(), options.classes);
  }
  const std::vector<Finding> findings = scan();
  choose_kind();
  check_values(findings);
  leave_out_broken(findings);
  for (const Finding& finding : findings) {
    if (!finding.corrupt.empty()) continue;
    for (const char c : finding.sample.name) hash_ = mix64(hash_ ^ static_cast<unsigned char>(c));
    hash_ = mix64(mix64(hash_ ^ finding.image_bytes) ^ finding.mask_bytes);
  }
  for (const Split split : {Split::train, Split::val, Split::test}) {
    hash_ = mix64(hash_ ^ static_cast<std::uint64_t>(size(split)));
  }
}

/// Reads every mask once and the head of every photograph, in the order of the lists.
std::vector<Dataset::Finding> Dataset::scan() {
  std::vector<Finding> findings;
  for (const Split split : {Split::trainval, Split::test}) {
    for (const Sample& sample : list(split)) findings.push_back({sample, {}, {}, 0, 0});
  }
  std::mutex mutex;
  for_each_index(findings.size(), options_.threads, [&](std::size_t i) {
    Finding& finding = findings[i];
    const Sample& sample = finding.sample;
    ImageSize size;
    Image mask;
    try {
      size = read_image_size(sample.image);
      mask = load_mask(sample.mask);
      if (options_.on_corrupt == OnCorrupt::skip) load_image(sample.image);
    } catch (const Error& error) {
      finding.corrupt = fmt::format("{}: {}", sample.listed_at, error.what());
      if (options_.on_corrupt == OnCorrupt::stop) throw Error(finding.corrupt);
      return;
    }
    check_sizes(sample, size, mask);
    finding.image_bytes = std::filesystem::file_size(sample.image);
    finding.mask_bytes = std::filesystem::file_size(sample.mask);
    const Counts counts = count_values(mask);
    const std::lock_guard lock(mutex);
    for (std::size_t value = 0; value < counts.size(); ++value) {
      finding.values[value] = counts[value] > 0;
      masks_.pixels[value] += counts[value];
    }
    ++masks_.masks;
  });
  return findings;
}

void Dataset::check_values(const std::vector<Finding>& findings) const {
  for (const Finding& finding : findings) {
    for (std::size_t value = 0; value < label_of_.size(); ++value) {
      if (!finding.values[value] || label_of_[value] >= 0) continue;
      const std::int64_t count = count_values(load_mask(finding.sample.mask))[value];
      throw Error("{}: mask {} has value {} at {} pixels, expected {}", finding.sample.listed_at,
                  finding.sample.mask.string(), value, count, allowed_values(masks_.kind, options_.classes));
    }
  }
}

void Dataset::leave_out_broken(const std::vector<Finding>& findings) {
  std::unordered_set<std::string> broken;
  for (const Finding& finding : findings) {
    if (finding.corrupt.empty()) continue;
    skipped_.push_back({finding.sample.name, finding.corrupt});
    broken.insert(finding.sample.name);
  }
  if (broken.empty()) return;
  if (broken.size() * 100 > findings.size()) {
    throw Error("{} of {} pairs are broken, at most 1 % are skipped; the first: {}", broken.size(), findings.size(),
                skipped_.front().reason);
  }
  for (std::vector<Sample>& samples : lists_) {
    std::erase_if(samples, [&](const Sample& sample) { return broken.contains(sample.name); });
  }
}

void Dataset::choose_kind() {
  const auto others = std::count_if(masks_.pixels.begin() + 1, masks_.pixels.end() - 1, [](auto n) { return n > 0; });
  masks_.kind = oxford_                                ? MaskKind::trimap
                : options_.classes == 2 && others == 0 ? MaskKind::binary
                                                       : MaskKind::indices;
  label_of_ = label_table(masks_.kind, options_.classes, options_.border);
}

const std::vector<Sample>& Dataset::samples(Split split) const {
  if (list(split).empty()) {
    throw Error("data folder {}: split {} is empty; the others: train {}, val {}, test {}", options_.folder.string(),
                name_of(split), size(Split::train), size(Split::val), size(Split::test));
  }
  return list(split);
}

LabelledImage Dataset::load(const Sample& sample) const {
  LabelledImage pair;
  try {
    pair = {to_rgb(load_image(sample.image)), load_mask(sample.mask)};
  } catch (const Error& error) {
    throw Error("{}: {}", sample.listed_at, error.what());
  }
  check_sizes(sample, {pair.image.width, pair.image.height}, pair.labels);
  std::int16_t seen = 0;  // negative once a value is not allowed
  for (std::uint8_t& pixel : pair.labels.pixels) {
    const std::int16_t label = label_of_[pixel];
    seen = static_cast<std::int16_t>(seen | label);
    if (label >= 0) pixel = static_cast<std::uint8_t>(label);
  }
  if (seen < 0) throw Error("{}: mask {} has changed since the start", sample.listed_at, sample.mask.string());
  return pair;
}

std::string Dataset::report() const {
  std::string text = fmt::format("data {}: {}, {} train, {} val, {} test\n", options_.folder.string(),
                                 oxford_ ? "Oxford-IIIT Pet layout" : "images/ and masks/", size(Split::train),
                                 size(Split::val), size(Split::test));
  std::int64_t total = 0;
  for (const std::int64_t count : masks_.pixels) total += count;
  text += fmt::format("masks: {} ({}),", masks_.masks, name_of(masks_.kind));
  for (std::size_t value = 0; value < 256; ++value) {
    if (masks_.pixels[value] == 0) continue;
    const std::int16_t label = label_of_[value];
    text +=
        fmt::format(" {} -> {} {:.1f} %,", value, label == ignored_label ? "ignored" : fmt::format("class {}", label),
                    100.0 * static_cast<double>(masks_.pixels[value]) / static_cast<double>(total));
  }
  text.back() = '\n';
  if (!skipped_.empty())
    text += fmt::format("skipped: {} broken, the first: {}\n", skipped_.size(), skipped_.front().reason);
  return text;
}

}  // namespace unet
