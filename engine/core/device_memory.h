// Bytes between host and device, and the pools they lie in.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "engine/core/device.h"
#include "engine/core/pool.h"

namespace unet {

/// The pool of a device's memory.
Pool& pool_of(Device device);
/// Gives cached memory of a device back to the system, that of copies under way included once they are done.
void trim(Device device);

/// Host bytes to a device. The host's may change as soon as this returns; the device has not received them yet, but
/// whatever it is asked next has.
void upload(void* to, Device device, const void* from, std::size_t bytes);
/// New memory of a device with a copy of host bytes, likewise; a GPU makes it beside what it does.
std::shared_ptr<void> uploaded(Device device, const void* from, std::size_t bytes);
/// A device's bytes to the host, which waits for them.
void download(void* to, const void* from, Device device, std::size_t bytes);
/// Within a device.
void copy_bytes(void* to, const void* from, Device device, std::size_t bytes);
void zero_bytes(void* to, Device device, std::size_t bytes);

namespace cuda_memory {
class Staged;
}

/// Device bytes on their way to the host while the host goes on: a read-back that waits as late as it can.
class ReadBack {
 public:
  explicit ReadBack(Device device) : device_(device) {}

  /// Begins, once what was on its way has been waited for. Asks for memory if it never had room for `bytes` bytes.
  void begin(std::size_t bytes);
  /// Appends bytes of the device.
  void add(const void* from, std::size_t bytes);
  /// No more will be added.
  void finish();
  /// All that was added, in order, once it has arrived; the caller's to change until the next begin(). Any thread.
  std::byte* wait();

 private:
  Device device_;
  std::vector<std::byte> host_;                  // of the CPU
  std::shared_ptr<cuda_memory::Staged> staged_;  // of a device
  std::size_t room_ = 0, filled_ = 0;
};

}  // namespace unet
