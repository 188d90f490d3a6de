// The caching pool, on made-up systems below it.
#include "engine/core/pool.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "engine/core/rng.h"
#include "engine/core/tensor.h"
#include "tests/support/tensors.h"

// There in a program with AddressSanitizer, whether this file is instrumented or not.
extern "C" int __asan_address_is_poisoned(const volatile void* at) __attribute__((weak));

namespace unet::tests::pool_test {
namespace {

constexpr std::size_t kKiB = 1024, kMiB = 1024 * 1024;

/// Counts; has no memory beyond `limit`. Its segments are as the pool would have them or, `exact`, a request each.
class LimitedSystem : public SystemAllocator {
 public:
  explicit LimitedSystem(std::size_t limit = std::numeric_limits<std::size_t>::max(), bool exact = false)
      : limit_(limit), exact_(exact) {}
  void* allocate(std::size_t bytes) override {
    sizes.push_back(bytes);
    if (held + bytes > limit_) return nullptr;
    held += bytes;
    return std::aligned_alloc(512, bytes);
  }
  std::size_t segment(std::size_t bytes) const override { return exact_ ? bytes : SystemAllocator::segment(bytes); }
  void release(void* block, std::size_t bytes) noexcept override {
    held -= bytes;
    ++released;
    std::free(block);
  }
  std::size_t held = 0;
  int released = 0;
  std::vector<std::size_t> sizes;

 private:
  std::size_t limit_;
  bool exact_;
};

std::byte* taken_from(Pool& pool, std::size_t bytes) { return static_cast<std::byte*>(pool.allocate(bytes)); }

TEST(Pool, HandsOutMultiplesOf512Bytes) {
  LimitedSystem system;
  Pool pool(system);
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1}, std::size_t{512}, std::size_t{513}, 64 * kKiB + 1, kMiB, 3 * kMiB + 1}) {
    void* block = pool.allocate(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 512, 0u) << bytes;
    EXPECT_EQ(pool.stats().in_use, bytes == 0 ? 512 : (bytes + 511) / 512 * 512) << bytes;
    pool.release(block);
    EXPECT_EQ(pool.stats().in_use, 0u);
  }
}

TEST(Pool, AsksForSegments) {
  LimitedSystem system;
  Pool pool(system);
  std::vector<void*> all;
  const auto take = [&](std::size_t bytes) { all.push_back(pool.allocate(bytes)); };
  take(1);
  take(kMiB - 512);        // in the same segment, of small ones
  take(kMiB);              // in one of large ones
  take(62 * kMiB);         // beside it
  take(2 * kMiB);          // no room
  take(65 * kMiB + 1000);  // more than a segment has
  EXPECT_EQ(system.sizes, (std::vector<std::size_t>{2 * kMiB, 64 * kMiB, 64 * kMiB, 66 * kMiB}));
  EXPECT_EQ(pool.stats().system_calls, 4u);
  EXPECT_EQ(pool.stats().in_use + pool.stats().cached, system.held);
  for (void* block : all) pool.release(block);
  EXPECT_EQ(pool.stats().cached, system.held);
  pool.trim();
  EXPECT_EQ(system.held, 0u);
}

TEST(Pool, HandsOutFreedBlocksAgain) {
  LimitedSystem system;
  Pool pool(system);
  void* a = pool.allocate(10000);
  pool.release(a);
  EXPECT_EQ(pool.stats().in_use, 0u);
  EXPECT_EQ(pool.stats().cached, 2 * kMiB);
  EXPECT_EQ(pool.allocate(9000), a);
  EXPECT_EQ(pool.stats().system_calls, 1u);
  EXPECT_EQ(pool.stats().cached, 2 * kMiB - 9216);
  void* b = pool.allocate(9000);
  EXPECT_NE(b, a);
  EXPECT_EQ(pool.stats().system_calls, 1u);
  EXPECT_EQ(pool.stats().peak, 2u * 9216);
  pool.release(a);
  pool.release(b);
  EXPECT_EQ(pool.stats().peak, 2u * 9216);
  pool.trim();
  EXPECT_EQ(pool.stats().cached, 0u);
  EXPECT_EQ(system.held, 0u);
}

