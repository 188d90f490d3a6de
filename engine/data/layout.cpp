#include "engine/data/layout.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "engine/core/error.h"
#include "engine/core/text.h"
#include "engine/data/grouping.h"
#include "engine/data/pairs.h"

namespace unet {
namespace {

namespace fs = std::filesystem;

constexpr std::array kThree{Split::train, Split::val, Split::test};

std::vector<Sample>& list_of(Layout& layout, Split split) { return layout.lists[static_cast<std::size_t>(split)]; }
std::string& fill_of(Layout& layout, Split split) {
  return layout.fills[static_cast<std::size_t>(std::find(kThree.begin(), kThree.end(), split) - kThree.begin())];
}

void append(std::vector<Sample>& list, const std::vector<Sample>& more) {
  list.insert(list.end(), more.begin(), more.end());
}

/// Reads those of the splits' lists that are there into the layout; whether there was any. Notes text files beside
/// them.
bool read_lists(Layout& layout, const LayoutKind& kind, Pairs& pairs, const DatasetOptions& options) {
  bool listed = false;
  for (std::size_t i = 0; i < kThree.size(); ++i) {
    fill_of(layout, kThree[i]) =
        fmt::format("name its pictures with --{}-list, or choose another split", name_of(kThree[i]));
    if (options.lists[i].empty()) continue;
    list_of(layout, kThree[i]) = pairs.listed(options.lists[i], kind.columns);
    listed = true;
  }
  if (listed || kind.named || !fs::is_directory(options.folder / kind.lists)) return listed;
  const std::vector<Split> splits =
      kind.trimaps ? std::vector{Split::trainval, Split::test} : std::vector{Split::train, Split::val, Split::test};
  std::vector<std::string> known{"list.txt", "README.txt", "trainval.txt"};  // of Oxford-IIIT Pet and Pascal VOC
  for (const Split split : splits) {
    known.push_back(std::string(name_of(split)) + ".txt");
    const fs::path list = kind.lists / known.back();
    const std::string fill = fmt::format("name its pictures in {}, or choose another split", list.string());
    if (split != Split::trainval) {
      fill_of(layout, split) = fill;
    } else {
      fill_of(layout, Split::train) = fill_of(layout, Split::val) = fill;
    }
    if (!fs::exists(options.folder / list)) continue;
    list_of(layout, split) = pairs.listed(list, kind.columns);
    listed = true;
  }
  Tally others;
  for (const fs::directory_entry& entry : fs::directory_iterator(options.folder / kind.lists)) {
    const fs::path name = entry.path().filename();
    if (name.extension() != ".txt" || std::find(known.begin(), known.end(), name) != known.end()) continue;
    others.add((kind.lists / name).string());
  }
  others.note("text files that are not the list of a split", layout.notes);
  return listed;
}

/// Splits these, given in the order of the stems, by a hash of their groups: 80/10/10, or 90/10 where there is a test
/// split already.
void split_pairs(Layout& layout, const std::vector<Sample>& all, const std::string& group_pattern,
                 const std::string& what) {
  const GroupOf group_of = group_by(group_pattern);
  std::set<std::string> groups;
  for (const Sample& sample : all) groups.insert(group_of(sample));
  const bool has_test = !list_of(layout, Split::test).empty();
  const HashSplit split = split_by_hash(groups, !has_test);
  for (const Sample& sample : all) list_of(layout, split.split_of.at(group_of(sample))).push_back(sample);
  std::string note = fmt::format("split{}: {} by a hash of ", what, has_test ? "90/10" : "80/10/10");
  note += group_pattern.empty() ? "the stems" : fmt::format("{} groups", groups.size());
  for (const std::string& moved : split.moved) {
    note += fmt::format(", {} moved to {}, which was empty", printable(moved), name_of(split.split_of.at(moved)));
  }
  layout.notes.push_back(note);
  layout.by_hash = true;
  for (const Split empty : {Split::train, Split::val}) {
    fill_of(layout, empty) = fmt::format("expected at least 2 {}, one to train on and one to validate on",
                                         group_pattern.empty() ? "pictures" : "groups of pictures");
  }
}

/// Throws Error if a picture (unless each split has a folder: names may begin anew there) or a group stands in two of
/// train, val and test.
void check_apart(Layout& layout, const LayoutKind& kind, const std::string& group_pattern) {
  if (kind.by_folders() && group_pattern.empty()) return;
  const GroupOf group_of = group_by(group_pattern);
  std::unordered_map<std::string, std::pair<Split, const Sample*>> seen;
  for (const Split split : kThree) {
    for (const Sample& sample : list_of(layout, split)) {
      const std::string group = group_of(sample);
      const auto [other, is_new] = seen.try_emplace(group, split, &sample);
      const auto& [other_split, first] = other->second;
      if (is_new || other_split == split) continue;
      if (first->name == sample.name && !kind.by_folders()) {
        throw Error("{}: \"{}\" stands at {} too: pictures of one split must not be in another", sample.listed_at,
                    sample.name, first->listed_at);
      }
      throw Error("{}: \"{}\" is in {}, \"{}\" of the same group \"{}\" in {} ({}): give a group to one split{}",
                  sample.listed_at, sample.name, name_of(split), first->name, group, name_of(other_split),
                  first->listed_at, layout.trimaps ? "; val is every tenth name of trainval.txt" : "");
    }
  }
}

/// Files of results are called by these names: those that folders of two splits have both get the split's before them.
void tell_apart(Layout& layout) {
  std::map<std::string, int> count;
  for (const Split split : kThree) {
    for (const Sample& sample : list_of(layout, split)) ++count[sample.name];
  }
  for (const Split split : kThree) {
    for (Sample& sample : list_of(layout, split)) {
      if (count[sample.name] > 1) sample.name = fmt::format("{}_{}", name_of(split), sample.name);
    }
  }
}

void read_folders(Layout& layout, const LayoutKind& kind, const DatasetOptions& options) {
  std::set<std::string> suffixes;
  for (const PairPlace& place : kind.places) {
    const Pairs pairs(options, place, kind.named);
    list_of(layout, place.split) = pairs.all();
    for (const std::string& note : pairs.notes(list_of(layout, place.split))) layout.notes.push_back(note);
    suffixes.insert(pairs.suffix_text());
  }
  for (const std::string& suffix : suffixes) layout.text += suffix;
  for (const Split split : kThree) {
    fill_of(layout, split) = fmt::format("give it folders like those of train ({} and {}), or choose another split",
                                         kind.places[0].images.string(), kind.places[0].masks.string());
  }
  if (list_of(layout, Split::val).empty()) {
    const std::vector<Sample> train = std::exchange(list_of(layout, Split::train), {});
    split_pairs(layout, train, options.group_by, " of train, there is no val");
  }
}

}  // namespace

Layout find_layout(const DatasetOptions& options) {
  const LayoutKind kind = recognise_layout(options);
  Layout layout{.text = kind.text, .trimaps = kind.trimaps, .notes = kind.notes};
  auto& [train, val, trainval, test, all] = layout.lists;
  if (kind.by_folders()) {
    for (std::size_t i = 0; i < kThree.size(); ++i) {
      if (options.lists[i].empty()) continue;
      throw Error(
          "--{}-list {}: {} has folders for its splits ({}), which a list cannot divide anew: leave the lists away, "
          "or name one folder of pictures and one of masks with --images and --masks",
          name_of(kThree[i]), options.lists[i].string(), options.folder.string(), kind.places.front().images.string());
    }
    read_folders(layout, kind, options);
  } else {
    Pairs pairs(options, kind.places.front(), kind.named);
    layout.text += pairs.suffix_text();
    const bool listed = read_lists(layout, kind, pairs, options);
    for (std::size_t i = 0; i < trainval.size(); ++i) (i % 10 == 0 ? val : train).push_back(trainval[i]);
    const std::vector<Sample> unlisted = listed ? std::vector<Sample>() : pairs.all();
    if (!listed && !kind.trimaps) split_pairs(layout, unlisted, options.group_by, "");
    if (!listed && kind.trimaps) all = unlisted;
    std::vector<Sample> used = unlisted;
    for (const std::vector<Sample>& list : {train, val, test}) append(used, list);
    for (const std::string& note : pairs.notes(used)) layout.notes.push_back(note);
  }
  check_apart(layout, kind, options.group_by);
  if (kind.by_folders()) tell_apart(layout);
  if (trainval.empty()) {
    append(trainval, train);
    append(trainval, val);
  }
  if (all.empty()) {
    append(all, trainval);
    append(all, test);
  }
  return layout;
}

}  // namespace unet
