#include "apps/run/outputs.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <string_view>

#include "engine/core/error.h"

namespace unet {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSoftware = "unet.cpp";

bool same_file(const fs::path& a, const fs::path& b) {
  std::error_code none;
  return fs::equivalent(a, b, none);
}

/// Whether `path`, which need not exist, lies in a folder or is it.
bool within(const fs::path& path, const fs::path& folder) {
  std::error_code none;
  for (fs::path at = fs::weakly_canonical(path, none); !at.empty(); at = at.parent_path()) {
    if (same_file(at, folder)) return true;
    if (at == at.root_path()) return false;
  }
  return false;
}

bool holds(const fs::path& folder, const fs::path& file) {
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (same_file(entry->path(), file)) return true;
  }
  return false;
}

}  // namespace

bool is_standard_output(const std::string& path) {
  if (path == "-") return true;
  struct stat screen {
  }, file{};
  return ::fstat(STDOUT_FILENO, &screen) == 0 && ::stat(path.c_str(), &file) == 0 && screen.st_dev == file.st_dev &&
         screen.st_ino == file.st_ino;
}

void require_no_input(const std::string& option, const fs::path& output, const std::vector<fs::path>& inputs) {
  for (const fs::path& input : inputs) {
    const bool folder = fs::is_directory(input);
    if (!same_file(output, input) &&
        !(folder && (within(output, input) || (fs::exists(output) && holds(input, output)))))
      continue;
    throw Error("{} {} would write over what is read: it {} {}; name another place", option, output.string(),
                folder ? "lies in" : "is", input.string());
  }
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error || !fs::is_directory(folder, error)) {
    throw Error("cannot make the folder {}: {}", folder.string(), error ? error.message() : "it is not a folder");
  }
}

PngOptions picture_options(std::vector<Rgb> palette) { return {true, std::move(palette), kSoftware}; }

void write_picture(const fs::path& path, const Image& image, std::vector<Rgb> palette) {
  write_file(path, encode_png(image, picture_options(std::move(palette))));
}

void write_picture(const fs::path& path, int width, int height, const std::vector<std::uint16_t>& values) {
  write_file(path, encode_png(width, height, values, picture_options({})));
}

bool is_our_picture(const fs::path& path) {
  std::error_code none;
  if (!fs::is_regular_file(path, none)) return false;  // a pipe would block
  std::array<char, 2048> head{};                       // the text follows the palette
  std::ifstream file(path, std::ios::binary);
  file.read(head.data(), head.size());
  const std::string_view text(head.data(), static_cast<std::size_t>(file.gcount()));
  return text.starts_with("\x89PNG") && text.find(std::string("tEXtSoftware") + '\0' + kSoftware) != text.npos;
}

void require_replaceable(const fs::path& path) {
  if (!fs::exists(path) || is_our_picture(path)) return;
  throw Error("{} is there and was not made by this program: name another folder, or move it away", path.string());
}

}  // namespace unet
