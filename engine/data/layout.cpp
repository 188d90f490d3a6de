#include "engine/data/layout.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "engine/core/error.h"
#include "engine/core/text.h"
#include "engine/data/grouping.h"
#include "engine/data/list_file.h"
#include "engine/data/picture_folder.h"

namespace unet {
namespace {

namespace fs = std::filesystem;

/// A data folder's two folders, and what the lists of names say about them.
class Pairs {
 public:
  Pairs(const fs::path& data_folder, const fs::path& images, const fs::path& masks)
      : data_folder_(data_folder),
        images_(list_pictures(data_folder, images, leftovers_)),
        masks_(list_pictures(data_folder, masks, leftovers_)) {}

  /// Throws Error if the list names no pictures, or one without its photograph or mask.
  std::vector<Sample> listed(const fs::path& list, ListColumns columns) {
    const fs::path path = data_folder_ / list;
    check_inside(path, fs::canonical(data_folder_));
    const auto place = [&](int line) { return fmt::format("{}:{}", list.string(), line); };
    std::vector<Sample> samples;
    const Comments comments = read_list(
        path, columns, [&](const std::string& name) { return stem_of(name); },
        [&](const ListedName& name) {
          if (name.has_ending) with_ending_.add(place(name.line));
          samples.push_back(pair(name.name, fmt::format("{}:{}", path.string(), name.line)));
        });
    if (comments.count > 0) comments_.add(place(comments.first_line), comments.count);
    if (samples.empty()) throw Error("{}: names no pictures, expected a name on each line", path.string());
    return samples;
  }

  /// In the order of the stems. Throws Error if there are none, or one has no partner.
  std::vector<Sample> all() const {
    std::vector<Sample> samples;
    for (const auto& [stem, path] : images_.pictures) samples.push_back(pair(stem, path.string()));
    for (const auto& [stem, path] : masks_.pictures) pair(stem, path.string());
    if (!samples.empty()) return samples;
    std::string others;
    for (const std::string& note : leftover_notes()) others += "; " + note;
    throw Error("{}: holds no pictures, expected .jpg, .jpeg or .png files{}", images_.path.string(), others);
  }

  /// What the folders and lists hold beside these pairs.
  std::vector<std::string> notes(const std::vector<Sample>& used) const {
    std::vector<std::string> lines = leftover_notes();
    std::unordered_set<std::string_view> names;
    for (const Sample& sample : used) names.insert(sample.name);
    for (const auto& [what, folder] : {std::pair{"images", &images_}, {"masks", &masks_}}) {
      Tally unlisted;
      for (const auto& [stem, path] : folder->pictures) {
        if (!names.contains(stem)) unlisted.add(path.lexically_relative(data_folder_).string());
      }
      unlisted.note(fmt::format("{} that no list names", what), lines);
    }
    comments_.note("comments in lists", lines);
    with_ending_.note("names in lists with the file's ending, which is taken off", lines);
    return lines;
  }

 private:
  std::string stem_of(const std::string& listed) const {
    const std::string stem = images_.stem_of(listed);
    return stem.empty() ? masks_.stem_of(listed) : stem;
  }

  Sample pair(const std::string& stem, const std::string& where) const {
    const auto image = images_.pictures.find(stem);
    const auto mask = masks_.pictures.find(stem);
    if (image == images_.pictures.end()) missing(stem, where, images_, masks_, "photograph", ".jpg");
    if (mask == masks_.pictures.end()) missing(stem, where, masks_, images_, "mask", ".png");
    return {stem, image->second, mask->second, where};
  }

  [[noreturn]] static void missing(const std::string& stem, const std::string& where, const PictureFolder& folder,
                                   const PictureFolder& partners, const char* what, const char* ending) {
    const auto same = folder.not_decoded.find(stem);
    if (same != folder.not_decoded.end()) {
      throw Error("{}: \"{}\" has no {} that can be read: {} is there, a format not decoded here: convert it to PNG",
                  where, stem, what, same->second.string());
    }
    const fs::path near = nearest(stem, folder, partners.pictures.contains(stem) ? partners.pictures : Pictures());
    throw Error("{}: \"{}\" has no {}: {} is missing{}: add the file or take the name off", where, stem, what,
                (folder.path / (stem + ending)).string(), near.empty() ? "" : ", " + near.string() + " is there");
  }

  std::vector<std::string> leftover_notes() const {
    std::vector<std::string> lines;
    leftovers_.folders.note("sub-folders, not looked into", lines);
    leftovers_.not_decoded.note("pictures of formats not decoded here (convert them to PNG)", lines);
    leftovers_.no_pictures.note("files that are no pictures", lines);
    leftovers_.hidden.note("hidden files", lines);
    return lines;
  }

