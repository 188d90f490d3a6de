// A file that others made, open for reading.
#pragma once

#include <cstdint>
#include <filesystem>

namespace unet {

class InputFile {
 public:
  /// Throws unet::Error naming the path and the reason; what is no regular file is refused, and never waited for.
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Bytes, as they were when it was opened.
  std::uint64_t size() const { return size_; }
  /// Copies `bytes` from `offset` on. Safe from several threads. Throws unet::Error where the file ends before them.
  void read(void* destination, std::uint64_t bytes, std::uint64_t offset) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace unet
