// Files that are either the old one or the new one, complete, whatever happens in between: a temporary name in the same
// folder, write, fsync, rename, fsync of the folder. Nothing is lost in silence: every call's result is looked at,
// close included.
#pragma once

#include <sys/statvfs.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

namespace unet {

/// The calls by which every file but a run's lock is written. A test replaces entries to see each call fail.
struct FileCalls {
  int (*open)(const char* path, int flags, mode_t mode);
  int (*flock)(int descriptor, int operation);
  ssize_t (*write)(int descriptor, const void* data, std::size_t bytes);
  int (*ftruncate)(int descriptor, off_t length);
  int (*fsync)(int descriptor);
  int (*close)(int descriptor);
  int (*link)(const char* from, const char* to);
  int (*rename)(const char* from, const char* to);
  int (*unlink)(const char* path);
  int (*statvfs)(const char* path, struct statvfs* result);
};
FileCalls& file_calls();

/// Opens for writing, close-on-exec, mode 0666 less the umask. Throws unet::Error naming the path and what to do.
int open_for_writing(const std::filesystem::path& path, int flags);

/// Writes all bytes or throws unet::Error; where the disk is full the message tells bytes_needed and the bytes free.
void write_all(int descriptor, const std::filesystem::path& path, const void* data, std::size_t bytes,
               std::uint64_t bytes_needed);

/// Throws unet::Error if the bytes did not reach the disk, or may not have.
void sync_file(int descriptor, const std::filesystem::path& path);
void close_file(int descriptor, const std::filesystem::path& path);

/// rename(2). Throws unet::Error naming both.
void rename_file(const std::filesystem::path& from, const std::filesystem::path& to);

/// After this, renames within the folder survive a power cut. Throws unet::Error if they may not.
void sync_folder(const std::filesystem::path& folder);

/// A file that appears under its name only by commit(). Until then, and if commit() throws before its rename, the old
/// file stays and the temporary `<name>.tmp-<process>-<number>` is removed by the destructor; one left by a killed
/// process is removed when the same file is next written. A link is followed. What exists and is no regular file (a
/// device, a pipe) is written directly.
class DurableFile {
 public:
  /// What a committed file is secured against. `process` costs no wait for the disk, as suits pictures, which can be
  /// made again; what a killed process left is not looked for then.
  enum class Outlives { process, power_cut };

  /// bytes_needed: the size the file will have, for the message when the disk is full; 0 if unknown.
  explicit DurableFile(const std::filesystem::path& path, std::uint64_t bytes_needed = 0,
                       Outlives outlives = Outlives::power_cut);
  ~DurableFile();
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;  // empty: written directly, or already renamed
  int descriptor_ = -1;
  Outlives outlives_;
  std::uint64_t bytes_needed_ = 0;
  std::uint64_t bytes_written_ = 0;
};

/// The durable file `file` under a second name in its folder, in place of what has that name, as durably as if it had
/// been written there. False, and nothing has changed, where that cannot be: the file system has no hard links, or what
/// has the name is no file. Throws unet::Error, the old file intact, if the name cannot be replaced.
bool link_durably(const std::filesystem::path& file, const std::filesystem::path& name);

/// The name of the file that a temporary `<name>.tmp-<process>-<number>` was to become; of any other file its own.
std::string_view name_without_temporary(std::string_view name);

void write_file_durably(const std::filesystem::path& path, std::string_view content);

}  // namespace unet
