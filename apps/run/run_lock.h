// A run's folder belongs to one process at a time.
#pragma once

#include <filesystem>

namespace unet {

/// flock on `run.lock` of a folder, held until the end of the object or of the process; a file that a killed process
/// left behind locks nothing.
class RunLock {
 public:
  RunLock() = default;
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

  /// Takes the folder, unless this object holds it already. Throws Error naming the process that does, or if the file
  /// system knows no locks.
  void take(const std::filesystem::path& folder);

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace unet
