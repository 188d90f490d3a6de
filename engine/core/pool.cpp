#include "engine/core/pool.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#include "engine/core/error.h"

namespace unet {
namespace {

constexpr std::size_t kUnit = 512;
constexpr std::size_t kLarge = std::size_t{1} << 20;
constexpr std::size_t kHuge = std::size_t{2} << 20;  // a page of the CPU's, and of a GPU
constexpr std::size_t kLargeSegment = std::size_t{64} << 20;

std::size_t round_up(std::size_t bytes, std::size_t step) { return (bytes + step - 1) / step * step; }

std::size_t size_of_block(std::size_t bytes) { return round_up(bytes == 0 ? 1 : bytes, kUnit); }

double mib(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

class HostAllocator : public SystemAllocator {
 public:
  void* allocate(std::size_t bytes) override {
    void* segment = std::aligned_alloc(kHuge, round_up(bytes, kHuge));
    if (segment != nullptr) madvise(segment, bytes, MADV_HUGEPAGE);
    return segment;
  }
  void release(void* block, std::size_t) noexcept override { std::free(block); }
  std::size_t available() override {
    return static_cast<std::size_t>(sysconf(_SC_AVPHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  }
};

class Switch : public SystemAllocator {
 public:
  void* allocate(std::size_t bytes) override { return current_->allocate(bytes); }
  std::size_t segment(std::size_t bytes) const override { return current_->segment(bytes); }
  bool used_at_once() const override { return current_->used_at_once(); }
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

std::size_t SystemAllocator::segment(std::size_t bytes) const {
  return round_up(bytes < kLarge ? bytes : std::max(bytes, kLargeSegment), kHuge);
}

// What is not handed out is out of bounds to AddressSanitizer, as with an allocator of its own.
#if defined(__SANITIZE_ADDRESS__)
void Pool::allow(void* begin, std::size_t bytes) const noexcept {
  if (system_.used_at_once()) __asan_unpoison_memory_region(begin, bytes);
}
void Pool::forbid(void* begin, std::size_t bytes) const noexcept {
  if (system_.used_at_once()) __asan_poison_memory_region(begin, bytes);
}
#else
void Pool::allow(void*, std::size_t) const noexcept {}
void Pool::forbid(void*, std::size_t) const noexcept {}
#endif

Pool::~Pool() { trim_locked(); }

void* Pool::allocate(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  const std::size_t size = size_of_block(bytes) + (poison_ ? kUnit : 0);
  const Blocks::iterator block = block_for(size, bytes);
  cut(block, size);
  block->second.entry = free_of(block->second).extract(place_of(*block));
  stats_.cached -= size;
  stats_.in_use += size;
  if (stats_.in_use > stats_.peak) stats_.peak = stats_.in_use;
  allow(block->first, poison_ ? size : bytes);
  if (poison_) system_.fill(block->first, 0xff, size);
  return block->first;
}

/// The smallest free block with room for `size` bytes, if need be of a new segment.
Pool::Blocks::iterator Pool::block_for(std::size_t size, std::size_t asked) {
  const bool large = size >= kLarge;
  const Free& free = free_[large ? 1 : 0];
  auto found = free.lower_bound({.bytes = size});
  if (found == free.end()) {
    add_segment(size, large, asked);
    found = free.lower_bound({.bytes = size});
  }
  return blocks_.find(found->at);
}

void Pool::add_segment(std::size_t size, bool large, std::size_t asked) {
  std::size_t bytes = system_.segment(size);
  ++stats_.system_calls;
  void* segment = system_.allocate(bytes);
  const std::size_t cached = stats_.cached;
  if (segment == nullptr) {
    trim_locked();
    segment = system_.allocate(bytes);
  }
  if (segment == nullptr && bytes > size) {
    bytes = size;
    segment = system_.allocate(bytes);
  }
  if (segment == nullptr) {
    throw Error(
        "out of memory: {:.1f} MiB requested, {:.1f} MiB in use, {:.1f} MiB cached, {:.1f} MiB at the peak, {:.1f} "
        "MiB free. Use a smaller --batch-size (with --accumulate to keep the effective one), --image-size or "
        "--base-channels.",
        mib(asked), mib(stats_.in_use), mib(cached), mib(stats_.peak), mib(system_.available()));
  }
  auto* const at = static_cast<std::byte*>(segment);
  const std::uint64_t number = segments_++;
  try {
    const auto block = blocks_.try_emplace(at, Block{bytes, number, large, {}}).first;
    try {
      free_of(block->second).insert(place_of(*block));
    } catch (...) {
      blocks_.erase(block);
      throw;
    }
  } catch (...) {
    system_.release(segment, bytes);
    throw;
  }
  forbid(at, bytes);
  stats_.cached += bytes;
}

void Pool::resize(Blocks::value_type& free_block, std::size_t bytes) noexcept {
  Free& free = free_of(free_block.second);
  Free::node_type entry = free.extract(place_of(free_block));
  entry.value().bytes = free_block.second.bytes = bytes;
  free.insert(std::move(entry));
}

/// To `size` bytes; the rest is a free block, too.
void Pool::cut(Blocks::iterator free_block, std::size_t size) {
  const Block& whole = free_block->second;
  const std::size_t rest = whole.bytes - size;
  if (rest == 0) return;
  const auto after = blocks_.try_emplace(free_block->first + size, Block{rest, whole.segment, whole.large, {}}).first;
  try {
    free_of(whole).insert(place_of(*after));
  } catch (...) {
    blocks_.erase(after);
    throw;
  }
  resize(*free_block, size);
}

std::shared_ptr<void> Pool::shared(std::size_t bytes) {
  return {allocate(bytes), [this](void* block) { release(block); }};
}

void Pool::release(void* memory) noexcept {
  if (memory == nullptr) return;
  const std::lock_guard lock(mutex_);
  const Blocks::iterator block = blocks_.find(static_cast<std::byte*>(memory));
  const std::size_t size = block->second.bytes;
  forbid(memory, size);
  stats_.in_use -= size;
  stats_.cached += size;
  free_of(block->second).insert(std::move(block->second.entry));
  join_with_next(block);
  if (block == blocks_.begin()) return;
  if (const auto before = std::prev(block); before->second.is_free()) join_with_next(before);
}

/// With the block behind it in its segment, if there is one and it is free.
void Pool::join_with_next(Blocks::iterator free_block) noexcept {
  const auto next = std::next(free_block);
  if (next == blocks_.end() || next->second.segment != free_block->second.segment || !next->second.is_free()) return;
  free_of(next->second).erase(place_of(*next));
  resize(*free_block, free_block->second.bytes + next->second.bytes);
  blocks_.erase(next);
}

void Pool::trim() noexcept {
  const std::lock_guard lock(mutex_);
  trim_locked();
}

void Pool::trim_locked() noexcept {
  const auto apart = [](const Blocks::value_type& a, const Blocks::value_type& b) {
    return a.second.segment != b.second.segment;
  };
  for (auto block = blocks_.begin(); block != blocks_.end();) {
    const auto next = std::next(block);
    const bool begins = block == blocks_.begin() || apart(*std::prev(block), *block);
    const bool ends = next == blocks_.end() || apart(*block, *next);
    if (begins && ends && block->second.is_free()) {
      const std::size_t bytes = block->second.bytes;
      free_of(block->second).erase(place_of(*block));
      stats_.cached -= bytes;
      allow(block->first, bytes);
      system_.release(block->first, bytes);
      blocks_.erase(block);
    }
    block = next;
  }
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
