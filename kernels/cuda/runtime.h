// The only door to CUDA. Everything that this project asks of the CUDA runtime is a function of Runtime; nothing else
// calls it. Three implementations: the real one (device_runtime.cpp), a stand-in that runs kernels on the CPU, and one
// that fails at call N; the last two belong to the tests.
//
// There is one stream. Copies, fills, launches and recorded events are asynchronous and take effect in the order of the
// calls; what goes to the device by copy_beside() alone may overtake. Calls come from one thread, but wait() from any.
// Failures throw CudaError unless a function says otherwise.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

namespace unet::kernels::cuda {

/// what(): the call, CUDA's name of the error and CUDA's text, "cudaMemcpyAsync: cudaErrorInvalidValue (invalid ...)".
class CudaError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct DeviceCount {
  int count = 0;
  std::string reason;  // why there is none that can be used; empty if there is one
};

struct DeviceProperties {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  std::size_t memory = 0;  // bytes
};

struct MemoryInfo {
  std::size_t free = 0, total = 0;  // bytes
};

struct Grid {
  unsigned x = 1, y = 1, z = 1;
};

struct OnCpu;  // launch.h; what nvcc reads often is kept short

/// One call of a kernel (made by launch.h). `arguments`: the address of each. All pointers are valid during the call of
/// launch() only.
struct Launch {
  const void* kernel = nullptr;
  Grid grid, block;
  void** arguments = nullptr;
  const OnCpu* on_cpu = nullptr;  // null where nvcc compiled the kernel
};

/// A point in the stream.
using Event = void*;

class Runtime {
 public:
  virtual ~Runtime() = default;

  /// Usable devices. Does not throw: no driver, no device and the like are a count of 0 with the reason.
  virtual DeviceCount devices() = 0;
  /// Of the device in use: the first one that CUDA_VISIBLE_DEVICES shows.
  virtual DeviceProperties properties() = 0;
  virtual MemoryInfo memory() = 0;

  /// Device memory, 256-byte aligned, uninitialised; nullptr when there is too little.
  virtual void* allocate(std::size_t bytes) = 0;
  /// Gives back what allocate() returned. Waits for the work in flight.
  virtual void release(void* block) noexcept = 0;
  /// Host memory that copies can use while the host goes on; nullptr when there is too little.
  virtual void* allocate_pinned(std::size_t bytes) = 0;
  virtual void release_pinned(void* block) noexcept = 0;

  /// Pinned host memory may not be touched before the copy is done. Any other is copied, or safe, when the call
  /// returns.
  virtual void copy_to_device(void* to, const void* from, std::size_t bytes) = 0;
  /// From pinned host memory, beside the stream: the copy waits for `free` (if it was ever recorded) and for nothing
  /// else that was queued; all that is queued from now on waits for the copy.
  virtual void copy_beside(void* to, const void* from, std::size_t bytes, Event free) = 0;
  virtual void copy_to_host(void* to, const void* from, std::size_t bytes) = 0;
  virtual void copy_on_device(void* to, const void* from, std::size_t bytes) = 0;
  virtual void fill_bytes(void* to, int byte, std::size_t bytes) = 0;
  virtual void launch(const Launch& call) = 0;

  /// timed: for elapsed_ms().
  virtual Event create_event(bool timed) = 0;
  virtual void destroy_event(Event event) noexcept = 0;
  virtual void record(Event event) = 0;
  /// Whether the stream has come past the event (true for one never recorded).
  virtual bool passed(Event event) = 0;
  /// The host waits until the stream has come past the event.
  virtual void wait(Event event) = 0;
  /// Milliseconds between two events that the stream has come past.
  virtual float elapsed_ms(Event from, Event to) = 0;
  /// The host waits until all work is done. Errors of kernels are thrown here or by any later call.
  virtual void synchronize() = 0;
  /// The cudaStream_t, for libraries.
  virtual void* stream() = 0;
};

/// The runtime in use: the real one unless a test has set another.
Runtime& runtime();
/// Sets the runtime in use until called with nullptr. Tests only.
void set_runtime(Runtime* instead);

/// What runtime() is when none is set. The program links the real one, tests of kernels on the CPU their own.
Runtime& default_runtime();

}  // namespace unet::kernels::cuda
