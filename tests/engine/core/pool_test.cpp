// The caching pool, on made-up systems below it.
#include "engine/core/pool.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <set>

#include "engine/core/tensor.h"
#include "tests/support/tensors.h"

namespace unet::tests::pool_test {
namespace {

constexpr std::size_t kKiB = 1024, kMiB = 1024 * 1024;

/// Counts; has no memory beyond `limit`.
class LimitedSystem : public SystemAllocator {
 public:
  explicit LimitedSystem(std::size_t limit = std::numeric_limits<std::size_t>::max()) : limit_(limit) {}
  void* allocate(std::size_t bytes) override {
    sizes.push_back(bytes);
    if (held + bytes > limit_) return nullptr;
    held += bytes;
    return std::aligned_alloc(4096, bytes);
  }
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
};

TEST(Pool, RoundsUpToClasses) {
  LimitedSystem system;
  Pool pool(system);
  const auto size_class = [&](std::size_t bytes) {
    void* block = pool.allocate(bytes);
    const std::size_t out = pool.stats().in_use;
    pool.release(block, bytes);
    return out;
  };
  EXPECT_EQ(size_class(0), 4 * kKiB);
  EXPECT_EQ(size_class(1), 4 * kKiB);
  EXPECT_EQ(size_class(4 * kKiB), 4 * kKiB);
  EXPECT_EQ(size_class(4 * kKiB + 1), 8 * kKiB);
  EXPECT_EQ(size_class(64 * kKiB), 64 * kKiB);
  EXPECT_EQ(size_class(64 * kKiB + 1), 72 * kKiB);
  EXPECT_EQ(size_class(128 * kKiB), 128 * kKiB);
  EXPECT_EQ(size_class(128 * kKiB + 1), 144 * kKiB);
  EXPECT_EQ(size_class(kMiB), kMiB);
  EXPECT_EQ(size_class(3 * kMiB + 1), 3 * kMiB + 256 * kKiB);
  for (std::size_t bytes = 64 * kKiB; bytes < 8 * kMiB; bytes += 12345) {
    const std::size_t got = size_class(bytes);
    EXPECT_GE(got, bytes);
    EXPECT_LE(got, bytes + bytes / 8);
    EXPECT_EQ(size_class(got), got) << "a class must be its own class";
  }
}

TEST(Pool, HandsOutFreedBlocksAgain) {
  LimitedSystem system;
  Pool pool(system);
  void* a = pool.allocate(10000);
  pool.release(a, 10000);
  EXPECT_EQ(pool.stats().in_use, 0u);
  EXPECT_EQ(pool.stats().cached, 12 * kKiB);
  EXPECT_EQ(pool.allocate(9000), a) << "same class, so the same block";
  EXPECT_EQ(pool.stats().system_calls, 1u);
  EXPECT_EQ(pool.stats().cached, 0u);
  void* b = pool.allocate(9000);
  EXPECT_NE(b, a);
  EXPECT_EQ(pool.stats().system_calls, 2u);
  EXPECT_EQ(pool.stats().peak, 24 * kKiB);
  pool.release(a, 9000);
  pool.release(b, 9000);
  EXPECT_EQ(pool.stats().peak, 24 * kKiB);
  pool.trim();
  EXPECT_EQ(pool.stats().cached, 0u);
  EXPECT_EQ(system.held, 0u);
}

TEST(Pool, GivesEverythingBackInTheEnd) {
  LimitedSystem system;
  {
    Pool pool(system);
    pool.release(pool.allocate(1), 1);
    pool.release(pool.allocate(5 * kMiB), 5 * kMiB);
    EXPECT_GT(system.held, 0u);
  }
  EXPECT_EQ(system.held, 0u);
  EXPECT_EQ(system.released, 2);
}

TEST(Pool, GivesBackTheBlocksOfOneSize) {
  LimitedSystem system;
  Pool pool(system);
  void* a = pool.allocate(10000);
  void* b = pool.allocate(5 * kMiB);
  pool.release(a, 10000);
  pool.release(b, 5 * kMiB);
  pool.trim(9000);  // the class of 10000
  EXPECT_EQ(pool.stats().cached, 5 * kMiB);
  EXPECT_EQ(system.held, 5 * kMiB);
  pool.trim(kMiB);  // none there
  EXPECT_EQ(system.held, 5 * kMiB);
  EXPECT_EQ(pool.allocate(5 * kMiB), b);
  pool.release(b, 5 * kMiB);
}

TEST(Pool, TrimsTheCacheAndTriesAgain) {
  LimitedSystem system(8 * kMiB);
  Pool pool(system);
  void* cached = pool.allocate(6 * kMiB);
  pool.release(cached, 6 * kMiB);
  void* block = pool.allocate(4 * kMiB);  // fits only once the 6 MiB are given back
  EXPECT_NE(block, nullptr);
  EXPECT_EQ(system.released, 1);
  EXPECT_EQ(pool.stats().cached, 0u);
  EXPECT_EQ(pool.stats().in_use, 4 * kMiB);
  pool.release(block, 4 * kMiB);
}

TEST(Pool, SaysWhatIsOutOfMemory) {
  LimitedSystem system(8 * kMiB);
  Pool pool(system);
  void* a = pool.allocate(2 * kMiB);
  void* b = pool.allocate(3 * kMiB);
  pool.release(a, 2 * kMiB);
  EXPECT_EQ(error_of([&] { pool.allocate(6 * kMiB + 100 * kKiB); }),
            "out of memory: 6.1 MiB requested, 3.0 MiB in use, 2.0 MiB cached, 5.0 MiB at the peak, 0.0 MiB free. Use "
            "a smaller "
            "--batch-size (with --accumulate to keep the effective one), --image-size or --base-channels.");
  EXPECT_EQ(pool.stats().in_use, 3 * kMiB) << "a refused request counts nowhere";
  void* small = pool.allocate(kMiB);
  EXPECT_NE(small, nullptr) << "the pool works on";
  pool.release(small, kMiB);
  pool.release(b, 3 * kMiB);
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
    pool.release(block, 64);
  }
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
