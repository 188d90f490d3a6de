#include "tests/support/cuda_shim/shim_runtime.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "kernels/cuda/launch.h"
#include "tests/support/cuda_shim/fibers.h"
#include "tests/support/poison.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace unet::shim {

using kernels::cuda::CudaError;
using kernels::cuda::DeviceProperties;
using kernels::cuda::Event;
using kernels::cuda::Launch;
using kernels::cuda::MemoryInfo;
using kernels::cuda::OnCpu;

namespace {

using tests::all_poison;
using tests::kPoison;

constexpr std::size_t kZone = 256;

CudaError invalid(const char* call, const std::string& what) {
  return CudaError(std::string(call) + ": cudaErrorInvalidValue (" + what + ")");
}

double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

ShimRuntime::~ShimRuntime() = default;

DeviceProperties ShimRuntime::properties() {
  const char* older = std::getenv("UNET_SHIM_COMPUTE_MAJOR");
  return {"CPU shim", older == nullptr ? 9 : std::atoi(older), 0, 4, capacity_};
}

MemoryInfo ShimRuntime::memory() {
  const std::lock_guard lock(mutex_);
  std::size_t used = 0;
  for (const auto& [at, block] : device_) used += block.bytes;
  return {capacity_ - used, capacity_};
}

void* ShimRuntime::allocate_in(Blocks& blocks, std::size_t bytes, std::size_t capacity) {
  const std::lock_guard lock(mutex_);
  if (bytes > capacity) return nullptr;
  Block block{std::vector<unsigned char>(bytes + 3 * kZone, kPoison), nullptr, bytes};
  const auto address = reinterpret_cast<std::uintptr_t>(block.memory.data()) + kZone;
  block.begin = block.memory.data() + kZone + (kZone - address % kZone) % kZone;
  void* const at = block.begin;
#if defined(__SANITIZE_ADDRESS__)
  ASAN_POISON_MEMORY_REGION(block.begin - kZone, kZone);
  ASAN_POISON_MEMORY_REGION(block.begin + bytes, kZone);
#endif
  blocks.emplace(at, std::move(block));
  return at;
}

void ShimRuntime::release_in(Blocks& blocks, void* block, const char* what) noexcept {
  const std::lock_guard lock(mutex_);
  if (block == nullptr) return;
  const auto found = blocks.find(block);
  if (found == blocks.end()) {
    std::fprintf(stderr, "%s of what was not allocated, or twice\n", what);
    std::abort();
  }
  run_until(queued_);
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(found->second.begin - kZone, kZone);
  ASAN_UNPOISON_MEMORY_REGION(found->second.begin + found->second.bytes, kZone);
#endif
  if (!intact(found->second)) ++broken_;
  blocks.erase(found);
}

bool ShimRuntime::intact(const Block& block) {
#if defined(__SANITIZE_ADDRESS__)
  if (__asan_region_is_poisoned(block.begin - kZone, 1) != nullptr) return true;  // else it would have been reported
#endif
  return all_poison(block.begin - kZone, kZone) && all_poison(block.begin + block.bytes, kZone);
}

int ShimRuntime::broken_guards() const {
  int count = broken_;
  for (const auto& [at, block] : device_) count += intact(block) ? 0 : 1;
  for (const auto& [at, block] : pinned_) count += intact(block) ? 0 : 1;
  return count;
}

bool ShimRuntime::holds(const Blocks& blocks, const void* data, std::size_t bytes) {
  auto found = blocks.upper_bound(data);
  if (found == blocks.begin()) return false;
  const Block& block = (--found)->second;
  const auto* at = static_cast<const unsigned char*>(data);
  return at >= block.begin && at + bytes <= block.begin + block.bytes;
}

void ShimRuntime::require_on_device(const char* call, const void* data, std::size_t bytes) const {
  if (!holds(device_, data, bytes)) throw invalid(call, std::to_string(bytes) + " bytes that are not in device memory");
}

void* ShimRuntime::allocate(std::size_t bytes) { return allocate_in(device_, bytes, memory().free); }
void ShimRuntime::release(void* block) noexcept { release_in(device_, block, "cudaFree"); }
void* ShimRuntime::allocate_pinned(std::size_t bytes) { return allocate_in(pinned_, bytes, capacity_); }
void ShimRuntime::release_pinned(void* block) noexcept { release_in(pinned_, block, "cudaFreeHost"); }

void ShimRuntime::copy_to_device(void* to, const void* from, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes == 0) return;
  require_on_device("cudaMemcpyAsync", to, bytes);
  enqueue([=] { std::memcpy(to, from, bytes); });
  if (!holds(pinned_, from, bytes)) run_until(queued_);
}

void ShimRuntime::copy_beside(void* to, const void* from, std::size_t bytes, Event free) {
  const std::lock_guard lock(mutex_);
  if (bytes == 0) return;
  require_on_device("cudaMemcpyAsync", to, bytes);
  if (!holds(pinned_, from, bytes)) throw invalid("cudaMemcpyAsync", "beside the stream, from memory not pinned");
  const std::uint64_t after = state_of("cudaStreamWaitEvent", free).recorded;
  ++copies_beside_;
  if (after <= done_) ++copies_at_once_;
  const auto copy = std::make_shared<Beside>(Beside{after, [=] { std::memcpy(to, from, bytes); }});
  beside_.push_back(copy);
  copy_what_may_begin();
  enqueue([copy] { copy->make(); });  // the stream waits for it
}

