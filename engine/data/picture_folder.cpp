#include "engine/data/picture_folder.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <numeric>
#include <string_view>
#include <tuple>

#include "engine/core/error.h"
#include "engine/core/nearest.h"
#include "engine/core/text.h"

namespace unet {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestFileName = 255;  // of a file, in bytes
constexpr std::array<std::string_view, 3> kDecoded{".jpg", ".jpeg", ".png"};
constexpr std::array<std::string_view, 14> kNotDecoded{".tif", ".tiff", ".bmp",  ".webp", ".gif", ".jp2", ".jxl",
                                                       ".ppm", ".pgm",  ".heic", ".avif", ".tga", ".dcm", ".jfif"};

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

template <std::size_t count>
bool is_one_of(const fs::path& path, const std::array<std::string_view, count>& endings) {
  return std::find(endings.begin(), endings.end(), lower(path.extension().string())) != endings.end();
}

std::string digits_of(const std::string& text) {
  std::string digits;
  std::copy_if(text.begin(), text.end(), std::back_inserter(digits), [](unsigned char c) { return std::isdigit(c); });
  return digits;
}

/// Whether the longer text begins or ends with the other, and no letter or digit follows or precedes it there.
bool extends(std::string_view longer, std::string_view other) {
  if (longer.size() <= other.size()) return false;
  const auto apart = [&](std::size_t at) { return !std::isalnum(static_cast<unsigned char>(longer[at])); };
  return (longer.starts_with(other) && apart(other.size())) ||
         (longer.ends_with(other) && apart(longer.size() - other.size() - 1));
}

}  // namespace

void Tally::add(const std::string& name, std::int64_t times) {
  if (count == 0 || name < first) first = name;
  count += times;
}

void Tally::note(const std::string& what, std::vector<std::string>& notes) const {
  if (count > 0) notes.push_back(fmt::format("{}: {}, the first: {}", what, count, printable(first)));
}

std::string PictureFolder::stem_of(const std::string& listed) const {
  const std::string stem = fs::path(listed).stem().string();
  for (const Pictures* known : {&pictures, &not_decoded}) {
    if (known->contains(listed)) return listed;
    const auto found = known->find(stem);
    if (found != known->end() && found->second.filename() == listed) return stem;
  }
  return {};
}

bool leads_out(const fs::path& path, const fs::path& root) {
  std::error_code code;
  const fs::path real = fs::canonical(path, code);
  if (code) throw Error("{}: cannot be followed: {}", path.string(), code.message());
  const auto [root_end, unused] = std::mismatch(root.begin(), root.end(), real.begin(), real.end());
  return root_end != root.end();
}

void check_inside(const fs::path& path, const fs::path& root) {
  if (!leads_out(path, root)) return;
  throw Error(
      "{}: a link to {}, which lies outside the data folder {}: copy the file or the folder there, or let links be "
      "followed (--follow-links)",
      path.string(), fs::canonical(path).string(), root.string());
}

PictureFolder list_pictures(const fs::path& folder, const fs::path& name, const fs::path& root, bool follow_links,
                            Leftovers& leftovers) {
  PictureFolder out;
  out.path = folder / name;
  const auto look_at_link = [&](const fs::path& path) {
    if (!follow_links) check_inside(path, root);
    if (leads_out(path, root)) leftovers.links.add(path.lexically_relative(folder).string());
  };
  look_at_link(out.path);
  for (const fs::directory_entry& entry : fs::directory_iterator(out.path)) {
    const fs::path& path = entry.path();
    const std::string seen = (name / path.filename()).string();
    std::error_code dangling;
    if (path.filename().string().starts_with('.')) {
      leftovers.hidden.add(seen);
    } else if (entry.is_directory(dangling)) {
      leftovers.folders.add(seen);
    } else if (is_one_of(path, kNotDecoded)) {
      leftovers.not_decoded.add(seen);
      out.not_decoded.emplace(path.stem().string(), path);
    } else if (!is_one_of(path, kDecoded)) {
      leftovers.no_pictures.add(seen);
    } else {
      if (entry.is_symlink()) look_at_link(path);
      const auto [other, is_new] = out.pictures.emplace(path.stem().string(), path);
      if (is_new) continue;
      const auto [first, second] = std::minmax({other->second.string(), path.string()});  // folders have no order
      throw Error("{}: has the stem of {}, expected one picture for a name: remove one", second, first);
    }
  }
  return out;
}

fs::path nearest(const std::string& stem, const PictureFolder& folder, const Pictures& partners) {
  if (stem.size() > kLongestFileName) return {};
  const std::string wanted = lower(stem), digits = digits_of(stem);
  std::tuple<std::size_t, fs::path> best{kLongestFileName + 1, {}};
  for (const Pictures* known : {&folder.pictures, &folder.not_decoded}) {
    for (const auto& [other, path] : *known) {
      if (digits_of(other) != digits || partners.contains(other)) continue;
      const std::string candidate = lower(other);
      const std::size_t distance = edit_distance(wanted, candidate);
      if (!digits.empty() || distance <= 2 || extends(candidate, wanted) || extends(wanted, candidate)) {
        best = std::min(best, {distance, path});
      }
    }
  }
  return std::get<fs::path>(best);
}

}  // namespace unet
