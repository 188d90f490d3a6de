#include "tests/support/cuda_shim/fibers.h"

#include <ucontext.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/cuda/device.h"  // threadIdx and its kin
#include "tests/support/cuda_shim/shared_memory.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace unet::shim {
namespace {

constexpr std::size_t kStack = 64 << 10;

struct Random {
  std::uint64_t state;
  std::uint64_t next() {  // splitmix64
    std::uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  unsigned below(std::size_t n) { return static_cast<unsigned>((next() >> 32) * n >> 32); }
};

/// A context that can be left and come back to. AddressSanitizer has to be told when the stack changes.
struct Context {
  ucontext_t state{};           // how it begins
  std::array<void*, 5> left{};  // where it was left
  bool entered = false;
  const void* bottom = nullptr;
  std::size_t size = 0;
  void* fake_stack = nullptr;
};

Context scheduler;

void arrived([[maybe_unused]] Context& in) {
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom = nullptr;
  std::size_t size = 0;
  __sanitizer_finish_switch_fiber(in.fake_stack, &bottom, &size);
  if (&in == &scheduler) return;
  scheduler.bottom = bottom;  // fibers are entered from there only
  scheduler.size = size;
#endif
}

/// The compiler's own jump: swapcontext asks the system, and the sanitizer's longjmp clears all of a stack's shadow.
[[noreturn, gnu::noinline, gnu::no_sanitize_address]] void jump(Context& to) {
  if (to.entered) __builtin_longjmp(to.left.data(), 1);
  setcontext(&to.state);
  std::abort();
}

[[gnu::noinline, gnu::no_sanitize_address]] void switch_context(Context& from, Context& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.fake_stack, to.bottom, to.size);
#endif
  from.entered = true;
  if (__builtin_setjmp(from.left.data()) == 0) jump(to);
  arrived(from);
}

void run_threads();

/// Runs one thread after another; holds one of them while that waits.
struct Fiber {
  Context context;
  std::unique_ptr<char[]> stack{new char[kStack]};

  void begin() {
    getcontext(&context.state);
    context.state.uc_stack.ss_sp = stack.get();
    context.state.uc_stack.ss_size = kStack;
    context.state.uc_link = nullptr;
    context.bottom = stack.get();
    context.size = kStack;
    makecontext(&context.state, run_threads, 0);
  }
};

struct Waiting {
  unsigned thread;
  Fiber* fiber;
};

struct Warp {
  std::vector<Waiting> waiting;
  unsigned threads = 0;
};

/// The block that runs now.
struct Block {
  const std::function<void()>* body = nullptr;
  std::vector<unsigned> fresh;         // threads that have not begun, in the order drawn
  std::vector<Waiting> ready;          // may go on
  std::vector<Waiting> at_barrier;     // of the block
  std::vector<Warp> warps;             // in an exchange
  std::vector<std::uint64_t> offered;  // [threads]
  unsigned threads = 0, left = 0;      // `left` have not returned
  unsigned thread = 0;                 // that runs now
  Fiber* fiber = nullptr;              // and where
  std::string failure;
};

std::uint64_t seed = 1;
Random order{seed};
Block block;
std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Fiber*> idle;  // begun or not, without a thread

void become(unsigned thread) {
  block.thread = thread;
  threadIdx = {thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / (blockDim.x * blockDim.y)};
}

/// What a fiber does, for ever: a fresh thread is run here without a change of stacks, for most never wait.
void run_threads() {
  arrived(block.fiber->context);
  while (true) {
    // Now and then one that waits goes first: fresh threads before all others would be an order like any other.
    if (block.fresh.empty() || (!block.ready.empty() && order.below(4) == 0)) {
      Fiber* const own = block.fiber;
      idle.push_back(own);
      switch_context(own->context, scheduler);
      continue;
    }
    become(block.fresh.back());
    block.fresh.pop_back();
    (*block.body)();
    --block.left;
  }
}

/// Leaves the running thread in `queue` until someone makes it ready.
void wait_in(std::vector<Waiting>& queue) {
  const Waiting own{block.thread, block.fiber};
  queue.push_back(own);
  switch_context(own.fiber->context, scheduler);
}

void make_ready(std::vector<Waiting>& queue) {
  block.ready.insert(block.ready.end(), queue.begin(), queue.end());
  queue.clear();
}

/// Lets one thread go on; false when none can.
bool step() {
  if (block.ready.empty() && block.fresh.empty()) return false;
  const bool fresh = !block.fresh.empty() && (block.ready.empty() || order.below(4) != 0);
  Fiber* next = nullptr;
  if (fresh) {
    if (idle.empty()) {
      fibers.push_back(std::make_unique<Fiber>());
      fibers.back()->begin();
      idle.push_back(fibers.back().get());
    }
    next = idle.back();
    idle.pop_back();
  } else {
    const unsigned at = order.below(block.ready.size());
    std::swap(block.ready[at], block.ready.back());
    next = block.ready.back().fiber;
    become(block.ready.back().thread);
    block.ready.pop_back();
  }
  block.fiber = next;
  switch_context(scheduler, next->context);
  return true;
}

/// An exception cannot leave a fiber: the scheduler throws it. (No string: this stack will never be unwound.)
void fail_in_thread(const char* what) {
  block.failure = what;
  switch_context(block.fiber->context, scheduler);
}

[[noreturn]] void fail(const std::string& what) {
  fibers.clear();  // their threads will never end
  idle.clear();
  throw std::logic_error("block (" + std::to_string(blockIdx.x) + "," + std::to_string(blockIdx.y) + "," +
                         std::to_string(blockIdx.z) + "), seed " + std::to_string(seed) + ": " + what);
}

void run_block(const void* kernel, const std::function<void()>& body) {
  block.body = &body;
  block.left = block.threads;
  block.fresh.resize(block.threads);
  std::iota(block.fresh.begin(), block.fresh.end(), 0u);
  for (unsigned i = block.threads; i > 1; --i) std::swap(block.fresh[i - 1], block.fresh[order.below(i)]);
  block.ready.clear();
  block.at_barrier.clear();
  block.failure.clear();
  for (Warp& warp : block.warps) warp.waiting.clear();
  poison_shared_memory(kernel);
  while (step()) {
    if (!block.failure.empty()) fail(block.failure);
  }
  for (const Warp& warp : block.warps) {
    if (!warp.waiting.empty()) {
      fail("an exchange was reached by " + std::to_string(warp.waiting.size()) + " of " + std::to_string(warp.threads) +
           " threads of a warp");
    }
  }
  if (!block.at_barrier.empty()) {
    fail("a barrier was reached by " + std::to_string(block.at_barrier.size()) + " of " +
         std::to_string(block.threads) + " threads");
  }
}

}  // namespace

