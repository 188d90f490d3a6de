#include "engine/core/cuda_memory.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>

#include "engine/core/error.h"
#include "kernels/conv_plan.h"

namespace unet::cuda_memory {
namespace {

using kernels::cuda::runtime;

class DeviceAllocator : public SystemAllocator {
 public:
  void* allocate(std::size_t bytes) override { return runtime().allocate(bytes); }
  void release(void* block, std::size_t) noexcept override { runtime().release(block); }
  void fill(void* block, int byte, std::size_t bytes) override { runtime().fill_bytes(block, byte, bytes); }
  std::size_t available() override { return runtime().memory().free; }
};

class PinnedAllocator : public SystemAllocator {
 public:
  void* allocate(std::size_t bytes) override { return runtime().allocate_pinned(bytes); }
  void release(void* block, std::size_t) noexcept override { runtime().release_pinned(block); }
};

/// Blocks that the device has yet to read, oldest first.
std::deque<Staged>& uploads() {
  static std::deque<Staged>& instance = *new std::deque<Staged>;
  return instance;
}

}  // namespace

// Never destroyed: tensors with static lifetime may outlive main.
Pool& device_pool() {
  static Pool& pool = *new Pool(*new DeviceAllocator);
  return pool;
}

Pool& pinned_pool() {
  static Pool& pool = *new Pool(*new PinnedAllocator);
  return pool;
}

Staged::Staged(std::size_t bytes) : bytes_(bytes), block_(pinned_pool().allocate(bytes)) {
  try {
    event_ = runtime().create_event(false);
  } catch (...) {
    pinned_pool().release(block_, bytes_);
    throw;
  }
}

Staged::Staged(Staged&& other) noexcept
    : bytes_(other.bytes_),
      block_(std::exchange(other.block_, nullptr)),
      event_(std::exchange(other.event_, nullptr)) {}

Staged::~Staged() {
  if (block_ == nullptr) return;
  try {
    wait();
  } catch (...) {  // a broken device touches nothing any more
  }
  runtime().destroy_event(event_);
  pinned_pool().release(block_, bytes_);
}

// A batch of a step goes up whole and waits for nothing; a larger arena by way of two buffers, for what is staged stays
// pinned in the pool.
void upload(void* to, const void* from, std::size_t bytes) {
  constexpr std::size_t kWhole = std::size_t{32} << 20, kPart = std::size_t{8} << 20;
  const std::size_t most = bytes > kWhole ? kPart : bytes;
  for (std::size_t done = 0; done < bytes; done += most) {
    while (most < bytes && uploads().size() > 1) uploads().pop_front();  // waits
    while (!uploads().empty() && uploads().front().passed()) uploads().pop_front();
    Staged staged(most);
    const std::size_t part = std::min(most, bytes - done);
    std::memcpy(staged.data(), static_cast<const std::byte*>(from) + done, part);
    runtime().copy_to_device(static_cast<std::byte*>(to) + done, staged.data(), part);
    staged.mark();
    uploads().push_back(std::move(staged));
  }
}

void synchronize() {
  runtime().synchronize();
  uploads().clear();
}

double seconds_of(int calls, const std::function<void()>& work) {
  struct Timed {
    kernels::cuda::Event event = runtime().create_event(true);
    ~Timed() { runtime().destroy_event(event); }
  } begin, end;
  runtime().record(begin.event);
  for (int i = 0; i < calls; ++i) work();
  runtime().record(end.event);
  runtime().wait(end.event);
  return 1e-3 * static_cast<double>(runtime().elapsed_ms(begin.event, end.event)) / calls;
}

DeviceChoice choose() {
  const kernels::cuda::DeviceCount found = runtime().devices();
  if (found.count == 0) return {.device = Device{}, .text = found.reason};
  const kernels::cuda::DeviceProperties is = runtime().properties();
  std::string libraries;
  try {
    libraries = kernels::cuda::library_versions();
  } catch (const std::runtime_error& missing) {
    return {.device = Device{}, .text = missing.what()};
  }
  return {kCuda,
          fmt::format("{}, compute capability {}.{}, {:.0f} GiB, {}", is.name, is.major, is.minor,
                      static_cast<double>(is.memory) / (1 << 30), libraries),
          is.major >= 8};
}

}  // namespace unet::cuda_memory
