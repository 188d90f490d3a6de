#include "engine/data/layout.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <unordered_map>

#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/data/list_file.h"

namespace unet {
namespace {

namespace fs = std::filesystem;

std::size_t index_of(Split split) { return static_cast<std::size_t>(split); }

bool is_picture(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

/// Refuses a link that leads out of the data folder: a data set names its own files and no others.
void check_inside(const fs::path& path, const fs::path& root) {
  std::error_code code;
  const fs::path real = fs::canonical(path, code);
  if (code) throw Error("{}: cannot be followed: {}", path.string(), code.message());
  const auto [root_end, unused] = std::mismatch(root.begin(), root.end(), real.begin(), real.end());
  if (root_end == root.end()) return;
  throw Error("{}: a link to {}, which lies outside the data folder {}: copy the file or the folder there",
              path.string(), real.string(), root.string());
}

/// A folder's pictures by stem, in the order of the stems; hidden files (the `._` files of some archives) are left out.
using Pictures = std::map<std::string, fs::path>;

Pictures list_pictures(const fs::path& folder, const fs::path& root) {
  check_inside(folder, root);
  Pictures pictures;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const fs::path& path = entry.path();
    if (path.filename().string().starts_with('.') || !is_picture(path)) continue;
    if (entry.is_symlink()) check_inside(path, root);
    const auto [other, is_new] = pictures.emplace(path.stem().string(), path);
    if (!is_new) {
      const auto [first, second] = std::minmax({other->second.string(), path.string()});  // folders have no order
      throw Error("{}: has the stem of {}, expected one picture for a name: remove one", second, first);
    }
  }
  return pictures;
}

struct Folders {
  fs::path root, images_folder, masks_folder;
  Pictures images, masks;

  Folders(const fs::path& folder, const fs::path& images_at, const fs::path& masks_at)
      : root(fs::canonical(folder)), images_folder(folder / images_at), masks_folder(folder / masks_at) {
    images = list_pictures(images_folder, root);
    masks = list_pictures(masks_folder, root);
  }

  Sample pair(const std::string& name, const std::string& where) const {
    const auto image = images.find(name);
    const auto mask = masks.find(name);
    if (image == images.end()) missing(name, where, images_folder, "photograph", ".jpg");
    if (mask == masks.end()) missing(name, where, masks_folder, "mask", ".png");
    return {name, image->second, mask->second, where};
  }

 private:
  [[noreturn]] static void missing(const std::string& name, const std::string& where, const fs::path& folder,
                                   const char* what, const char* extension) {
    throw Error("{}: \"{}\" has no {}: {} is missing: add the file or take the name off", where, name, what,
                (folder / (name + extension)).string());
  }
};

std::vector<Sample> listed_pairs(const fs::path& list, ListColumns columns, const Folders& folders) {
  check_inside(list, folders.root);
  std::vector<Sample> samples;
  read_list(list, columns, [&](std::string_view name, int line) {
    samples.push_back(folders.pair(std::string(name), fmt::format("{}:{}", list.string(), line)));
  });
  if (samples.empty()) throw Error("{}: names no pictures, expected a name on each line", list.string());
  return samples;
}

void check_apart(std::initializer_list<const std::vector<Sample>*> lists) {
  std::unordered_map<std::string_view, const Sample*> seen;
  for (const std::vector<Sample>* list : lists) {
    for (const Sample& sample : *list) {
      const auto [other, is_new] = seen.emplace(sample.name, &sample);
      if (is_new) continue;
      throw Error("{}: \"{}\" stands at {} too: pictures of one split must not be in another", sample.listed_at,
                  sample.name, other->second->listed_at);
    }
  }
}

Layout oxford_layout(const fs::path& folder) {
  const Folders folders(folder, "images", fs::path("annotations") / "trimaps");
  const fs::path annotations = folder / "annotations";
  Layout layout;
  layout.oxford = true;
  std::vector<Sample>& trainval = layout.lists[index_of(Split::trainval)];
  trainval = listed_pairs(annotations / "trainval.txt", ListColumns::first_word, folders);
  for (std::size_t i = 0; i < trainval.size(); ++i) {
    layout.lists[index_of(i % 10 == 0 ? Split::val : Split::train)].push_back(trainval[i]);
  }
  std::vector<Sample>& test = layout.lists[index_of(Split::test)];
  if (fs::exists(annotations / "test.txt")) {
    test = listed_pairs(annotations / "test.txt", ListColumns::first_word, folders);
  }
  check_apart({&trainval, &test});
  return layout;
}

/// FNV-1a (Fowler, Noll, Vo), mixed so that its last decimal digit is fair.
std::uint64_t stem_hash(std::string_view stem) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : stem) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return mix64(hash);
}

Split split_by_hash(std::string_view stem) {
  const std::uint64_t tenth = stem_hash(stem) % 10;
  return tenth < 8 ? Split::train : tenth == 8 ? Split::val : Split::test;
}

Layout stem_layout(const fs::path& folder) {
  const Folders folders(folder, "images", "masks");
  Layout layout;
  bool listed = false;
  for (const Split split : {Split::train, Split::val, Split::test}) {
    const fs::path list = folder / (std::string(name_of(split)) + ".txt");
    if (!fs::exists(list)) continue;
    layout.lists[index_of(split)] = listed_pairs(list, ListColumns::whole_line, folders);
    listed = true;
  }
  if (!listed) {
    for (const auto& [stem, path] : folders.images) {
      layout.lists[index_of(split_by_hash(stem))].push_back(folders.pair(stem, path.string()));
    }
    for (const auto& [stem, path] : folders.masks) folders.pair(stem, path.string());
    if (folders.images.empty()) {
      throw Error("{}: holds no pictures, expected .jpg, .jpeg or .png files", folders.images_folder.string());
    }
  }
  auto& [train, val, trainval, test] = layout.lists;
  check_apart({&train, &val, &test});
  trainval = train;
  trainval.insert(trainval.end(), val.begin(), val.end());
  return layout;
}

}  // namespace

Layout find_layout(const fs::path& folder) {
  if (!fs::exists(folder)) throw Error("data folder {}: does not exist", folder.string());
  if (!fs::is_directory(folder)) throw Error("data folder {}: is not a folder", folder.string());
  const bool images = fs::is_directory(folder / "images");
  if (images && fs::is_directory(folder / "annotations" / "trimaps")) {
    if (!fs::exists(folder / "annotations" / "trainval.txt")) {
      throw Error("{}: is missing, expected the names of the pictures to train on, one a line",
                  (folder / "annotations" / "trainval.txt").string());
    }
    return oxford_layout(folder);
  }
  if (images && fs::is_directory(folder / "masks")) return stem_layout(folder);
  throw Error(
      "data folder {}: expected images/ with annotations/trimaps/ and annotations/trainval.txt (Oxford-IIIT Pet), "
      "or images/ with masks/ of the same stems",
      folder.string());
}

}  // namespace unet
