// A folder of photographs with masks, checked as a whole before the first step: which pairs there are, how they are
// split, what the masks contain and which class each value means.
//
// Layouts: (a) Oxford-IIIT Pet: images/, annotations/trimaps/, annotations/{trainval,test}.txt; every tenth name of
// trainval (index % 10 == 0) is for validation. (b) images/ and masks/ paired by stem, split by {train,val,test}.txt
// where one of them is there, else 80/10/10 by a hash of the stem, or of the stem's group, which no seed or program
// changes; where that leaves nothing to train or to validate on, one is moved there (see grouping.h).
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/image.h"

namespace unet {

inline constexpr std::uint8_t kIgnoredLabel = 255;  ///< a pixel that counts in no loss and no metric

enum class Split { train, val, trainval, test, all };
/// What becomes of the trimaps' border ring.
enum class Border { foreground, background, ignore };
/// Decided once for all masks: trimap 1 pet, 2 background, 3 border; binary 0 and 255; indices 0..classes-1, 255
/// ignored. The Oxford layout has trimaps. Else masks are binary where no mask holds a value besides 0 and 255 and two
/// classes are asked for (an error if more are), and indices where any does. An index mask may hold 0 and 255 alone,
/// but where such masks outnumber those with other values, the latter are the odd ones in a binary set: an error.
enum class MaskKind { trimap, binary, indices };
/// skip leaves pairs with a broken file out (at most 1 %), which makes opening decode every photograph.
enum class OnCorrupt { stop, skip };

/// The names used on the command line and in messages; parsing throws Error with the choices.
std::string_view name_of(Split split);
std::string_view name_of(Border border);
std::string_view name_of(MaskKind kind);
Split parse_split(std::string_view name);
Border parse_border(std::string_view name);

struct Sample {
  std::string name;
  std::filesystem::path image, mask;
  std::string listed_at;  ///< "file:line" of the list that names it, or the image's path where there is no list
};

/// A photograph (RGB) and its labels (one channel, 0..classes-1 or kIgnoredLabel), of one size.
struct LabelledImage {
  Image image;
  Image labels;
};

struct DatasetOptions {
  std::filesystem::path folder;
  int classes = 2;
  Border border = Border::foreground;
  OnCorrupt on_corrupt = OnCorrupt::stop;
  Exif exif = Exif::apply;
  std::string group_by;  ///< pattern: stems whose first capture group is equal stand in one split; empty: none
  std::int64_t height = 0, width = 0;  ///< of the network, to tell which classes vanish there; 0: not known
  int threads = 2;                     ///< for the scan of the masks
};

/// What a person should know before a run: counts, and what is odd. A line each, without its end.
struct Remarks {
  std::vector<std::string> notes, warnings;
};

struct Finding;  // of the scan, data_scan.h

/// What the masks contain; values as stored in the files.
struct MaskSummary {
  MaskKind kind = MaskKind::indices;
  std::int64_t masks = 0;
  std::array<std::int64_t, 256> pixels{};
};

struct SkippedSample {
  std::string name;
  std::string reason;
};

class Dataset {
 public:
  /// Finds the pairs and reads every mask and the head of every photograph. Throws Error, with file and line where a
  /// list names the pair, on: a missing folder, list or file, an empty list, sizes that differ, a mask that is no index
  /// mask, a value outside the classes, a name given twice, a name or a group in two splits, a link out of the folder,
  /// a broken file; on masks of which MaskKind makes no sense.
  explicit Dataset(const DatasetOptions& options);

  const DatasetOptions& options() const { return options_; }
  const MaskSummary& masks() const { return masks_; }
  const std::vector<SkippedSample>& skipped() const { return skipped_; }
  /// No list says the splits: a hash of the stems, or of their groups, does.
  bool split_by_hash() const { return by_hash_; }
  std::int64_t size(Split split) const { return static_cast<std::int64_t>(list(split).size()); }

  /// In the order of the lists. Throws Error on an empty split.
  const std::vector<Sample>& samples(Split split) const;

  /// Decodes one pair. Throws Error on a broken file and on one that changed since the data set was opened.
  LabelledImage load(const Sample& sample) const;

  /// Of names, splits, the masks' pixels and the sizes of the photographs' files, whose contents the start does not
  /// read: equal hashes mean that a run can be resumed on these data.
  std::uint64_t hash() const { return hash_; }

  /// A few lines for the start of a run: the layout, the splits, what the masks contain and how it is understood, what
  /// is left out or changed of the photographs.
  std::string report() const;

  /// What is odd in masks or photographs.
  const std::vector<std::string>& warnings() const { return remarks_.warnings; }

  /// Throws Error if the training masks hold fewer than two classes; returns warnings of classes they do not hold.
  std::vector<std::string> check_trainable() const;

 private:
  const std::vector<Sample>& list(Split split) const { return lists_[static_cast<std::size_t>(split)]; }
  void leave_out_broken(std::vector<Finding>& findings);
  std::string how_to_fill(Split split) const;
  std::string values_text() const;

  DatasetOptions options_;
  bool oxford_ = false, by_hash_ = false;
  std::array<std::vector<Sample>, 5> lists_;  // by Split
  MaskSummary masks_;
  std::vector<SkippedSample> skipped_;
  Remarks remarks_;
  std::array<std::int16_t, 256> label_of_{};  // -1: not allowed
  std::bitset<256> training_labels_;          // in the training masks
  std::uint64_t hash_ = 0;
};

}  // namespace unet
