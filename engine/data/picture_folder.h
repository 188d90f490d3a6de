// What a folder of pictures holds: those that can be decoded, by their stems, and an account of all else. Opens no
// file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace unet {

/// How many there are, and the first in the order of the names: folders have no order of their own.
struct Tally {
  std::int64_t count = 0;
  std::string first;

  void add(const std::string& name, std::int64_t times = 1);
  /// Adds the line "what: count, the first: name" unless there are none.
  void note(const std::string& what, std::vector<std::string>& notes) const;
};

/// What is counted beside the pictures, named as seen from the data folder.
struct Leftovers {
  Tally folders;      ///< not looked into
  Tally not_decoded;  ///< pictures of other formats than JPEG and PNG
  Tally no_pictures;
  Tally hidden;  ///< such as the `._` files of some archives
  Tally links;   ///< that lead out of the folder and are followed
};

using Pictures = std::map<std::string, std::filesystem::path>;  ///< by stem

struct PictureFolder {
  std::filesystem::path path;
  Pictures pictures;
  Pictures not_decoded;

  /// The stem that a listed name means: itself, or less its ending where that makes a file's name. Empty if there is
  /// no such picture, decoded or not.
  std::string stem_of(const std::string& listed) const;
};

/// Whether a path leads out of the root, by a link. Throws Error if it cannot be followed.
bool leads_out(const std::filesystem::path& path, const std::filesystem::path& root);
/// Refuses such a link: a data set names its own files and no others.
void check_inside(const std::filesystem::path& path, const std::filesystem::path& root);

/// Lists folder/name (absolute: the folder of that name). Throws Error on two pictures of one stem and, unless links
/// are followed, on one that leads out of the root.
PictureFolder list_pictures(const std::filesystem::path& folder, const std::filesystem::path& name,
                            const std::filesystem::path& root, bool follow_links, Leftovers& leftovers);

/// The picture, decoded or not, that may have been meant by a stem that is not there; an empty path if none comes near.
/// Pictures with a partner in `partners` of their own are none. A near one has the same digits in the same order;
/// without digits, one name is the other and more (cat, cat_mask) or they differ by two letters at most.
std::filesystem::path nearest(const std::string& stem, const PictureFolder& folder, const Pictures& partners);

}  // namespace unet
