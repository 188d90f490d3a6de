// The caching allocator: one pool per device. Freed blocks are kept by size class and handed out again, so that
// training asks the system for nothing after its first step: a second step asks for the same classes as often as the
// first did.
//
// Classes: multiples of 4 KiB up to 64 KiB, then eight steps per doubling, so at most 12.5 % of a block is unused.
// Blocks of 1 MiB and more are aligned to 2 MiB and backed by huge pages where the system has them. All others are
// aligned to 64 bytes at least. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace unet {

/// The system below a pool; tests put one in that fails at call N.
class SystemAllocator {
 public:
  virtual ~SystemAllocator() = default;
  /// nullptr when there is no memory.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* block, std::size_t bytes) noexcept = 0;
  /// Sets every byte of a block.
  virtual void fill(void* block, int byte, std::size_t bytes);
  /// Bytes that the system could still give, for the message.
  virtual std::size_t available() { return 0; }
};

struct PoolStats {
  std::size_t in_use = 0;          // bytes handed out, in whole classes
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

  /// At least `bytes` bytes (0 counts as 1), uninitialised. Out of memory: drops the cache, tries once more, then
  /// throws Error with the bytes requested, in use, cached, at the peak and free, and what to change.
  void* allocate(std::size_t bytes);
  /// The same, given back with its last owner.
  std::shared_ptr<void> shared(std::size_t bytes);
  /// Gives back what allocate(bytes) returned.
  void release(void* block, std::size_t bytes) noexcept;
  /// Gives every cached block back to the system.
  void trim() noexcept;
  /// Gives the cached blocks that could serve allocate(bytes) back to the system.
  void trim(std::size_t bytes) noexcept;
  PoolStats stats() const;
  /// Tests: fill every block handed out with 0xff bytes, which are NaN in every float dtype.
  void poison(bool on) { poison_ = on; }

 private:
  void trim_locked() noexcept;
  void trim_locked(std::size_t size, std::vector<void*>& blocks) noexcept;

  SystemAllocator& system_;
  mutable std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> cache_;
  PoolStats stats_;
  bool poison_ = false;
};

/// The pool of host memory behind every CPU tensor.
Pool& cpu_pool();
/// Replaces the system below cpu_pool() until called with nullptr. Tests only; the pool is trimmed first.
void set_cpu_system_allocator(SystemAllocator* system);

}  // namespace unet