  fs::path data_folder_;
  Leftovers leftovers_;
  PictureFolder images_, masks_;
  Tally comments_, with_ending_;
};

std::vector<Sample>& list_of(Layout& layout, Split split) { return layout.lists[static_cast<std::size_t>(split)]; }

void append(std::vector<Sample>& list, const std::vector<Sample>& more) {
  list.insert(list.end(), more.begin(), more.end());
}

/// Reads those of the splits' lists that are there into the layout; whether there was any. Notes text files beside
/// them.
bool read_lists(Layout& layout, Pairs& pairs, const fs::path& data_folder, const fs::path& folder) {
  const std::vector<Split> splits =
      layout.oxford ? std::vector{Split::trainval, Split::test} : std::vector{Split::train, Split::val, Split::test};
  std::vector<std::string> known{"list.txt", "README.txt"};  // of Oxford-IIIT Pet
  bool listed = false;
  for (const Split split : splits) {
    known.push_back(std::string(name_of(split)) + ".txt");
    if (!fs::exists(data_folder / folder / known.back())) continue;
    list_of(layout, split) =
        pairs.listed(folder / known.back(), layout.oxford ? ListColumns::first_word : ListColumns::whole_line);
    listed = true;
  }
  Tally others;
  for (const fs::directory_entry& entry : fs::directory_iterator(data_folder / folder)) {
    const fs::path name = entry.path().filename();
    if (name.extension() != ".txt" || std::find(known.begin(), known.end(), name) != known.end()) continue;
    others.add((folder / name).string());
  }
  others.note("text files that are not the list of a split", layout.notes);
  return listed;
}

/// Splits these, given in the order of the stems, by a hash of their groups.
void split_pairs(Layout& layout, const std::vector<Sample>& all, const std::string& group_pattern) {
  const GroupOf group_of = group_by(group_pattern);
  std::set<std::string> groups;
  for (const Sample& sample : all) groups.insert(group_of(sample));
  const HashSplit split = split_by_hash(groups);
  for (const Sample& sample : all) list_of(layout, split.split_of.at(group_of(sample))).push_back(sample);
  std::string note = "split: 80/10/10 by a hash of the stems";
  if (!group_pattern.empty()) note = fmt::format("split: 80/10/10 by a hash of {} groups", groups.size());
  for (const std::string& moved : split.moved) {
    note += fmt::format(", {} moved to {}, which was empty", printable(moved), name_of(split.split_of.at(moved)));
  }
  layout.notes.push_back(note);
  layout.by_hash = true;
}

/// Throws Error if a picture or a group stands in two of train, val and test.
void check_apart(Layout& layout, const std::string& group_pattern) {
  const GroupOf group_of = group_by(group_pattern);
  std::unordered_map<std::string, std::pair<Split, const Sample*>> seen;
  for (const Split split : {Split::train, Split::val, Split::test}) {
    for (const Sample& sample : list_of(layout, split)) {
      const std::string group = group_of(sample);
      const auto [other, is_new] = seen.try_emplace(group, split, &sample);
      const auto& [other_split, first] = other->second;
      if (is_new || other_split == split) continue;
      if (first->name == sample.name) {
        throw Error("{}: \"{}\" stands at {} too: pictures of one split must not be in another", sample.listed_at,
                    sample.name, first->listed_at);
      }
      throw Error("{}: \"{}\" is in {}, \"{}\" of the same group \"{}\" in {} ({}): give a group to one split{}",
                  sample.listed_at, sample.name, name_of(split), first->name, group, name_of(other_split),
                  first->listed_at, layout.oxford ? "; val is every tenth name of trainval.txt" : "");
    }
  }
}

}  // namespace

Layout find_layout(const fs::path& folder, const std::string& group_pattern) {
  if (!fs::exists(folder)) throw Error("data folder {}: does not exist", folder.string());
  if (!fs::is_directory(folder)) throw Error("data folder {}: is not a folder", folder.string());
  Layout layout;
  layout.oxford = fs::is_directory(folder / "annotations" / "trimaps");
  const bool masks = fs::is_directory(folder / "masks");
  if (!fs::is_directory(folder / "images") || !(layout.oxford || masks)) {
    throw Error(
        "data folder {}: expected images/ with annotations/trimaps/ and annotations/trainval.txt (Oxford-IIIT Pet), "
        "or images/ with masks/ of the same stems",
        folder.string());
  }
  if (layout.oxford && masks) layout.notes.push_back("masks/ is not used: there is annotations/trimaps/");
  Pairs pairs(folder, "images", layout.oxford ? fs::path("annotations") / "trimaps" : fs::path("masks"));
  auto& [train, val, trainval, test, all] = layout.lists;
  const bool listed = read_lists(layout, pairs, folder, layout.oxford ? "annotations" : "");
  for (std::size_t i = 0; i < trainval.size(); ++i) (i % 10 == 0 ? val : train).push_back(trainval[i]);
  const std::vector<Sample> unlisted = listed ? std::vector<Sample>() : pairs.all();
  if (!listed && !layout.oxford) split_pairs(layout, unlisted, group_pattern);
  check_apart(layout, group_pattern);
  if (trainval.empty()) {
    append(trainval, train);
    append(trainval, val);
  }
  append(all, trainval);
  append(all, test);
  if (!listed && layout.oxford) all = unlisted;
  for (const std::string& note : pairs.notes(all)) layout.notes.push_back(note);
  return layout;
}

}  // namespace unet
