// The only threading helper of the CPU kernels: one pool of threads for the whole process.
//
// Work is always cut by the shape alone, never by the number of threads, so results are the same byte for byte for any
// number of threads: cut n items into Blocks, compute a partial result per block, combine the partials in order.
//
// The machine is shared with others: a thread that waits spins for some microseconds and then sleeps, and one that
// comes late finds its blocks done by the others. Every function here may be called from several threads at once, and
// from within a body: who finds the pool at work does its work alone.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

namespace unet::kernels::cpu {

/// Threads that parallel_for may use: the affinity mask's count until set_threads(n) is called, n >= 1.
int threads();
void set_threads(int n);

/// A cut of [0, items) that depends on nothing but its arguments.
struct Blocks {
  std::int64_t items;
  std::int64_t size;   // items in every block but perhaps the last
  std::int64_t count;  // 0 when items is 0

  std::int64_t begin(std::int64_t block) const { return block * size; }
  std::int64_t end(std::int64_t block) const { return std::min(items, (block + 1) * size); }
};

/// At most max_count blocks of at least min_size items each (the last may be smaller).
inline Blocks cut(std::int64_t items, std::int64_t min_size, std::int64_t max_count = 256) {
  const std::int64_t even = (items + max_count - 1) / max_count;
  const std::int64_t size = std::max<std::int64_t>({1, min_size, even});
  return {items, size, (items + size - 1) / size};
}

/// A number that threads wait on: for some microseconds awake, then asleep.
class Signal {
 public:
  std::uint32_t get() const { return value_.load(std::memory_order_acquire); }
  /// Wakes the threads that wait for a change. What was written before is seen by those who see the new value.
  void set(std::uint32_t value);
  void add_one();
  /// Returns when the value is another than `old`.
  void wait_while(std::uint32_t old);

 private:
  void wake();

  std::atomic<std::uint32_t> value_{0};
  std::atomic<int> sleepers_{0};
};

/// Returns when all of a team have called it. A team of one passes.
class TeamBarrier {
 public:
  explicit TeamBarrier(int size) : size_(size) {}
  void operator()() const;

 private:
  int size_;
  mutable std::atomic<int> arrived_{0};
  mutable Signal round_;
};

namespace detail {

/// What the threads of the pool are to call: id is 0 for the caller, then 1, 2, ...
struct Task {
  void (*call)(void* context, int id);
  void* context;
};

/// Calls the task on this thread and on team - 1 others and returns when all have ended. False, and nothing is called,
/// where the pool is at work. Throws std::runtime_error if the system gives no more threads.
bool run(int team, Task task);

/// The items [next, end) that one thread takes first, and the others when they have ended theirs.
struct alignas(64) Share {
  std::atomic<std::int64_t> next;
  std::int64_t end;
};

}  // namespace detail

/// Calls body(i) once for every i in [0, n), on several threads. Each begins with a contiguous range of its own, so
/// that it finds in its caches what it left there, and then helps the others. body must not throw.
template <class Body>
void parallel_for(std::int64_t n, Body&& body) {
  constexpr std::int64_t most_shares = 64;
  const int team = static_cast<int>(std::min<std::int64_t>(threads(), n));
  if (team <= 1) {
    for (std::int64_t i = 0; i < n; ++i) body(i);
    return;
  }
  const std::int64_t shares = std::min<std::int64_t>(team, most_shares);
  std::array<detail::Share, most_shares> share;
  for (std::int64_t s = 0; s < shares; ++s) {
    const auto at = static_cast<std::size_t>(s);
    share[at].next.store(n * s / shares, std::memory_order_relaxed);
    share[at].end = n * (s + 1) / shares;
  }
  const std::int64_t grain = std::max<std::int64_t>(1, n / (shares * 64));
  auto work = [&](int id) {
    for (std::int64_t turn = 0; turn < shares; ++turn) {
      detail::Share& mine = share[static_cast<std::size_t>((id + turn) % shares)];
      for (;;) {
        const std::int64_t begin = mine.next.fetch_add(grain, std::memory_order_relaxed);
        if (begin >= mine.end) break;
        for (std::int64_t i = begin; i < std::min(begin + grain, mine.end); ++i) body(i);
      }
    }
  };
  if (!detail::run(team, {[](void* whole, int id) { (*static_cast<decltype(work)*>(whole))(id); }, &work})) work(0);
}

/// Calls body(id, size, barrier) on each of `size` <= wanted threads at once; barrier() returns when all of them have
/// called it. For work whose phases share data; `size` may order it, but must not show in its results. body must not
/// throw.
template <class Body>
void parallel_team(int wanted, Body&& body) {
  const TeamBarrier barrier(wanted), alone(1);
  auto work = [&](int id) { body(id, wanted, barrier); };
  const detail::Task task{[](void* whole, int id) { (*static_cast<decltype(work)*>(whole))(id); }, &work};
  if (wanted <= 1 || !detail::run(wanted, task)) body(0, 1, alone);
}

}  // namespace unet::kernels::cpu
