#include "engine/data/layout_kind.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "engine/core/error.h"
#include "engine/core/text.h"
#include "engine/data/picture_folder.h"

namespace unet {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

const Names kImages{"images", "image", "imgs", "img"}, kMasks{"masks", "mask", "labels", "label"};
const std::array<Names, 3> kSplits{{{"train"}, {"val", "valid", "validation"}, {"test"}}};  // by Split's order below
constexpr std::array kSplitOf{Split::train, Split::val, Split::test};

/// The first of these that is a folder there; empty if none is.
std::string folder_of(const fs::path& in, const Names& names) {
  const auto found = std::find_if(names.begin(), names.end(), [&](const auto& n) { return fs::is_directory(in / n); });
  return found == names.end() ? std::string() : *found;
}

/// "train/, val/" and "train/x, val/x".
std::string joined(const std::vector<fs::path>& folders) {
  std::vector<std::string> texts;
  for (const fs::path& folder : folders) texts.push_back(folder.string() + "/");
  return fmt::format("{}", fmt::join(texts, ", "));
}

/// A folder a split: place() gives the two folders of a split by its folder's name. Nothing unless train has both.
template <class PlaceOf>
std::optional<LayoutKind> by_folders(const fs::path& folder, const fs::path& splits_in, const PlaceOf& place) {
  LayoutKind kind;
  std::vector<fs::path> images, masks;
  for (std::size_t i = 0; i < kSplits.size(); ++i) {
    const std::string name = folder_of(folder / splits_in, kSplits[i]);
    if (name.empty()) continue;
    const auto [image_folder, mask_folder] = place(name);
    if (!image_folder.empty() && !mask_folder.empty() && fs::is_directory(folder / image_folder) &&
        fs::is_directory(folder / mask_folder)) {
      kind.places.push_back({kSplitOf[i], image_folder, mask_folder});
      images.push_back(image_folder);
      masks.push_back(mask_folder);
    } else {
      kind.notes.push_back(fmt::format("{}/ is not used: it has no masks", (splits_in / name).string()));
    }
  }
  if (kind.places.empty() || kind.places.front().split != Split::train) return std::nullopt;
  kind.text = fmt::format("{} with {}", joined(images), joined(masks));
  return kind;
}

/// Files that lie beside folders that are used.
void note_beside(const fs::path& folder, const std::vector<fs::path>& parents, LayoutKind& kind) {
  Tally beside;
  for (const fs::path& parent : parents) {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder / parent)) {
      if (!entry.is_directory()) beside.add((parent / entry.path().filename()).string());
    }
  }
  beside.note("files beside the folders of the splits, not used", kind.notes);
}

[[noreturn]] void refuse(const fs::path& folder) {
  std::set<std::string> there;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory()) there.insert(printable(entry.path().filename().string()) + "/");
  }
  constexpr std::size_t most = 8;
  std::vector<std::string> first(there.begin(), std::next(there.begin(), std::min(most, there.size())));
  throw Error(
      "data folder {}: no layout that is known here; expected one of\n"
      "  images/ and masks/ of the same stems (also image/ imgs/ img/, mask/ labels/ label/)\n"
      "  images/{{train,val,test}}/ and masks/{{train,val,test}}/\n"
      "  {{train,val,test}}/images/ and {{train,val,test}}/masks/\n"
      "  train/ trainannot/ val/ valannot/ test/ testannot/ (CamVid)\n"
      "  JPEGImages/ SegmentationClass/ ImageSets/Segmentation/*.txt (Pascal VOC)\n"
      "  images/ annotations/trimaps/ annotations/trainval.txt (Oxford-IIIT Pet)\n"
      "or the two folders by --images DIR --masks DIR. It holds {}{}",
      folder.string(), first.empty() ? "no folders" : fmt::format("{}", fmt::join(first, ", ")),
      there.size() > most ? fmt::format(" and {} more", there.size() - most) : "");
}

LayoutKind recognise(const fs::path& folder) {
  const auto is_there = [&](const char* name) { return fs::is_directory(folder / name); };
  if (is_there("images") && is_there("annotations/trimaps")) {
    LayoutKind kind{.text = "Oxford-IIIT Pet layout",
                    .places = {{Split::all, "images", "annotations/trimaps"}},
                    .lists = "annotations",
                    .columns = ListColumns::first_word,
                    .trimaps = true};
    if (is_there("masks")) kind.notes.push_back("masks/ is not used: there is annotations/trimaps/");
    return kind;
  }
  if (is_there("JPEGImages") && is_there("SegmentationClass")) {
    return {.text = "Pascal VOC layout",
            .places = {{Split::all, "JPEGImages", "SegmentationClass"}},
            .lists = "ImageSets/Segmentation"};
  }
  const fs::path images = folder_of(folder, kImages), masks = folder_of(folder, kMasks);
  if (!images.empty() && !masks.empty()) {
    std::optional<LayoutKind> splits =
        by_folders(folder, images, [&](const std::string& split) { return std::pair(images / split, masks / split); });
    if (splits) {
      note_beside(folder, {images, masks}, *splits);
      return *std::move(splits);
    }
    return {.text = fmt::format("{}/ and {}/", images.string(), masks.string()),
            .places = {{Split::all, images, masks}}};
  }
  const auto inside = [&](const fs::path& split) {
    const std::string images_in = folder_of(folder / split, kImages), masks_in = folder_of(folder / split, kMasks);
    return std::pair(images_in.empty() ? fs::path() : split / images_in,
                     masks_in.empty() ? fs::path() : split / masks_in);
  };
  if (std::optional<LayoutKind> kind = by_folders(folder, "", inside)) return *std::move(kind);
  const auto annotated = [](const std::string& split) { return std::pair(fs::path(split), fs::path(split + "annot")); };
  if (std::optional<LayoutKind> kind = by_folders(folder, "", annotated)) return *std::move(kind);
  refuse(folder);
}

}  // namespace

LayoutKind recognise_layout(const DatasetOptions& options) {
  const fs::path& folder = options.folder;
  if (!fs::exists(folder)) throw Error("data folder {}: does not exist", folder.string());
  if (!fs::is_directory(folder)) throw Error("data folder {}: is not a folder", folder.string());
  if (options.images.empty()) return recognise(folder);
  for (const fs::path& named : {folder / options.images, folder / options.masks}) {
    if (!fs::is_directory(named)) throw Error("{}: is no folder, expected one of pictures", named.string());
  }
  return {.text = fmt::format("{} with {}", options.images.string(), options.masks.string()),
          .places = {{Split::all, options.images, options.masks}},
          .named = true};
}

}  // namespace unet
