// How much the pictures that are under way may take together, from a thread that reads them to one that is done with
// them.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace unet {

class Room {
 public:
  explicit Room(std::size_t most_bytes) : most_bytes_(most_bytes) {}

  /// Waits for room (where nothing is under way, anything may begin). False where nobody will be done any more.
  bool take(std::size_t bytes) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ || taken_ == 0 || taken_ + bytes <= most_bytes_; });
    if (!closed_) taken_ += bytes;
    return !closed_;
  }
  void give_back(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    taken_ -= bytes;
    changed_.notify_all();
  }
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  const std::size_t most_bytes_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t taken_ = 0;
  bool closed_ = false;
};

}  // namespace unet