void block_barrier() {
  if (block.at_barrier.size() + 1 == block.threads) {
    make_ready(block.at_barrier);
    block.ready.push_back({block.thread, block.fiber});
    switch_context(block.fiber->context, scheduler);
  } else {
    wait_in(block.at_barrier);
  }
}

std::uint64_t exchange(std::uint64_t value, unsigned mask, unsigned lane) {
  const unsigned thread = block.thread, first = thread / warpSize * warpSize;
  if (mask != 0xffffffff) fail_in_thread("the shim knows exchanges of whole warps only");
  Warp& warp = block.warps[thread / warpSize];
  const auto meet = [&] {
    if (warp.waiting.size() + 1 == warp.threads) {
      make_ready(warp.waiting);
    } else {
      wait_in(warp.waiting);
    }
  };
  block.offered[thread] = value;
  meet();
  const std::uint64_t got = block.offered[first + lane < block.threads ? first + lane : thread];
  meet();
  return got;
}

void check_launch(const kernels::cuda::Grid& grid, const kernels::cuda::Grid& size) {
  const auto text = [](const kernels::cuda::Grid& of) {
    return std::to_string(of.x) + "x" + std::to_string(of.y) + "x" + std::to_string(of.z);
  };
  const bool wide = size.x > 1024 || size.y > 1024 || size.z > 64;
  if (wide || size.x == 0 || size.y == 0 || size.z == 0 || size.x * size.y * size.z > 1024) {
    throw kernels::cuda::CudaError("cudaLaunchKernel: cudaErrorInvalidConfiguration (block " + text(size) + ")");
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535) {
    throw kernels::cuda::CudaError("cudaLaunchKernel: cudaErrorInvalidConfiguration (grid " + text(grid) + ")");
  }
}

void run_grid(const void* kernel, const kernels::cuda::Grid& grid, const kernels::cuda::Grid& size,
              const std::function<void()>& body) {
  gridDim = {grid.x, grid.y, grid.z};
  blockDim = {size.x, size.y, size.z};
  block.threads = size.x * size.y * size.z;
  block.offered.assign(block.threads, 0);
  block.warps.assign((block.threads + warpSize - 1) / warpSize, {});
  for (unsigned w = 0; w < block.warps.size(); ++w) {
    block.warps[w].threads = std::min<unsigned>(warpSize, block.threads - w * warpSize);
  }
  std::vector<std::uint64_t> places(std::uint64_t{grid.x} * grid.y * grid.z);
  std::iota(places.begin(), places.end(), std::uint64_t{0});
  for (std::size_t i = places.size(); i > 1; --i) std::swap(places[i - 1], places[order.below(i)]);
  for (const std::uint64_t at : places) {
    blockIdx = {static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y),
                static_cast<unsigned>(at / grid.x / grid.y)};
    run_block(kernel, body);
  }
}

void set_order_seed(std::uint64_t value) {
  seed = value;
  order.state = value;
}

std::uint64_t order_seed() { return seed; }

unsigned draw(std::size_t n) { return order.below(n); }

}  // namespace unet::shim
