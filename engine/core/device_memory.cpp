#include "engine/core/device_memory.h"

#include <cstring>

#include "engine/core/cuda_memory.h"
#include "engine/core/dispatch.h"

namespace unet {

using kernels::cuda::runtime;

// What stands under `if constexpr (kHasCuda)` is not compiled into a program without CUDA, which never makes a device
// but the CPU.

Pool& pool_of(Device device) {
  if constexpr (kHasCuda) {
    if (!device.is_cpu()) return cuda_memory::device_pool();
  }
  return cpu_pool();
}

void trim(Device device) {
  if constexpr (kHasCuda) {
    if (!device.is_cpu()) {
      cuda_memory::synchronize();
      cuda_memory::pinned_pool().trim();
    }
  }
  pool_of(device).trim();
}

void synchronize(Device device) {
  if constexpr (kHasCuda) {
    if (!device.is_cpu()) cuda_memory::synchronize();
  }
}

void upload(void* to, Device device, const void* from, std::size_t bytes) {
  if (device.is_cpu()) {
    std::memcpy(to, from, bytes);
  } else if constexpr (kHasCuda) {
    cuda_memory::upload(to, from, bytes);
  }
}

std::shared_ptr<void> uploaded(Device device, const void* from, std::size_t bytes) {
  if constexpr (kHasCuda) {
    if (!device.is_cpu()) return cuda_memory::uploaded(from, bytes);
  }
  std::shared_ptr<void> out = cpu_pool().shared(bytes);
  std::memcpy(out.get(), from, bytes);
  return out;
}

void download(void* to, const void* from, Device device, std::size_t bytes) {
  if (device.is_cpu()) {
    std::memcpy(to, from, bytes);
  } else if constexpr (kHasCuda) {
    runtime().copy_to_host(to, from, bytes);
    runtime().synchronize();
  }
}

void copy_bytes(void* to, const void* from, Device device, std::size_t bytes) {
  if (device.is_cpu()) {
    std::memcpy(to, from, bytes);
  } else if constexpr (kHasCuda) {
    runtime().copy_on_device(to, from, bytes);
  }
}

void zero_bytes(void* to, Device device, std::size_t bytes) {
  if (device.is_cpu()) {
    std::memset(to, 0, bytes);
  } else if constexpr (kHasCuda) {
    runtime().fill_bytes(to, 0, bytes);
  }
}

void ReadBack::begin(std::size_t bytes) {
  filled_ = 0;
  if (bytes <= room_) return;
  if (device_.is_cpu()) {
    host_.resize(bytes);
  } else if constexpr (kHasCuda) {
    staged_ = std::make_shared<cuda_memory::Staged>(bytes);
  }
  room_ = bytes;
}

void ReadBack::add(const void* from, std::size_t bytes) {
  if (staged_ == nullptr) {
    std::memcpy(host_.data() + filled_, from, bytes);
  } else if constexpr (kHasCuda) {
    runtime().copy_to_host(staged_->data() + filled_, from, bytes);
  }
  filled_ += bytes;
}

void ReadBack::finish() {
  if constexpr (kHasCuda) {
    if (staged_ != nullptr) staged_->mark();
  }
}

std::byte* ReadBack::wait() {
  if constexpr (kHasCuda) {
    if (staged_ != nullptr) {
      staged_->wait();
      return staged_->data();
    }
  }
  return host_.data();
}

}  // namespace unet
