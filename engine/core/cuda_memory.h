// The CUDA side of device_memory.h and device.h; built only with the CUDA back end.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "engine/core/device.h"
#include "engine/core/pool.h"
#include "kernels/cuda/runtime.h"

namespace unet::cuda_memory {

Pool& device_pool();
/// Host memory that the device can read and write while the host goes on.
Pool& pinned_pool();

/// Pinned memory and the point in the stream after which the device no longer touches it.
class Staged {
 public:
  explicit Staged(std::size_t bytes);
  ~Staged();
  Staged(Staged&& other) noexcept;
  Staged(const Staged&) = delete;
  Staged& operator=(const Staged&) = delete;

  std::byte* data() const { return static_cast<std::byte*>(block_); }
  /// All that concerns this memory has been queued.
  void mark() { kernels::cuda::runtime().record(event_); }
  bool passed() const { return kernels::cuda::runtime().passed(event_); }
  void wait() const { kernels::cuda::runtime().wait(event_); }

 private:
  void* block_;
  kernels::cuda::Event event_ = nullptr;
};

void upload(void* to, const void* from, std::size_t bytes);
/// New memory of the device that holds a copy of host bytes. Up to 32 MiB the copy is made beside the stream: it waits
/// for nothing that is queued, as the next step's batch need not wait for the step under way.
std::shared_ptr<void> uploaded(const void* from, std::size_t bytes);
/// Waits for the device and gives back what uploads no longer need.
void synchronize();
/// Seconds on the device of one call of work, of `calls` in a row. Waits for them.
double seconds_of(int calls, const std::function<void()>& work);
DeviceChoice choose();  // the device, or the CPU with the reason

}  // namespace unet::cuda_memory
