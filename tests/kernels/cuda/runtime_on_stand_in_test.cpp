// The stand-in's memory and stream, and the runtime that fails at call N.
#include <gtest/gtest.h>

#include <cstring>

#include "kernels/elementwise.h"
#include "tests/support/cuda_shim/failing_runtime.h"
#include "tests/support/cuda_shim/fibers.h"
#include "tests/support/cuda_shim/shim_runtime.h"

namespace unet::shim::runtime_on_stand_in_test {
namespace {

using kernels::cuda::CudaError;
using kernels::cuda::Event;
using kernels::cuda::runtime;
using kernels::cuda::set_runtime;

TEST(ShimRuntime, MemoryHasAnEndAndComesBack) {
  ShimRuntime shim(1 << 20);
  void* const block = shim.allocate(1 << 19);
  ASSERT_NE(block, nullptr);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 256, 0u);
  EXPECT_EQ(shim.memory().free, std::size_t{1} << 19);
  EXPECT_EQ(shim.allocate((1 << 19) + 1), nullptr);
  EXPECT_EQ(shim.live_blocks(), 1);
  shim.release(block);
  EXPECT_EQ(shim.live_blocks(), 0);
  EXPECT_EQ(shim.memory().free, std::size_t{1} << 20);
}

TEST(ShimRuntimeDeathTest, ReleasingTwiceEndsTheTest) {
  EXPECT_DEATH(
      {
        ShimRuntime shim;
        void* const block = shim.allocate(64);
        shim.release(block);
        shim.release(block);
      },
      "cudaFree of what was not allocated, or twice");
}

#if !defined(UNET_SANITIZED)  // which reports such a write itself
TEST(ShimRuntime, AWriteBesideABlockIsSeen) {
  for (const std::ptrdiff_t at : {-1, 64}) {
    ShimRuntime shim;
    auto* const block = static_cast<unsigned char*>(shim.allocate(64));
    EXPECT_EQ(shim.broken_guards(), 0);
    block[at] = 0;
    EXPECT_EQ(shim.broken_guards(), 1);
    shim.release(block);
    EXPECT_EQ(shim.broken_guards(), 1);
  }
}
#endif

TEST(ShimRuntime, CopiesStayInsideOfBlocks) {
  ShimRuntime shim;
  void* const block = shim.allocate(64);
  char host[65] = {};
  EXPECT_THROW(shim.copy_to_device(block, host, 65), CudaError);
  EXPECT_THROW(shim.copy_to_host(host, host, 8), CudaError);
  EXPECT_THROW(shim.fill_bytes(static_cast<char*>(block) + 1, 0, 64), CudaError);
  EXPECT_THROW(shim.copy_on_device(block, host, 8), CudaError);
  shim.release(block);
}

// Pinned memory belongs to the stream until the copy is done: host code that does not wait sees and sends wrong bytes.
TEST(ShimRuntime, PinnedCopiesAreLate) {
  const std::uint64_t before = order_seed();
  int read_too_soon = 0, changed_too_soon = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    set_order_seed(seed);
    ShimRuntime shim;
    auto* const pinned = static_cast<int*>(shim.allocate_pinned(8));
    auto* const block = static_cast<int*>(shim.allocate(8));
    pinned[0] = 1;
    pinned[1] = 0;
    shim.copy_to_device(block, pinned, 4);
    pinned[0] = 2;
    shim.copy_to_host(pinned + 1, block, 4);
    read_too_soon += pinned[1] == 0 ? 1 : 0;
    shim.synchronize();
    changed_too_soon += pinned[1] == 2 ? 1 : 0;
    int plain = 3;  // any other memory is safe
    shim.copy_to_device(block, &plain, 4);
    plain = 4;
    int back = 0;
    shim.copy_to_host(&back, block, 4);
    EXPECT_EQ(back, 3);
    shim.release(block);
    shim.release_pinned(pinned);
  }
  EXPECT_GE(read_too_soon, 10);
  EXPECT_GE(changed_too_soon, 10);
  set_order_seed(before);
}

// A copy beside the stream comes before or after what was queued before it, but never before its event, and before
// what is queued after it.
TEST(ShimRuntime, ACopyBesideTheStreamWaitsForItsEventAlone) {
  const std::uint64_t seed_before = order_seed();
  int overtook = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    set_order_seed(seed);
    ShimRuntime shim;
    auto* const pinned = static_cast<int*>(shim.allocate_pinned(16));
    auto* const block = static_cast<int*>(shim.allocate(8));
    const Event filled = shim.create_event(false);
    pinned[0] = 1;
    shim.fill_bytes(block, 0, 8);
    shim.record(filled);
    shim.copy_to_host(pinned + 1, block, 4);
    shim.copy_beside(block, pinned, 4, filled);
    shim.copy_to_host(pinned + 2, block, 4);
    shim.synchronize();
    EXPECT_EQ(pinned[2], 1) << "neither before the event nor after what follows";
    overtook += pinned[1] == 1 ? 1 : 0;
    EXPECT_EQ(shim.copies_beside(), 1u);
    int plain = 3;
    EXPECT_THROW(shim.copy_beside(block, &plain, 4, filled), CudaError);
    shim.destroy_event(filled);
    shim.release(block);
    shim.release_pinned(pinned);
  }
  EXPECT_GE(overtook, 5);
  EXPECT_LE(overtook, 35);
  set_order_seed(seed_before);
}

