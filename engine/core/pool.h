// The caching allocator: one pool per device. The system gives it segments, of which it hands out parts; parts that
// come back are joined with their free neighbours and kept, so that memory for one size serves another, and training
// asks the system for nothing once it has seen its steps.
//
// A request takes the smallest free block that it fits into (best fit; of equal ones that of the oldest segment, the
// first in it) and leaves the rest of it; where a block lies depends on the requests alone. Those below 1 MiB have
// segments of their own, for one that is long held would keep a large block from being whole again. Blocks begin and
// end at multiples of 512 bytes. Thread-safe.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>

namespace unet {

/// The system below a pool; tests put one in that fails at call N.
class SystemAllocator {
 public:
  virtual ~SystemAllocator() = default;
  /// nullptr when there is no memory.
  virtual void* allocate(std::size_t bytes) = 0;
  /// What a pool asks for when it has no room for `bytes` bytes, a multiple of 512: as many or more. By default 2 MiB,
  /// for large requests 64 MiB or more, in whole steps of 2 MiB. (A system that backs what is touched gives the rest of
  /// it later.)
  virtual std::size_t segment(std::size_t bytes) const;
  virtual void release(void* block, std::size_t bytes) noexcept = 0;
  /// Sets every byte of a block.
  virtual void fill(void* block, int byte, std::size_t bytes);
  /// Whether a block is no longer used once it has been given back: then AddressSanitizer may watch over what is not
  /// handed out. A GPU works through a queue.
  virtual bool used_at_once() const { return true; }
  /// Bytes that the system could still give, for the message.
  virtual std::size_t available() { return 0; }
};

struct PoolStats {
  std::size_t in_use = 0;          // bytes handed out
  std::size_t peak = 0;            // highest in_use so far
  std::size_t cached = 0;          // bytes kept for reuse
  std::uint64_t system_calls = 0;  // how often the system was asked for memory
};

class Pool {
 public:
  explicit Pool(SystemAllocator& system) : system_(system) {}
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// At least `bytes` bytes (0 counts as 1), uninitialised. Out of memory: gives back what segments are wholly
  /// free, tries again, at last for no more than is asked, then throws Error with the bytes requested, in use, cached,
  /// at the peak and free, and what to change.
  void* allocate(std::size_t bytes);
  /// The same, given back with its last owner.
  std::shared_ptr<void> shared(std::size_t bytes);
  /// Gives back what allocate() returned.
  void release(void* block) noexcept;
  /// Gives every segment that is wholly free back to the system.
  void trim() noexcept;
  PoolStats stats() const;
  /// Tests: fill every block handed out with 0xff bytes, which are NaN in every float dtype, and 512 more behind it.
  void poison(bool on) { poison_ = on; }

 private:
  struct Place {
    std::size_t bytes = 0;
    std::uint64_t segment = 0;  // in the order of their coming
    std::byte* at = nullptr;
    auto operator<=>(const Place&) const = default;
  };
  using Free = std::set<Place>;
  struct Block {
    std::size_t bytes;
    std::uint64_t segment;
    bool large;
    Free::node_type entry;  // of a block that is handed out: kept, so that giving it back takes no memory
    bool is_free() const { return entry.empty(); }
  };
  using Blocks = std::map<std::byte*, Block>;
  static Place place_of(const Blocks::value_type& block) {
    return {block.second.bytes, block.second.segment, block.first};
  }

  void allow(void* begin, std::size_t bytes) const noexcept;
  void forbid(void* begin, std::size_t bytes) const noexcept;
  Free& free_of(const Block& block) { return free_[block.large ? 1 : 0]; }
  Blocks::iterator block_for(std::size_t size, std::size_t asked);
  void add_segment(std::size_t size, bool large, std::size_t asked);
  void resize(Blocks::value_type& free_block, std::size_t bytes) noexcept;
  void cut(Blocks::iterator free_block, std::size_t size);
  void join_with_next(Blocks::iterator free_block) noexcept;
  void trim_locked() noexcept;

  SystemAllocator& system_;
  mutable std::mutex mutex_;
  Blocks blocks_;             // all of every segment
  std::array<Free, 2> free_;  // in small and in large segments
  std::uint64_t segments_ = 0;
  PoolStats stats_;
  bool poison_ = false;
};

/// The pool of host memory behind every CPU tensor.
Pool& cpu_pool();
/// Replaces the system below cpu_pool() until called with nullptr. Tests only; the pool is trimmed first.
void set_cpu_system_allocator(SystemAllocator* system);

}  // namespace unet
