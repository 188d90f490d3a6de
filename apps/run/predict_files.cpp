#include "apps/run/predict_files.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "apps/run/outputs.h"
#include "engine/core/error.h"

namespace unet {
namespace {

namespace fs = std::filesystem;

bool looks_like_image(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return ending == ".jpg" || ending == ".jpeg" || ending == ".png";
}

/// Adds what a folder holds; its outputs go into `output`.
void search(const fs::path& folder, const fs::path& output, PredictFiles& found) {
  std::error_code error;
  std::vector<fs::directory_entry> entries;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (!entry->path().filename().string().starts_with('.')) entries.push_back(*entry);
  }
  if (error) found.unread.push_back(fmt::format("{}: cannot read the folder: {}", folder.string(), error.message()));
  std::sort(entries.begin(), entries.end());
  for (const fs::directory_entry& entry : entries) {
    std::error_code none;
    const fs::path& path = entry.path();
    if (entry.is_directory(none)) {
      if (!entry.is_symlink(none)) search(path, output / path.filename(), found);
    } else if (!looks_like_image(path)) {
      if (found.others++ == 0) found.first_other = path;
    } else if (is_our_picture(path)) {
      ++found.made_here;
    } else {
      found.files.push_back({path, output / path.stem()});
    }
  }
}

/// Leaves one of two that are the same file.
void require_outputs_of_their_own(std::vector<PredictFile>& files) {
  std::map<fs::path, fs::path> input_of;
  std::erase_if(files, [&](const PredictFile& file) {
    const auto [other, is_new] = input_of.emplace(file.base.lexically_normal(), file.input);
    std::error_code none;
    if (is_new) return false;
    if (fs::equivalent(other->second, file.input, none)) return true;
    throw Error(
        "two of the images are named \"{}\", {} and {}; their masks would overwrite each other. Predict them into two "
        "folders.",
        file.base.filename().string(), other->second.string(), file.input.string());
  });
}

}  // namespace

PredictFiles find_pictures(const std::vector<std::string>& inputs, const fs::path& output) {
  PredictFiles found;
  for (const std::string& input : inputs) {
    if (!fs::exists(input)) throw Error("{}: there is no such image or folder", input);
    const std::size_t before = found.files.size() + found.unread.size();
    const std::int64_t made_before = found.made_here;
    if (fs::is_directory(input)) {
      search(input, output, found);
      if (found.files.size() + found.unread.size() > before) continue;
      throw Error("{}: the folder holds no .jpg, .jpeg or .png{}", input,
                  found.made_here > made_before ? " but such as this program made" : "");
    }
    if (is_our_picture(input)) {
      ++found.made_here;
    } else {
      found.files.push_back({input, output / fs::path(input).stem()});
    }
  }
  if (found.files.empty() && found.unread.empty()) {
    throw Error("{}: all inputs are pictures that this program made; name photographs", inputs.front());
  }
  require_outputs_of_their_own(found.files);
  return found;
}

}  // namespace unet