TEST(ShimRuntime, EventsAreReachedInOrder) {
  ShimRuntime shim;
  void* const block = shim.allocate(64);
  void* const pinned = shim.allocate_pinned(64);
  const Event first = shim.create_event(true), second = shim.create_event(true);
  EXPECT_TRUE(shim.passed(first)) << "never recorded";
  shim.record(first);
  shim.copy_to_host(pinned, block, 64);
  shim.record(second);
  shim.wait(second);
  EXPECT_TRUE(shim.passed(first));
  EXPECT_TRUE(shim.passed(second));
  EXPECT_GE(shim.elapsed_ms(first, second), 0.0f);
  EXPECT_EQ(shim.live_events(), 2);
  shim.destroy_event(first);
  shim.destroy_event(second);
  EXPECT_EQ(shim.live_events(), 0);
  shim.release(block);
  shim.release_pinned(pinned);
}

TEST(ShimRuntime, AnEventThatIsAskedForOftenIsReached) {
  ShimRuntime shim;
  void* const block = shim.allocate(64);
  const Event event = shim.create_event(false);
  for (int i = 0; i < 5; ++i) shim.fill_bytes(block, i, 64);
  shim.record(event);
  int asked = 0;
  while (!shim.passed(event)) ASSERT_LT(++asked, 10);
  EXPECT_THROW(shim.elapsed_ms(event, event), CudaError) << "not timed";
  shim.destroy_event(event);
  shim.release(block);
}

TEST(ShimRuntime, TheTrafficOfALaunchIsCounted) {
  if (!counts_traffic()) GTEST_SKIP() << "not in a build with a sanitizer";
  ShimRuntime& shim = shim_runtime();
  void* const block = shim.allocate(1000);
  kernels::View x, y;
  x.dims = y.dims = {1, 1, 1, 100};
  x.pitch = y.pitch = 100;
  x.data = block;
  y.data = static_cast<char*>(block) + 400;
  shim.fill_bytes(block, 0, 1000);
  shim.begin_traffic();
  kernels::cuda::add_to(x, y);
  shim.synchronize();
  shim.note({"a product", 7, 8});
  const std::vector<Traffic> counts = shim.take_traffic();
  kernels::cuda::add_to(x, y);
  EXPECT_TRUE(shim.take_traffic().empty()) << "no longer asked for";
  ASSERT_EQ(counts.size(), 2u);
  EXPECT_NE(counts[0].name.find("map_kernel<"), std::string::npos);
  EXPECT_EQ(counts[0].read, 800u);
  EXPECT_EQ(counts[0].written, 400u);
  EXPECT_EQ(counts[1].name, "a product");
  shim.release(block);
}

TEST(ShimFootprint, CountsEveryByteOnceAndNothingThatTheLaunchItselfMade) {
  unsigned char memory[64];
  Footprint footprint;
  footprint.add(memory, 32);
  footprint.mark(memory, 8, false);
  footprint.mark(memory + 4, 8, false);
  footprint.mark(memory + 16, 8, true);
  footprint.mark(memory + 16, 8, false);  // read back
  footprint.mark(memory, 4, true);        // in place
  footprint.mark(memory + 32, 16, true);  // not of a block
  EXPECT_EQ(footprint.total().read, 12u);
  EXPECT_EQ(footprint.total().written, 12u);
}

/// A piece of host code that gives everything back, whatever happens.
void add_on_device() {
  struct Block {
    void* data = runtime().allocate(64);
    ~Block() { runtime().release(data); }
  };
  const Block block;
  if (block.data == nullptr) throw std::bad_alloc();
  float host[16] = {1};
  runtime().copy_to_device(block.data, host, sizeof host);
  kernels::View view;
  view.dims = {1, 1, 1, 16};
  view.pitch = 16;
  view.data = block.data;
  kernels::cuda::add_to(view, view);
  runtime().copy_to_host(host, block.data, sizeof host);
  runtime().synchronize();
  EXPECT_EQ(host[0], 2);
}

TEST(ShimFailingRuntime, FailsAtEveryCallInTurnAndNothingLeaks) {
  FailingRuntime counting(shim_runtime(), 0);
  set_runtime(&counting);
  add_on_device();
  const std::uint64_t calls = counting.calls();
  EXPECT_EQ(calls, 5u);  // allocate, copy, launch, copy, synchronize
  int out_of_memory = 0, errors = 0;
  for (std::uint64_t n = 1; n <= calls; ++n) {
    FailingRuntime failing(shim_runtime(), n);
    set_runtime(&failing);
    try {
      add_on_device();
      ADD_FAILURE() << "call " << n << " did not fail";
    } catch (const std::bad_alloc&) {
      ++out_of_memory;
    } catch (const CudaError& error) {
      EXPECT_NE(std::string(error.what()).find("call " + std::to_string(n) + " fails"), std::string::npos);
      ++errors;
    }
    EXPECT_EQ(failing.calls(), n);
    EXPECT_EQ(shim_runtime().live_blocks(), 0);
  }
  set_runtime(nullptr);
  EXPECT_EQ(out_of_memory, 1);
  EXPECT_EQ(errors, 4);
}

}  // namespace
}  // namespace unet::shim::runtime_on_stand_in_test