TEST(Pool, JoinsFreeNeighbours) {
  LimitedSystem system;
  Pool pool(system);
  std::byte* const a = taken_from(pool, 20 * kMiB);
  std::byte* const b = taken_from(pool, 20 * kMiB);
  std::byte* const c = taken_from(pool, 24 * kMiB);
  EXPECT_EQ(b - a, std::ptrdiff_t{20} << 20);
  EXPECT_EQ(c - b, std::ptrdiff_t{20} << 20);
  pool.release(a);
  pool.release(c);
  EXPECT_EQ(taken_from(pool, 10 * kMiB), a) << "into the smaller of the two";
  pool.release(b);  // between a free rest and a free block
  EXPECT_EQ(taken_from(pool, 54 * kMiB), a + (10 << 20));
  EXPECT_EQ(system.sizes, std::vector<std::size_t>{64 * kMiB}) << "and never asked for more";
  pool.release(a);
  pool.release(a + (10 << 20));
  pool.trim();
  EXPECT_EQ(system.held, 0u) << "whole again";
}

TEST(Pool, NeighbouringSegmentsStayApart) {
  // Two segments that touch: what is free at the end of one and at the beginning of the other is no block.
  class Touching : public SystemAllocator {
   public:
    void* allocate(std::size_t bytes) override { return bytes == kMiB && at_ < 2 ? memory_ + kMiB * at_++ : nullptr; }
    std::size_t segment(std::size_t) const override { return kMiB; }
    void release(void*, std::size_t bytes) noexcept override { EXPECT_EQ(bytes, kMiB); }
    ~Touching() override { std::free(memory_); }

   private:
    std::byte* memory_ = static_cast<std::byte*>(std::aligned_alloc(4096, 2 * kMiB));
    std::size_t at_ = 0;
  } system;
  Pool pool(system);
  void* a = pool.allocate(kMiB);
  void* b = pool.allocate(kMiB);
  pool.release(a);
  pool.release(b);
  EXPECT_NE(error_of([&] { pool.allocate(2 * kMiB); }), "");
}

/// Where blocks lie is the requests' doing, not that of the addresses which the system hands out.
TEST(Pool, PrefersOldSegments) {
  for (const bool rising : {false, true}) {
    class Ordered : public LimitedSystem {
     public:
      explicit Ordered(bool rising) : rising_(rising) {}
      void* allocate(std::size_t) override { return memory_ + kMiB * (rising_ ? at_++ : 3 - at_++); }
      std::size_t segment(std::size_t) const override { return kMiB; }
      void release(void*, std::size_t) noexcept override {}
      ~Ordered() override { std::free(memory_); }

     private:
      bool rising_;
      std::byte* memory_ = static_cast<std::byte*>(std::aligned_alloc(4096, 4 * kMiB));
      std::size_t at_ = 0;
    } system(rising);
    Pool pool(system);
    std::vector<void*> blocks;
    for (int i = 0; i < 4; ++i) blocks.push_back(pool.allocate(kMiB));
    for (const int i : {2, 0, 3, 1}) pool.release(blocks[static_cast<std::size_t>(i)]);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(pool.allocate(kMiB), blocks[static_cast<std::size_t>(i)]) << i << rising;
    for (void* block : blocks) pool.release(block);
  }
}

TEST(Pool, NoTwoBlocksOverlapAndAllComesBack) {
  LimitedSystem system;
  Pool pool(system);
  std::map<std::byte*, std::size_t> held;
  std::size_t in_use = 0;
  for (std::uint64_t step = 0; step < 20'000; ++step) {
    const std::uint64_t draw = mix64(step);
    if (held.size() > 60 || (draw % 2 == 0 && !held.empty())) {
      const auto gone = std::next(held.begin(), static_cast<std::ptrdiff_t>(draw / 2 % held.size()));
      pool.release(gone->first);
      in_use -= (gone->second + 511) / 512 * 512;
      held.erase(gone);
    } else {
      const std::size_t bytes = 1 + (draw / 2) % (draw % 3 == 0 ? 6 * kMiB : 100 * kKiB);
      const auto [at, fresh] = held.emplace(taken_from(pool, bytes), bytes);
      ASSERT_TRUE(fresh);
      ASSERT_TRUE(at == held.begin() || std::prev(at)->first + std::prev(at)->second <= at->first);
      ASSERT_TRUE(std::next(at) == held.end() || at->first + bytes <= std::next(at)->first);
      in_use += (bytes + 511) / 512 * 512;
    }
    ASSERT_EQ(pool.stats().in_use, in_use);
    ASSERT_EQ(pool.stats().in_use + pool.stats().cached, system.held);
  }
  for (const auto& [block, bytes] : held) pool.release(block);
  pool.trim();
  EXPECT_EQ(system.held, 0u) << "a segment was not whole again";
}

