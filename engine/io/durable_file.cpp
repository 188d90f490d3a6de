#include "engine/io/durable_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

#include "engine/core/error.h"

namespace unet {
namespace {

namespace fs = std::filesystem;

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

const char* remedy(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return "free some space or write to another disk";
    case EROFS:
    case EACCES:
    case EPERM:
      return "choose a folder that you may write to";
    case ENOENT:
      return "make the folder first, or name another";
    case ENOTDIR:
      return "a part of the path is not a folder; name another";
    case EISDIR:
      return "that is a folder; name a file";
    case EMFILE:
    case ENFILE:
      return "too many files are open; raise `ulimit -n`";
    default:
      return "look at the disk and at the rights of the folder";
  }
}

// `action` says what failed; errno is passed because the calls below would change it.
[[noreturn]] void throw_file_error(const char* action, const fs::path& path, int error, std::uint64_t bytes_needed) {
  std::string message =
      fmt::format("cannot {} \"{}\": {}", action, path.string(), std::generic_category().message(error));
  if (error == ENOSPC || error == EDQUOT) {
    struct statvfs disk {};
    const bool known = file_calls().statvfs(folder_of(path).c_str(), &disk) == 0;
    // Some file systems count no files at all: f_files is 0 there.
    if (known && error == ENOSPC && disk.f_files > 0 && disk.f_favail == 0 && disk.f_bavail > 0) {
      throw Error(
          "{}; the disk has room for bytes, but not for another file: all of its {} inodes are taken; remove "
          "files that you do not need or write to another disk",
          message, disk.f_files);
    }
    message += fmt::format("; {} bytes needed", bytes_needed);
    if (known) message += fmt::format(", {} bytes free", static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize);
  }
  throw Error("{}; {}", message, remedy(error));
}

int open_retrying(const char* path, int flags) {
  int descriptor;
  do {
    descriptor = file_calls().open(path, flags | O_CLOEXEC, 0666);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

// Some file systems and all devices refuse fsync with EINVAL: they have nothing to sync.
bool sync_failed(int descriptor) {
  int result;
  do {
    result = file_calls().fsync(descriptor);
  } while (result != 0 && errno == EINTR);
  return result != 0 && errno != EINVAL;
}

fs::path temporary_of(fs::path path) {
  static std::atomic<unsigned> number{0};
  path += fmt::format(".tmp-{}-{}", ::getpid(), number++);
  return path;
}

// A writer holds a lock on its temporary, which dies with the process: an unlocked one belongs to nobody. Best effort:
// a temporary that cannot be removed harms nobody.
void remove_stale_temporaries(const fs::path& path) {
  const std::string file = path.filename().string();
  std::error_code ignored;
  for (fs::directory_iterator entry(folder_of(path), ignored), end; entry != end; entry.increment(ignored)) {
    const std::string name = entry->path().filename().string();
    if (name == file || name_without_temporary(name) != file) continue;
    const int descriptor = open_retrying(entry->path().c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (descriptor < 0) continue;
    if (file_calls().flock(descriptor, LOCK_EX | LOCK_NB) == 0) file_calls().unlink(entry->path().c_str());
    file_calls().close(descriptor);
  }
}

}  // namespace

FileCalls& file_calls() {
  static FileCalls calls = {[](const char* path, int flags, mode_t mode) { return ::open(path, flags, mode); },
                            ::flock,
                            ::write,
                            ::ftruncate,
                            ::fsync,
                            ::close,
                            ::link,
                            ::rename,
                            ::unlink,
                            ::statvfs};
  return calls;
}

int open_for_writing(const fs::path& path, int flags) {
  const int descriptor = open_retrying(path.c_str(), flags);
  if (descriptor < 0) throw_file_error("create", path, errno, 0);
  return descriptor;
}

void write_all(int descriptor, const fs::path& path, const void* data, std::size_t bytes, std::uint64_t bytes_needed) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = file_calls().write(descriptor, next, bytes);
    if (written < 0 && errno == EINTR) continue;
    // A regular file that takes no byte has no room; POSIX leaves errno unset then.
    if (written <= 0) throw_file_error("write", path, written < 0 ? errno : ENOSPC, bytes_needed);
    next += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

void sync_file(int descriptor, const fs::path& path) {
  if (sync_failed(descriptor)) throw_file_error("write to disk", path, errno, 0);
}

void close_file(int descriptor, const fs::path& path) {
  // Linux has closed the descriptor even where it reports EINTR; a second close could hit another file.
  if (file_calls().close(descriptor) != 0 && errno != EINTR) throw_file_error("close", path, errno, 0);
}

void sync_folder(const fs::path& folder) {
  const int descriptor = open_retrying(folder.c_str(), O_RDONLY | O_DIRECTORY);
  if (descriptor < 0) throw_file_error("open the folder", folder, errno, 0);
  const int error = sync_failed(descriptor) ? errno : 0;
  file_calls().close(descriptor);
  if (error != 0) throw_file_error("write to disk the folder", folder, error, 0);
}

DurableFile::DurableFile(const fs::path& path, std::uint64_t bytes_needed, Outlives outlives)
    : path_(path), outlives_(outlives), bytes_needed_(bytes_needed) {
  std::error_code ignored;
  if (fs::is_symlink(path_, ignored)) {
    const fs::path target = fs::canonical(path_, ignored);
    if (!ignored) path_ = target;
  }
  const fs::file_status status = fs::status(path_, ignored);
  if (fs::is_directory(status)) throw_file_error("write", path_, EISDIR, 0);
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    descriptor_ = open_for_writing(path_, O_WRONLY);
    return;
  }
  if (outlives_ == Outlives::power_cut) remove_stale_temporaries(path_);
  fs::path temporary = temporary_of(path_);
  descriptor_ = open_retrying(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL);
  if (descriptor_ < 0) throw_file_error("write", path_, errno, bytes_needed_);
  temporary_ = std::move(temporary);
  // Where locks do not exist the temporary is merely unprotected from a second writer of the same file.
  file_calls().flock(descriptor_, LOCK_EX | LOCK_NB);
}

DurableFile::~DurableFile() {
  if (descriptor_ >= 0) file_calls().close(descriptor_);
  if (!temporary_.empty()) file_calls().unlink(temporary_.c_str());
}

void DurableFile::write(const void* data, std::size_t bytes) {
  bytes_written_ += bytes;
  write_all(descriptor_, path_, data, bytes, bytes_needed_ > bytes_written_ ? bytes_needed_ : bytes_written_);
}

void DurableFile::commit() {
  const bool lasting = outlives_ == Outlives::power_cut;
  if (lasting && sync_failed(descriptor_)) throw_file_error("write", path_, errno, bytes_written_);
  const int descriptor = descriptor_;
  descriptor_ = -1;
  if (file_calls().close(descriptor) != 0 && errno != EINTR) throw_file_error("write", path_, errno, bytes_written_);
  if (temporary_.empty()) return;
  if (file_calls().rename(temporary_.c_str(), path_.c_str()) != 0) throw_file_error("replace", path_, errno, 0);
  temporary_.clear();
  if (lasting) sync_folder(folder_of(path_));
}

bool link_durably(const fs::path& file, const fs::path& name) {
  std::error_code ignored;
  const fs::file_status there = fs::symlink_status(name, ignored);
  if (fs::exists(there) && !fs::is_regular_file(there)) return false;
  remove_stale_temporaries(name);
  if (!fs::equivalent(file, name, ignored)) {  // else rename would leave both names
    const fs::path temporary = temporary_of(name);
    if (file_calls().link(file.c_str(), temporary.c_str()) != 0) return false;
    if (file_calls().rename(temporary.c_str(), name.c_str()) != 0) {
      const int error = errno;
      file_calls().unlink(temporary.c_str());
      throw_file_error("replace", name, error, 0);
    }
  }
  sync_folder(folder_of(name));
  return true;
}

void rename_file(const fs::path& from, const fs::path& to) {
  if (file_calls().rename(from.c_str(), to.c_str()) == 0) return;
  throw Error("cannot rename {} to {}: {}; look at the disk and at the rights of the folder", from.string(),
              to.string(), std::generic_category().message(errno));
}

std::string_view name_without_temporary(std::string_view name) {
  const std::size_t mark = name.rfind(".tmp-");
  const bool temporary = mark != name.npos && name.find_first_not_of("0123456789-", mark + 5) == name.npos;
  return temporary ? name.substr(0, mark) : name;
}

void write_file_durably(const fs::path& path, std::string_view content) {
  DurableFile file(path, content.size());
  file.write(content.data(), content.size());
  file.commit();
}

}  // namespace unet
