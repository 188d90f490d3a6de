// The pool of threads: every item once, teams that meet, callers that do not know of each other.
#include "kernels/cpu/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace unet::kernels::cpu::parallel_test {
namespace {

class ThreadCount {
 public:
  explicit ThreadCount(int n) : before_(threads()) { set_threads(n); }
  ~ThreadCount() { set_threads(before_); }

 private:
  int before_;
};

/// How often parallel_for calls its body with each item, counted without help of the pool.
std::vector<int> calls_of(std::int64_t n) {
  std::vector<std::atomic<int>> calls(static_cast<std::size_t>(n));
  parallel_for(n, [&](std::int64_t i) { calls[static_cast<std::size_t>(i)].fetch_add(1, std::memory_order_relaxed); });
  return {calls.begin(), calls.end()};
}

TEST(Parallel, EveryItemIsCalledOnce) {
  for (const int count : {1, 2, 3, 7, 70}) {  // also more than there are processors
    const ThreadCount scope(count);
    for (const std::int64_t n : {0, 1, 2, 3, 63, 64, 65, 1000, 8191}) {
      EXPECT_EQ(calls_of(n), std::vector<int>(static_cast<std::size_t>(n), 1)) << n << " items, " << count;
    }
  }
}

TEST(Parallel, ATeamMeetsAtEveryBarrier) {
  for (const int count : {2, 3, 8}) {
    const ThreadCount scope(count);
    std::vector<std::atomic<int>> rounds(static_cast<std::size_t>(count));
    std::atomic<int> early{0};
    parallel_team(count, [&](int id, int size, const TeamBarrier& barrier) {
      ASSERT_LE(size, count);
      for (int round = 1; round <= 200; ++round) {
        rounds[static_cast<std::size_t>(id)] = round;
        barrier();
        for (int other = 0; other < size; ++other) early += rounds[static_cast<std::size_t>(other)] < round;
        barrier();
      }
    });
    EXPECT_EQ(early, 0);
  }
}

TEST(Parallel, SeveralThreadsMayCallAtOnce) {
  const ThreadCount scope(3);
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> callers;
    for (int caller = 0; caller < 4; ++caller) {
      callers.emplace_back([&] {
        for (int run = 0; run < 200; ++run) {
          wrong += calls_of(97) != std::vector<int>(97, 1);
          std::atomic<int> met{0};
          parallel_team(3, [&](int, int size, const TeamBarrier& barrier) {
            ++met;
            barrier();
            wrong += met != size;
          });
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
}

TEST(Parallel, ABodyMayCallAgain) {
  const ThreadCount scope(3);
  std::atomic<std::int64_t> inner{0};
  parallel_for(50, [&](std::int64_t) { parallel_for(20, [&](std::int64_t) { ++inner; }); });
  EXPECT_EQ(inner, 1000);
}

TEST(Parallel, WhoComesLateFindsItsItemsDone) {
  const ThreadCount scope(2);
  // The thread that takes item 0 is held up: the other one must do all the rest, also of the share of the first.
  std::atomic<int> done{0};
  std::atomic<bool> timed_out{false};
  parallel_for(128, [&](std::int64_t i) {
    if (i == 0) {
      const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
      while (done < 127 && !timed_out) timed_out = std::chrono::steady_clock::now() > end;
    } else {
      ++done;
    }
  });
  EXPECT_FALSE(timed_out);
}

TEST(Parallel, AWaitingThreadSleeps) {
  const ThreadCount scope(2);
  const auto processor_seconds = [] {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double before = processor_seconds();
  parallel_for(2, [](std::int64_t i) {
    if (i == 0) std::this_thread::sleep_for(std::chrono::milliseconds(500));
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_LT(processor_seconds() - before, 0.1);  // a thread that spun would have used half a second
}

}  // namespace
}  // namespace unet::kernels::cpu::parallel_test