TEST(Pool, GivesEverythingBackInTheEnd) {
  LimitedSystem system;
  {
    Pool pool(system);
    pool.release(pool.allocate(1));
    pool.release(pool.allocate(5 * kMiB));
    EXPECT_GT(system.held, 0u);
  }
  EXPECT_EQ(system.held, 0u);
  EXPECT_EQ(system.released, 2);
}

TEST(Pool, ASystemWithoutRoomForASegmentIsAskedForLess) {
  LimitedSystem system(8 * kMiB);
  Pool pool(system);
  void* block = pool.allocate(5 * kMiB + 1);
  EXPECT_EQ(system.held, 5 * kMiB + 512);
  pool.release(block);
}

TEST(Pool, TrimsTheCacheAndTriesAgain) {
  LimitedSystem system(8 * kMiB, true);
  Pool pool(system);
  void* cached = pool.allocate(3 * kMiB);
  pool.release(cached);
  void* block = pool.allocate(6 * kMiB);  // fits only once the 3 MiB are given back
  EXPECT_NE(block, nullptr);
  EXPECT_EQ(system.released, 1);
  EXPECT_EQ(pool.stats().cached, 0u);
  EXPECT_EQ(pool.stats().in_use, 6 * kMiB);
  pool.release(block);
}

TEST(Pool, SaysWhatIsOutOfMemory) {
  LimitedSystem system(8 * kMiB, true);
  Pool pool(system);
  void* a = pool.allocate(2 * kMiB);
  void* b = pool.allocate(3 * kMiB);
  pool.release(a);
  EXPECT_EQ(error_of([&] { pool.allocate(6 * kMiB + 100 * kKiB); }),
            "out of memory: 6.1 MiB requested, 3.0 MiB in use, 2.0 MiB cached, 5.0 MiB at the peak, 0.0 MiB free. Use "
            "a smaller "
            "--batch-size (with --accumulate to keep the effective one), --image-size or --base-channels.");
  EXPECT_EQ(pool.stats().in_use, 3 * kMiB) << "a refused request counts nowhere";
  void* small = pool.allocate(kMiB);
  EXPECT_NE(small, nullptr) << "the pool works on";
  pool.release(small);
  pool.release(b);
}

TEST(Pool, PoisonIsNaNInEveryFloat) {
  LimitedSystem system;
  Pool pool(system);
  pool.poison(true);
  for (int round = 0; round < 2; ++round) {  // fresh, then from the cache
    void* block = pool.allocate(64);
    float f = 0;
    double d = 0;
    std::memcpy(&f, block, sizeof f);
    std::memcpy(&d, block, sizeof d);
    EXPECT_TRUE(std::isnan(f));
    EXPECT_TRUE(std::isnan(d));
    std::memset(block, 0, 64);
    pool.release(block);
  }
}

TEST(Pool, AddressSanitizerWatchesWhatIsNotHandedOut) {
  if (__asan_address_is_poisoned == nullptr) GTEST_SKIP() << "no AddressSanitizer in this build";
  const auto forbidden = [](const std::byte* at) { return __asan_address_is_poisoned(at) != 0; };
  LimitedSystem system;
  Pool pool(system);
  std::byte* const block = taken_from(pool, 100);
  EXPECT_FALSE(forbidden(block) || forbidden(block + 99));
  EXPECT_TRUE(forbidden(block + 104)) << "behind it";
  pool.release(block);
  EXPECT_TRUE(forbidden(block)) << "given back";
  EXPECT_EQ(pool.allocate(200), block);
  EXPECT_FALSE(forbidden(block + 199));
  pool.release(block);
}

TEST(CpuPool, BlocksAreAligned) {
  for (const std::int64_t bytes : {1, 5000, 100000, 3000000}) {
    const Tensor t = Tensor::empty({bytes}, Dtype::u8);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(t.data<void>()) % 256, 0u) << bytes;
  }
}

TEST(CpuPool, ASecondRoundAsksTheSystemForNothing) {
  const auto round = [] {
    std::vector<Tensor> held;
    for (int i = 1; i < 20; ++i) held.push_back(Tensor::empty({i * 1000}, Dtype::f32));
  };
  round();
  const std::uint64_t calls = cpu_pool().stats().system_calls;
  round();
  EXPECT_EQ(cpu_pool().stats().system_calls, calls);
}

}  // namespace
}  // namespace unet::tests::pool_test
