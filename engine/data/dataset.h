// A folder of photographs with masks, checked as a whole before the first step: which pairs there are, how they are
// split, what the masks contain and which class each value means.
//
// Layouts: Oxford-IIIT Pet, Pascal VOC, images/ and masks/ (with or without folders of the splits), CamVid, or two
// folders that the options name: layout_kind.h. Photographs and masks are paired by stem, behind which all masks may
// have one suffix. Splits: folders or lists of them where there are such, else 80/10/10 by a hash of the stem, or of
// the stem's group, which no seed or program changes; where that leaves nothing to train or to validate on, one is
// moved there (grouping.h). Of Oxford-IIIT Pet every tenth name of trainval (index % 10 == 0) is for validation; where
// there are folders of splits and none to validate on, a tenth of train/ by a hash is.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/data/class_map.h"
#include "engine/io/image.h"

namespace unet {

inline constexpr std::uint8_t kIgnoredLabel = 255;  ///< a pixel that counts in no loss and no metric

enum class Split { train, val, trainval, test, all };
/// What becomes of the trimaps' border ring.
enum class Border { foreground, background, ignore };
/// Decided once for all masks: trimap 1 pet, 2 background, 3 border; binary 0 and 255; indices 0..classes-1, 255
/// ignored. The Oxford layout has trimaps. Else masks are binary where no mask holds a value besides 0 and 255 and two
/// classes are asked for (an error if more are), and indices where any does. An index mask may hold 0 and 255 alone,
/// but where such masks outnumber those with other values, the latter are the odd ones in a binary set: an error. Two
/// classes and exactly two values in all masks, whichever: the lower is class 0. A class map says it all by itself.
enum class MaskKind { trimap, binary, indices, two_values, class_map };
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
  std::filesystem::path images, masks;         ///< in `folder`; empty: as one of the layouts has them
  std::string mask_suffix;                     ///< of the masks' stems behind the photographs'; empty: if all have one
  std::array<std::filesystem::path, 3> lists;  ///< of train, val, test, in `folder`; all empty: the layout's
  bool follow_links = false;                   ///< also links that lead out of the folder
  std::optional<ClassMap> class_map;           ///< what the masks' values mean, else MaskKind
  int binarize = 0;                            ///< masks are white from this gray on, black below; 0: as stored
  std::optional<int> ignored_value;            ///< of index masks, besides 255
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

/// What the masks contain; values as stored in the files, of a class map places in it.
struct MaskSummary {
  MaskKind kind = MaskKind::indices;
  std::int64_t masks = 0;
  std::array<std::int64_t, 256> pixels{};
};

/// How much of the training masks a class is, in pixels of the files that count.
struct ClassShare {
  std::int64_t pixels = 0;
  std::int64_t pixels_around = 0;  ///< all of the masks that hold the class
};

struct SkippedSample {
  std::string name;
  std::string reason;
};

class Dataset {
 public:
  /// Finds the pairs and reads every mask and the head of every photograph. Throws Error, with file and line where a
  /// list names the pair, on: a missing folder, list or file, an empty list, sizes that differ, a mask that is no index
  /// mask, a value outside the classes or the class map, a name given twice, a name or a group in two splits, a link
  /// out of the folder, a broken file; on masks of which MaskKind makes no sense.
  explicit Dataset(const DatasetOptions& options);

  const DatasetOptions& options() const { return options_; }
  const MaskSummary& masks() const { return masks_; }
  /// Of each class.
  const std::vector<ClassShare>& training_classes() const { return training_classes_; }
  const std::vector<SkippedSample>& skipped() const { return skipped_; }
  /// By class: the class map's names, or numbers.
  const std::vector<std::string>& class_names() const { return class_names_; }
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
  void add_to_training_classes(const Finding& finding);
  std::string value_text(std::size_t code) const;
  std::string values_text() const;

  DatasetOptions options_;
  std::vector<std::string> class_names_;
  std::string layout_;
  std::array<std::string, 3> fills_;  // by Split: what to do if it is empty
  bool by_hash_ = false;
  std::array<std::vector<Sample>, 5> lists_;  // by Split
  MaskSummary masks_;
  std::vector<SkippedSample> skipped_;
  Remarks remarks_;
  std::array<std::int16_t, 256> label_of_{};  // -1: not allowed
  std::vector<ClassShare> training_classes_;
  std::uint64_t hash_ = 0;
};

}  // namespace unet
