// What uploads leave pinned, and what they hold on to when the runtime fails.
#include "engine/core/cuda_memory.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "engine/core/device_memory.h"
#include "engine/core/tensor.h"
#include "tests/support/cuda_shim/failing_runtime.h"
#include "tests/support/cuda_shim/fibers.h"
#include "tests/support/cuda_shim/shim_runtime.h"

namespace unet::tests::cuda_memory_on_stand_in_test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

std::size_t pinned() {
  const PoolStats stats = cuda_memory::pinned_pool().stats();
  return stats.in_use + stats.cached;
}

std::vector<std::uint64_t> numbers(std::size_t bytes) {
  std::vector<std::uint64_t> out(bytes / 8);
  std::mt19937_64 random(1);
  for (std::uint64_t& number : out) number = random();
  return out;
}

class CudaUpload : public testing::Test {
 protected:
  CudaUpload() { trim(kCuda); }
  ~CudaUpload() override { trim(kCuda); }
};

TEST_F(CudaUpload, OfALargeArenaLeavesTwoBuffersPinned) {
  const std::vector<std::uint64_t> from = numbers(45 * kMiB + 8);
  const std::size_t bytes = from.size() * 8;
  struct Block {
    std::size_t bytes;
    void* data = pool_of(kCuda).allocate(bytes);
    ~Block() { pool_of(kCuda).release(data); }
  } const block{bytes};
  for (int i = 0; i < 3; ++i) upload(block.data, kCuda, from.data(), bytes);
  EXPECT_LE(pinned(), 16 * kMiB);
  std::vector<std::uint64_t> back(from.size());
  download(back.data(), block.data, kCuda, bytes);
  EXPECT_EQ(back, from);
}

/// What a step needs is not waited for: its batch lies in pinned memory as a whole.
TEST_F(CudaUpload, OfABatchDoesNotWait) {
  const std::vector<std::uint64_t> from = numbers(20 * kMiB);
  const Tensor batch = Tensor::copy_of({20 * std::int64_t{kMiB}}, Dtype::u8, from.data(), kCuda);
  EXPECT_GE(pinned(), 20 * kMiB);
}

/// Its memory may have been that of a batch which a step under way has yet to read.
TEST_F(CudaUpload, OfABatchLeavesTheOneBeforeToItsStep) {
  const std::uint64_t seed_before = shim::order_seed();
  constexpr std::int64_t kSize = 4096;
  const std::vector<std::uint8_t> ones(kSize, 1), twos(kSize, 2);
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    shim::set_order_seed(seed);
    std::vector<Tensor> read;
    for (int i = 0; i < 4; ++i) {
      for (const std::vector<std::uint8_t>& batch : {ones, twos}) {
        read.push_back(Tensor::copy_of({kSize}, Dtype::u8, batch.data(), kCuda).clone());
      }
    }
    for (std::size_t i = 0; i < read.size(); ++i) {
      EXPECT_EQ(read[i].to(Device()).values<std::uint8_t>(), i % 2 == 0 ? ones : twos) << "seed " << seed << ", " << i;
    }
  }
  shim::set_order_seed(seed_before);
}

/// A host that is a step ahead of the device, as in training: the batch need not wait for the step under way.
TEST_F(CudaUpload, OfTheNextBatchBeginsAtOnce) {
  shim::ShimRuntime& device = shim::shim_runtime();
  const std::vector<std::uint8_t> pixels(4096, 1);
  std::deque<kernels::cuda::Event> ends;
  const auto step = [&] {
    const Tensor batch = Tensor::copy_of({4096}, Dtype::u8, pixels.data(), kCuda);
    for (int i = 0; i < 50; ++i) static_cast<void>(batch.clone());
    ends.push_back(device.create_event(false));
    device.record(ends.back());
    if (ends.size() < 2) return;
    device.wait(ends.front());
    device.destroy_event(ends.front());
    ends.pop_front();
  };
  for (int i = 0; i < 3; ++i) step();
  const std::uint64_t before = device.copies_beside(), at_once = device.copies_at_once();
  const std::size_t taken = pool_of(kCuda).stats().in_use;
  for (int i = 0; i < 10; ++i) step();
  EXPECT_EQ(device.copies_beside() - before, 10u);
  EXPECT_EQ(device.copies_at_once() - at_once, 10u);
  EXPECT_EQ(pool_of(kCuda).stats().in_use, taken) << "more than two in turn";
  device.destroy_event(ends.front());
}

TEST_F(CudaUpload, ThatFailsGivesEverythingBack) {
  const std::vector<std::uint64_t> from = numbers(45 * kMiB);
  shim::ShimRuntime& real = shim::shim_runtime();
  const int blocks = real.live_blocks(), events = real.live_events();
  const auto work = [&] { Tensor::copy_of({45 * std::int64_t{kMiB}}, Dtype::u8, from.data(), kCuda); };
  shim::FailingRuntime counting(real, 0);
  kernels::cuda::set_runtime(&counting);
  work();
  trim(kCuda);
  for (std::uint64_t n = 1; n <= counting.calls(); ++n) {
    shim::FailingRuntime failing(real, n);
    kernels::cuda::set_runtime(&failing);
    try {
      work();
    } catch (const std::exception&) {  // a second try may have memory, a destructor waits in silence
    }
    kernels::cuda::set_runtime(nullptr);
    trim(kCuda);
    EXPECT_EQ(real.live_blocks(), blocks) << "after call " << n;
    EXPECT_EQ(real.live_events(), events) << "after call " << n;
  }
  EXPECT_GE(counting.calls(), 6u * 3);
}

}  // namespace
}  // namespace unet::tests::cuda_memory_on_stand_in_test
