// Photographs and masks of two folders, paired by stem, and what lies there beside them. Opens no picture.
#pragma once

#include <string>
#include <vector>

#include "engine/data/layout_kind.h"
#include "engine/data/picture_folder.h"

namespace unet {

class Pairs {
 public:
  /// A mask's stem is its photograph's and the suffix; without one given, the suffix that all masks share. The two may
  /// lie in one folder. Throws Error as list_pictures does, and if no mask has the suffix that is given.
  Pairs(const DatasetOptions& options, const PairPlace& place, bool named);

  /// Those that a list names, a path in the data folder or absolute. Throws Error if it names none, or one without its
  /// photograph or mask.
  std::vector<Sample> listed(const std::filesystem::path& list, ListColumns columns);

  /// In the order of the stems. Throws Error if there are none, or one has no partner.
  std::vector<Sample> all() const;

  /// " (masks end in _mask)", or nothing.
  std::string suffix_text() const;

  /// What the folders and lists hold beside these pairs.
  std::vector<std::string> notes(const std::vector<Sample>& used) const;

 private:
  std::string stem_of(const std::string& listed) const;
  void take_off_suffix(const std::string& suffix, bool one_folder);
  Sample pair(const std::string& stem, const std::string& where) const;
  [[noreturn]] void missing(const std::string& stem, const std::string& where, bool is_mask) const;
  std::vector<std::string> leftover_notes() const;

  std::filesystem::path data_folder_;
  bool follow_links_ = false;
  Leftovers leftovers_;
  PictureFolder images_, masks_;
  std::string suffix_;
  Tally comments_, with_ending_, without_suffix_;
};

}  // namespace unet
