#include "engine/data/pairs.h"

#include <algorithm>
#include <cctype>
#include <unordered_set>

#include "engine/core/error.h"
#include "engine/core/text.h"

namespace unet {
namespace {

namespace fs = std::filesystem;

/// What every mask's stem has behind that of a photograph: "_mask" of a_mask and b_mask. Empty if a mask is called like
/// a photograph, or if they do not agree. Digits are none: 1 and 10 are two pictures.
std::string common_suffix(const Pictures& images, const Pictures& masks) {
  if (masks.empty()) return {};
  const auto has_image = [&](const std::string& stem) { return images.contains(stem); };
  if (std::any_of(masks.begin(), masks.end(), [&](const auto& mask) { return has_image(mask.first); })) return {};
  const std::string& first = masks.begin()->first;
  for (std::size_t length = first.size(); length-- > 1;) {
    const std::string suffix = first.substr(length);
    if (std::isdigit(static_cast<unsigned char>(suffix[0])) || !has_image(first.substr(0, length))) continue;
    const auto agrees = [&](const auto& mask) {
      const std::string& stem = mask.first;
      return stem.ends_with(suffix) && has_image(stem.substr(0, stem.size() - suffix.size()));
    };
    if (std::all_of(masks.begin(), masks.end(), agrees)) return suffix;
  }
  return {};
}

}  // namespace

Pairs::Pairs(const DatasetOptions& options, const PairPlace& place, bool named)
    : data_folder_(options.folder), follow_links_(options.follow_links) {
  // A folder that the options name is trusted to be what is meant; its files are not.
  const auto list = [&](const fs::path& folder) {
    const fs::path root = fs::canonical(named ? data_folder_ / folder : data_folder_);
    return list_pictures(data_folder_, folder, root, follow_links_, leftovers_);
  };
  images_ = list(place.images);
  const bool one_folder = fs::equivalent(data_folder_ / place.images, data_folder_ / place.masks);
  masks_ = one_folder ? images_ : list(place.masks);
  const bool given = !options.mask_suffix.empty();
  if (one_folder && !given) {
    throw Error(
        "{}: holds the photographs and the masks: give --mask-suffix, what a mask's name has behind its "
        "photograph's",
        images_.path.string());
  }
  take_off_suffix(given ? options.mask_suffix : common_suffix(images_.pictures, masks_.pictures), one_folder);
  if (given && masks_.pictures.empty()) {
    throw Error("{}: no picture's name ends in \"{}\" (before .png or .jpg), as --mask-suffix says",
                masks_.path.string(), suffix_);
  }
}

void Pairs::take_off_suffix(const std::string& suffix, bool one_folder) {
  suffix_ = suffix;
  if (suffix.empty()) return;
  Pictures masks;
  for (auto& [stem, path] : masks_.pictures) {
    if (stem.ends_with(suffix) && stem.size() > suffix.size()) {
      masks.emplace(stem.substr(0, stem.size() - suffix.size()), path);
      if (one_folder) images_.pictures.erase(stem);
    } else if (!one_folder) {
      without_suffix_.add(path.lexically_relative(data_folder_).string());
    }
  }
  masks_.pictures = std::move(masks);
}

std::vector<Sample> Pairs::listed(const fs::path& list, ListColumns columns) {
  const fs::path path = data_folder_ / list;
  if (!list.is_absolute() && !follow_links_) check_inside(path, fs::canonical(data_folder_));
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

std::vector<Sample> Pairs::all() const {
  std::vector<Sample> samples;
  for (const auto& [stem, path] : images_.pictures) samples.push_back(pair(stem, path.string()));
  for (const auto& [stem, path] : masks_.pictures) pair(stem, path.string());
  if (!samples.empty()) return samples;
  std::string others;
  for (const std::string& note : leftover_notes()) others += "; " + note;
  throw Error("{}: holds no pictures, expected .jpg, .jpeg or .png files{}", images_.path.string(), others);
}

std::string Pairs::suffix_text() const {
  return suffix_.empty() ? std::string() : fmt::format(" (masks end in {})", printable(suffix_));
}

std::vector<std::string> Pairs::notes(const std::vector<Sample>& used) const {
  std::vector<std::string> lines = leftover_notes();
  std::unordered_set<std::string> images;
  for (const Sample& sample : used) images.insert(sample.image.string());
  for (const auto& [what, folder] : {std::pair{"images", &images_}, {"masks", &masks_}}) {
    Tally unlisted;
    for (const auto& [stem, path] : folder->pictures) {
      const auto image = images_.pictures.find(stem);
      if (image != images_.pictures.end() && images.contains(image->second.string())) continue;
      unlisted.add(path.lexically_relative(data_folder_).string());
    }
    unlisted.note(fmt::format("{} that no list names", what), lines);
  }
  without_suffix_.note(fmt::format("masks whose names do not end in {}", printable(suffix_)), lines);
  comments_.note("comments in lists", lines);
  with_ending_.note("names in lists with the file's ending, which is taken off", lines);
  return lines;
}

std::string Pairs::stem_of(const std::string& listed) const {
  const std::string stem = images_.stem_of(listed);
  return stem.empty() ? masks_.stem_of(listed) : stem;
}

Sample Pairs::pair(const std::string& stem, const std::string& where) const {
  const auto image = images_.pictures.find(stem);
  const auto mask = masks_.pictures.find(stem);
  if (image == images_.pictures.end()) missing(stem, where, false);
  if (mask == masks_.pictures.end()) missing(stem, where, true);
  return {stem, image->second, mask->second, where};
}

void Pairs::missing(const std::string& stem, const std::string& where, bool is_mask) const {
  const PictureFolder& folder = is_mask ? masks_ : images_;
  const PictureFolder& partners = is_mask ? images_ : masks_;
  const char* what = is_mask ? "mask" : "photograph";
  const auto same = folder.not_decoded.find(stem + (is_mask ? suffix_ : ""));
  if (same != folder.not_decoded.end()) {
    throw Error("{}: \"{}\" has no {} that can be read: {} is there, a format not decoded here: convert it to PNG",
                where, stem, what, same->second.string());
  }
  const fs::path near = nearest(stem, folder, partners.pictures.contains(stem) ? partners.pictures : Pictures());
  throw Error("{}: \"{}\" has no {}: {} is missing{}: add the file or take the name off", where, stem, what,
              (folder.path / (stem + (is_mask ? suffix_ + ".png" : ".jpg"))).string(),
              near.empty() ? "" : ", " + near.string() + " is there");
}

std::vector<std::string> Pairs::leftover_notes() const {
  std::vector<std::string> lines;
  leftovers_.folders.note("sub-folders, not looked into", lines);
  leftovers_.not_decoded.note("pictures of formats not decoded here (convert them to PNG)", lines);
  leftovers_.no_pictures.note("files that are no pictures", lines);
  leftovers_.hidden.note("hidden files", lines);
  leftovers_.links.note("links out of the data folder, followed", lines);
  return lines;
}

}  // namespace unet