/// Or some of it.
void ShimRuntime::copy_what_may_begin() {
  while (!beside_.empty() && beside_.front()->after <= done_ && draw(2) == 0) {
    beside_.front()->make();
    beside_.pop_front();
  }
}

void ShimRuntime::copy_to_host(void* to, const void* from, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes == 0) return;
  require_on_device("cudaMemcpyAsync", from, bytes);
  enqueue([=] { std::memcpy(to, from, bytes); });
  if (!holds(pinned_, to, bytes)) run_until(queued_);
}

void ShimRuntime::copy_on_device(void* to, const void* from, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes == 0) return;
  require_on_device("cudaMemcpyAsync", to, bytes);
  require_on_device("cudaMemcpyAsync", from, bytes);
  enqueue([=] { std::memmove(to, from, bytes); });
}

void ShimRuntime::fill_bytes(void* to, int byte, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes == 0) return;
  require_on_device("cudaMemsetAsync", to, bytes);
  enqueue([=] { std::memset(to, byte, bytes); });
}

void ShimRuntime::launch(const Launch& call) {
  const std::lock_guard lock(mutex_);
  ++launches_;
  check_launch(call.grid, call.block);
  enqueue([this, call, code = *call.on_cpu] { run(call, code); });
}

void ShimRuntime::run(const Launch& call, const OnCpu& code) {
  if (!traffic_) return run_grid(call.kernel, call.grid, call.block, code.thread);
  Footprint footprint;
  for (const auto& [at, block] : device_) footprint.add(block.begin, block.bytes);
  run_grid(call.kernel, call.grid, call.block, code.thread);
  traffic_->push_back(footprint.total());
  traffic_->back().name = kernel_name(call.kernel);
}

void ShimRuntime::note(const Traffic& call) {
  if (traffic_) traffic_->push_back(call);
}

std::vector<Traffic> ShimRuntime::take_traffic() {
  const std::lock_guard lock(mutex_);
  synchronize();
  std::vector<Traffic> out = std::move(traffic_).value_or(std::vector<Traffic>());
  traffic_.reset();
  return out;
}

Event ShimRuntime::create_event(bool timed) {
  const std::lock_guard lock(mutex_);
  const auto event = reinterpret_cast<Event>(next_event_++);
  events_[event] = {0, timed, 0};
  return event;
}

void ShimRuntime::destroy_event(Event event) noexcept {
  const std::lock_guard lock(mutex_);
  if (events_.erase(event) == 0) {
    std::fprintf(stderr, "cudaEventDestroy of what is no event, or twice\n");
    std::abort();
  }
}

ShimRuntime::EventState& ShimRuntime::state_of(const char* call, Event event) {
  const auto found = events_.find(event);
  if (found == events_.end()) throw invalid(call, "no event");
  return found->second;
}

void ShimRuntime::record(Event event) {
  const std::lock_guard lock(mutex_);
  EventState& state = state_of("cudaEventRecord", event);
  enqueue([this, event] {
    const auto found = events_.find(event);
    if (found != events_.end()) found->second.at_ms = now_ms();
  });
  state.recorded = queued_;
}

bool ShimRuntime::passed(Event event) {
  const std::lock_guard lock(mutex_);
  if (done_ < queued_) run_until(done_ + 1);  // the device is working while the host asks
  return state_of("cudaEventQuery", event).recorded <= done_;
}

void ShimRuntime::wait(Event event) {
  const std::lock_guard lock(mutex_);
  run_until(state_of("cudaEventSynchronize", event).recorded);
}

float ShimRuntime::elapsed_ms(Event from, Event to) {
  const std::lock_guard lock(mutex_);
  const EventState &begin = state_of("cudaEventElapsedTime", from), &end = state_of("cudaEventElapsedTime", to);
  if (!begin.timed || !end.timed || begin.recorded > done_ || end.recorded > done_) {
    throw invalid("cudaEventElapsedTime", "an event that is not timed or not passed");
  }
  return static_cast<float>(end.at_ms - begin.at_ms);
}

void ShimRuntime::synchronize() {
  const std::lock_guard lock(mutex_);
  run_until(queued_);
}

void ShimRuntime::enqueue(std::function<void()> work) {
  queue_.push_back(std::move(work));
  ++queued_;
  // Sometimes the device keeps pace with the host, sometimes it lags.
  if (draw(8) == 0) run_until(queued_ - draw(queue_.size()));
}

void ShimRuntime::run_until(std::uint64_t count) {
  while (done_ < count) {
    const std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    ++done_;
    work();
    copy_what_may_begin();
  }
}

ShimRuntime& shim_runtime() {
  static ShimRuntime& shim = *new ShimRuntime;
  return shim;
}

}  // namespace unet::shim

namespace unet::kernels::cuda {

Runtime& default_runtime() { return shim::shim_runtime(); }

}  // namespace unet::kernels::cuda
