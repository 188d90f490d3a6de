#include "apps/run/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>

#include "engine/core/error.h"
#include "engine/core/text.h"

namespace unet {
namespace {

/// What the holder wrote about itself.
std::string holder(int descriptor) {
  char text[256];
  const ssize_t size = ::pread(descriptor, text, sizeof text, 0);
  if (size <= 0) return "another process";
  std::string_view line(text, static_cast<std::size_t>(size));
  return printable(line.substr(0, line.find('\n')));
}

std::string this_process() {
  std::array<char, 128> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  return fmt::format("process {} on {}\n", ::getpid(), host.data());
}

/// Whether the open file is still the one of this name.
bool is_at(int descriptor, const std::filesystem::path& path) {
  struct stat open {
  }, named{};
  return ::fstat(descriptor, &open) == 0 && ::stat(path.c_str(), &named) == 0 && open.st_ino == named.st_ino &&
         open.st_dev == named.st_dev;
}

}  // namespace

RunLock::~RunLock() {
  if (descriptor_ < 0) return;
  ::unlink(path_.c_str());  // while it is held: whoever opened it meanwhile sees that it is not there any more
  ::close(descriptor_);
}

void RunLock::take(const std::filesystem::path& folder) {
  if (descriptor_ >= 0) return;
  path_ = folder / "run.lock";
  // A process that was killed a moment ago may still be on its way out.
  constexpr int kTries = 20;
  constexpr std::chrono::milliseconds kBetween{50};
  for (int tries = 1;; ++tries) {
    const int descriptor = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (descriptor < 0) {
      const int fault = errno;
      throw Error(
          "the output folder {} is not writable: cannot make {}: {}; look at the disk and at the folder's rights, "
          "or choose another with --output",
          folder.string(), path_.string(), std::strerror(fault));
    }
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      const int fault = errno;
      const std::string who = holder(descriptor);
      ::close(descriptor);
      if (fault == EWOULDBLOCK && tries < kTries) {
        std::this_thread::sleep_for(kBetween);
        continue;
      }
      if (fault == EWOULDBLOCK) {
        throw Error(
            "the folder {} is in use by {}: a run belongs to one process; wait for its end, stop it, or choose "
            "another folder with --output",
            folder.string(), who);
      }
      throw Error("cannot lock {}: {}; put the run on a file system with locks", path_.string(), std::strerror(fault));
    }
    if (!is_at(descriptor, path_)) {  // its last owner took it away between our two calls
      ::close(descriptor);
      continue;
    }
    const std::string text = this_process();
    // Only for the message of a second process: that the disk is full is told by the first file of the run.
    if (::ftruncate(descriptor, 0) == 0) static_cast<void>(!::pwrite(descriptor, text.data(), text.size(), 0));
    descriptor_ = descriptor;
    return;
  }
}

}  // namespace unet
