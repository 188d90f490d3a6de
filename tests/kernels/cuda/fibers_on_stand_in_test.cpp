// The stand-in itself: what it has to catch, it catches.
#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <vector>

#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"
#include "tests/support/cuda_shim/fibers.h"
#include "tests/support/cuda_shim/shim_runtime.h"

namespace unet::shim::fibers_on_stand_in_test {
namespace {

using namespace kernels::cuda;

constexpr int kThreads = 96;

enum class Mistake { none, no_barrier_after_write, no_barrier_after_read };

/// out[b][t]: the sum over the rounds of what the neighbours wrote; turns of writing and reading need barriers between.
template <Mistake mistake>
__global__ void neighbours_kernel(const float* in, float* out) {
  __shared__ float memory[kThreads];
  const unsigned t = threadIdx.x;
  float sum = 0;
  for (int round = 0; round < 3; ++round) {
    memory[t] = in[t] + static_cast<float>(round);
    if (mistake != Mistake::no_barrier_after_write) __syncthreads();
    sum += memory[(t + 1) % kThreads] + 2 * memory[(t + 50) % kThreads];
    if (mistake != Mistake::no_barrier_after_read) __syncthreads();
  }
  out[blockIdx.x * kThreads + t] = sum;
}

/// Device memory of a test, filled with 0, 1, 2, ...
class Floats {
 public:
  explicit Floats(std::size_t count) : host(count), data(static_cast<float*>(runtime().allocate(count * 4))) {
    std::iota(host.begin(), host.end(), 0.0f);
    runtime().copy_to_device(data, host.data(), count * 4);
  }
  ~Floats() { runtime().release(data); }
  std::vector<float> get() {
    runtime().copy_to_host(host.data(), data, host.size() * 4);
    return host;
  }
  std::vector<float> host;
  float* data;
};

template <Mistake mistake>
bool right_with_seed(std::uint64_t seed) {
  const std::uint64_t before = order_seed();
  set_order_seed(seed);
  Floats in(kThreads), out(3 * kThreads);
  launch(neighbours_kernel<mistake>, {3}, {kThreads}, in.data, out.data);
  const std::vector<float> got = out.get();
  set_order_seed(before);
  for (std::size_t i = 0; i < got.size(); ++i) {
    const std::size_t t = i % kThreads;
    const std::size_t want = 3 * ((t + 1) % kThreads) + 6 * ((t + 50) % kThreads) + 3 + 6;
    if (got[i] != static_cast<float>(want)) return false;
  }
  return true;
}

TEST(ShimFibers, AKernelWithItsBarriersIsRightForEverySeed) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) EXPECT_TRUE(right_with_seed<Mistake::none>(seed)) << seed;
}

TEST(ShimFibers, AMissingBarrierIsCaught) {
  int wrong_after_write = 0, wrong_after_read = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    wrong_after_write += right_with_seed<Mistake::no_barrier_after_write>(seed) ? 0 : 1;
    wrong_after_read += right_with_seed<Mistake::no_barrier_after_read>(seed) ? 0 : 1;
  }
  EXPECT_GE(wrong_after_write, 9);
  EXPECT_GE(wrong_after_read, 9);
}

__global__ void half_a_barrier_kernel() {
  if (threadIdx.x < 40) __syncthreads();
}

__global__ void half_an_exchange_kernel(float* out) {
  if (threadIdx.x % 32 < 5) out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
}

__global__ void partial_mask_kernel(float* out) { out[threadIdx.x] = __shfl_xor_sync(0xffu, 1.0f, 1); }

std::string error_of(const std::function<void()>& body) {
  try {
    body();
    runtime().synchronize();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "(no error)";
}

TEST(ShimFibers, WhatOnlySomeThreadsReachIsAnError) {
  Floats out(kThreads);
  EXPECT_NE(error_of([] {
              launch(half_a_barrier_kernel, {1}, {kThreads});
            }).find("a barrier was reached by 40 of 96 threads"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              launch(half_an_exchange_kernel, {1}, {kThreads}, out.data);
            }).find("an exchange was reached by 5 of 32 threads of a warp"),
            std::string::npos);
  EXPECT_NE(error_of([&] { launch(partial_mask_kernel, {1}, {kThreads}, out.data); }).find("whole warps only"),
            std::string::npos);
  EXPECT_TRUE(right_with_seed<Mistake::none>(5)) << "after an error all goes on";
}

