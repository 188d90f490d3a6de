#include "engine/core/cuda_memory.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
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
  bool used_at_once() const override { return false; }
  void fill(void* block, int byte, std::size_t bytes) override { runtime().fill_bytes(block, byte, bytes); }
  std::size_t available() override { return runtime().memory().free; }
};

class PinnedAllocator : public SystemAllocator {
 public:
  void* allocate(std::size_t bytes) override { return runtime().allocate_pinned(bytes); }
  std::size_t segment(std::size_t bytes) const override {  // nobody else can have what is pinned: no more than is asked
    constexpr std::size_t kStep = std::size_t{2} << 20;
    return (bytes + kStep - 1) / kStep * kStep;
  }
  void release(void* block, std::size_t) noexcept override { runtime().release_pinned(block); }
  bool used_at_once() const override { return false; }
};

/// Blocks that the device has yet to read, oldest first.
std::deque<Staged>& uploads() {
  static std::deque<Staged>& instance = *new std::deque<Staged>;
  return instance;
}

/// Device memory for copies beside the stream, and the point in the stream from which on it may be written.
class Landing {
 public:
  explicit Landing(std::size_t size) : bytes(size), block(device_pool().allocate(size)) {
    try {
      event_ = runtime().create_event(false);
      leave();  // the pool's blocks may be at work for what was queued
    } catch (...) {
      give_up();
      throw;
    }
  }
  ~Landing() { give_up(); }
  Landing(const Landing&) = delete;
  Landing& operator=(const Landing&) = delete;

  /// All that reads it has been queued.
  void leave() { runtime().record(event_); }
  bool free() const { return runtime().passed(event_); }
  kernels::cuda::Event event() const { return event_; }

  const std::size_t bytes;
  void* const block;

 private:
  void give_up() noexcept {
    if (event_ != nullptr) runtime().destroy_event(event_);
    device_pool().release(block);
  }
  kernels::cuda::Event event_ = nullptr;
};

/// Those that nobody holds, the longest left first. Two of a size serve a host that is a step ahead of the device.
std::deque<std::unique_ptr<Landing>>& landings() {
  static std::deque<std::unique_ptr<Landing>>& instance = *new std::deque<std::unique_ptr<Landing>>;
  return instance;
}
constexpr std::size_t kMostLandings = 6;

std::unique_ptr<Landing> take_landing(std::size_t bytes) {
  std::deque<std::unique_ptr<Landing>>& all = landings();
  const auto found = std::find_if(
      all.begin(), all.end(), [&](const std::unique_ptr<Landing>& one) { return one->bytes == bytes && one->free(); });
  if (found == all.end()) return std::make_unique<Landing>(bytes);
  std::unique_ptr<Landing> out = std::move(*found);
  all.erase(found);
  return out;
}

void leave(std::unique_ptr<Landing> landing) noexcept {
  try {
    landing->leave();
    landings().push_back(std::move(landing));
  } catch (...) {  // back to the pool, whose blocks are reused in the stream's order
    return;
  }
  if (landings().size() > kMostLandings) landings().pop_front();
}

constexpr std::size_t kWhole = std::size_t{32} << 20;

/// Keeps pinned memory until the device no longer reads it.
void keep(Staged staged) {
  staged.mark();
  uploads().push_back(std::move(staged));
}

void forget_what_has_passed() {
  while (!uploads().empty() && uploads().front().passed()) uploads().pop_front();
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

Staged::Staged(std::size_t bytes) : block_(pinned_pool().allocate(bytes)) {
  try {
    event_ = runtime().create_event(false);
  } catch (...) {
    pinned_pool().release(block_);
    throw;
  }
}

Staged::Staged(Staged&& other) noexcept
    : block_(std::exchange(other.block_, nullptr)), event_(std::exchange(other.event_, nullptr)) {}

Staged::~Staged() {
  if (block_ == nullptr) return;
  try {
    wait();
  } catch (...) {  // a broken device touches nothing any more
  }
  runtime().destroy_event(event_);
  pinned_pool().release(block_);
}

// A batch of a step goes up whole and waits for nothing; a larger arena by way of two buffers, for what is staged stays
// pinned in the pool.
void upload(void* to, const void* from, std::size_t bytes) {
  constexpr std::size_t kPart = std::size_t{8} << 20;
  const std::size_t most = bytes > kWhole ? kPart : bytes;
  for (std::size_t done = 0; done < bytes; done += most) {
    while (most < bytes && uploads().size() > 1) uploads().pop_front();  // waits
    forget_what_has_passed();
    Staged staged(most);
    const std::size_t part = std::min(most, bytes - done);
    std::memcpy(staged.data(), static_cast<const std::byte*>(from) + done, part);
    runtime().copy_to_device(static_cast<std::byte*>(to) + done, staged.data(), part);
    keep(std::move(staged));
  }
}

std::shared_ptr<void> uploaded(const void* from, std::size_t bytes) {
  if (bytes > kWhole) {
    const std::shared_ptr<void> out = device_pool().shared(bytes);
    upload(out.get(), from, bytes);
    return out;
  }
  forget_what_has_passed();
  Staged staged(bytes);
  std::memcpy(staged.data(), from, bytes);
  std::unique_ptr<Landing> landing = take_landing(bytes);
  runtime().copy_beside(landing->block, staged.data(), bytes, landing->event());
  keep(std::move(staged));
  Landing* const held = landing.release();
  return {held->block, [held](void*) { leave(std::unique_ptr<Landing>(held)); }};
}

void synchronize() {
  runtime().synchronize();
  uploads().clear();
  landings().clear();
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
