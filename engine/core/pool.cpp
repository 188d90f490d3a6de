#include "engine/core/pool.h"

#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cstdlib>
#include <cstring>

#include "engine/core/error.h"

namespace unet {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kHuge = std::size_t{2} << 20;

std::size_t round_up(std::size_t bytes, std::size_t step) { return (bytes + step - 1) / step * step; }

std::size_t size_class(std::size_t bytes) {
  if (bytes <= 16 * kPage) return round_up(bytes == 0 ? 1 : bytes, kPage);
  return round_up(bytes, std::bit_floor(bytes - 1) / 8);
}

double mib(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

class HostAllocator : public SystemAllocator {
 public:
  void* allocate(std::size_t bytes) override {
    const bool huge = bytes >= kHuge / 2;
    void* block = std::aligned_alloc(huge ? kHuge : kPage, round_up(bytes, huge ? kHuge : kPage));
    if (block != nullptr && huge) madvise(block, bytes, MADV_HUGEPAGE);
    return block;
  }
  void release(void* block, std::size_t) noexcept override { std::free(block); }
  std::size_t available() override {
    return static_cast<std::size_t>(sysconf(_SC_AVPHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  }
};

class Switch : public SystemAllocator {
 public:
  void* allocate(std::size_t bytes) override { return current_->allocate(bytes); }
  void release(void* block, std::size_t bytes) noexcept override { current_->release(block, bytes); }
  std::size_t available() override { return current_->available(); }
  void set(SystemAllocator* system) { current_ = system != nullptr ? system : &host_; }

 private:
  HostAllocator host_;
  SystemAllocator* current_ = &host_;
};

Switch& cpu_system() {
  static Switch& system = *new Switch;  // never destroyed: tensors with static lifetime may outlive main
  return system;
}

}  // namespace

void SystemAllocator::fill(void* block, int byte, std::size_t bytes) { std::memset(block, byte, bytes); }

Pool::~Pool() { trim_locked(); }

void* Pool::allocate(std::size_t bytes) {
  const std::size_t size = size_class(bytes);
  const std::lock_guard lock(mutex_);
  void* block = nullptr;
  if (const auto found = cache_.find(size); found != cache_.end() && !found->second.empty()) {
    block = found->second.back();
    found->second.pop_back();
    stats_.cached -= size;
  } else {
    ++stats_.system_calls;
    block = system_.allocate(size);
    const std::size_t cached = stats_.cached;
    if (block == nullptr) {
      trim_locked();
      block = system_.allocate(size);
    }
    if (block == nullptr) {
      throw Error(
          "out of memory: {:.1f} MiB requested, {:.1f} MiB in use, {:.1f} MiB cached, {:.1f} MiB at the peak, {:.1f} "
          "MiB free. Use a smaller --batch-size (with --accumulate to keep the effective one), --image-size or "
          "--base-channels.",
          mib(bytes), mib(stats_.in_use), mib(cached), mib(stats_.peak), mib(system_.available()));
    }
  }
  stats_.in_use += size;
  if (stats_.in_use > stats_.peak) stats_.peak = stats_.in_use;
  if (poison_) system_.fill(block, 0xff, size);
  return block;
}

std::shared_ptr<void> Pool::shared(std::size_t bytes) {
  return {allocate(bytes), [this, bytes](void* block) { release(block, bytes); }};
}

void Pool::release(void* block, std::size_t bytes) noexcept {
  if (block == nullptr) return;
  const std::size_t size = size_class(bytes);
  const std::lock_guard lock(mutex_);
  stats_.in_use -= size;
  try {
    cache_[size].push_back(block);
    stats_.cached += size;
  } catch (...) {  // no memory to remember the block by: give it back
    system_.release(block, size);
  }
}

void Pool::trim() noexcept {
  const std::lock_guard lock(mutex_);
  trim_locked();
}

void Pool::trim(std::size_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  if (const auto found = cache_.find(size_class(bytes)); found != cache_.end()) {
    trim_locked(found->first, found->second);
  }
}

void Pool::trim_locked() noexcept {
  for (auto& [size, blocks] : cache_) trim_locked(size, blocks);
}

void Pool::trim_locked(std::size_t size, std::vector<void*>& blocks) noexcept {
  for (void* block : blocks) system_.release(block, size);
  stats_.cached -= size * blocks.size();
  blocks.clear();
}

PoolStats Pool::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

Pool& cpu_pool() {
  static Pool& pool = *new Pool(cpu_system());
  return pool;
}

void set_cpu_system_allocator(SystemAllocator* system) {
  cpu_pool().trim();
  cpu_system().set(system);
}

}  // namespace unet