TEST(ShimFibers, AGridThatNoDeviceTakesIsAnError) {
  for (const auto& [grid, block] : std::vector<std::pair<Grid, Grid>>{
           {{1}, {1025}}, {{1}, {0}}, {{1, 65536}, {32}}, {{1}, {64, 32}}, {{0x80000000u}, {1}}}) {
    EXPECT_NE(error_of([&, g = grid, b = block] { launch(half_a_barrier_kernel, g, b); }).find("InvalidConfiguration"),
              std::string::npos);
  }
  EXPECT_EQ(error_of([] { launch(half_a_barrier_kernel, {0}, {32}); }), "(no error)") << "an empty grid is no call";
}

template <class T>
__global__ void unwritten_kernel(T* out) {
  __shared__ T memory[4];
  out[threadIdx.x] = memory[threadIdx.x % 4];
  __syncthreads();
  memory[threadIdx.x % 4] = 1;
}

TEST(ShimFibers, SharedMemoryIsPoisonedBeforeEveryBlock) {
  Floats out(8);
  launch(unwritten_kernel<float>, {3}, {8}, out.data);
  for (const float value : out.get()) EXPECT_TRUE(std::isnan(value));
  EXPECT_EQ(shared_arrays(reinterpret_cast<const void*>(unwritten_kernel<float>)), 1);
  EXPECT_EQ(shared_arrays(reinterpret_cast<const void*>(half_a_barrier_kernel)), 0);
}

__global__ void exchange_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x) % warpSize;
  int* mine = out + threadIdx.x * 5;
  mine[0] = __shfl_xor_sync(0xffffffffu, lane, 7);
  mine[1] = __shfl_down_sync(0xffffffffu, lane, 3);
  mine[2] = __shfl_up_sync(0xffffffffu, lane, 2);
  mine[3] = __shfl_sync(0xffffffffu, lane, 9);
  mine[4] = static_cast<int>(__ballot_sync(0xffffffffu, lane % 2));
}

TEST(ShimFibers, ExchangesAreTheDevices) {
  Floats memory(64 * 5);
  launch(exchange_kernel, {1}, {64}, reinterpret_cast<int*>(memory.data));
  memory.get();
  std::vector<int> got(64 * 5);
  std::memcpy(got.data(), memory.host.data(), got.size() * sizeof(int));
  for (int t = 0; t < 64; ++t) {
    const int lane = t % 32, *mine = got.data() + t * 5;
    EXPECT_EQ(mine[0], lane ^ 7);
    EXPECT_EQ(mine[1], lane + 3 < 32 ? lane + 3 : lane);
    EXPECT_EQ(mine[2], lane >= 2 ? lane - 2 : lane);
    EXPECT_EQ(mine[3], 9);
    EXPECT_EQ(mine[4], static_cast<int>(0xaaaaaaaa));
  }
}

__global__ void order_kernel(int* next, int* order) { order[atomicAdd(next, 1)] = static_cast<int>(threadIdx.x); }

TEST(ShimFibers, TheOrderIsAnotherEachTimeAndAllOfASeed) {
  const auto order_of = [] {
    Floats memory(33);
    runtime().fill_bytes(memory.data, 0, 4);
    auto* const data = reinterpret_cast<int*>(memory.data);
    launch(order_kernel, {1}, {32}, data, data + 1);
    return memory.get();
  };
  const std::uint64_t before = order_seed();
  set_order_seed(3);
  const auto first = order_of(), second = order_of();
  set_order_seed(3);
  EXPECT_EQ(order_of(), first);
  EXPECT_NE(second, first);
  set_order_seed(before);
}

TEST(ShimFibers, Bf16RoundsToNearestEven) {
  EXPECT_EQ(from_float<kernels::bf16>(1.00390625f).bits, 0x3f80) << "half way, to the even one";
  EXPECT_EQ(from_float<kernels::bf16>(1.01171875f).bits, 0x3f82);
  EXPECT_EQ(from_float<kernels::bf16>(1.00390637f).bits, 0x3f81);
  EXPECT_EQ(from_float<kernels::bf16>(std::numeric_limits<float>::infinity()).bits, 0x7f80);
  EXPECT_EQ(from_float<kernels::bf16>(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_TRUE(std::isnan(to_float(from_float<kernels::bf16>(std::nanf("")))));
  EXPECT_EQ(pack_bf16(1.0f, -2.0f), 0xc0003f80u);
}

}  // namespace
}  // namespace unet::shim::fibers_on_stand_in_test
