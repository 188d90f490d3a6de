#include "kernels/cpu/parallel.h"

#include <sched.h>

#include <chrono>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

namespace unet::kernels::cpu {
namespace {

using Clock = std::chrono::steady_clock;

/// How long a thread looks for a change before it sleeps: longer than the gaps between the operations of a step and
/// than sleeping and waking cost, far shorter than the turns that a busy machine gives its processes.
constexpr std::chrono::microseconds kSpin{50};
/// How long a team waits for those who have not come.
constexpr std::chrono::microseconds kGather{200};

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Whether `done()` came true within the time.
template <class Done>
bool spin(std::chrono::microseconds time, const Done& done) {
  if (done()) return true;
  const Clock::time_point end = Clock::now() + time;
  do {
    for (int i = 0; i < 32; ++i) {
      relax();
      if (done()) return true;
    }
  } while (Clock::now() < end);
  return false;
}

/// Returns when `value` is another than `old`.
template <class T>
void wait_for_change(const std::atomic<T>& value, T old) {
  const auto changed = [&] { return value.load(std::memory_order_acquire) != old; };
  if (!spin(kSpin, changed)) value.wait(old, std::memory_order_acquire);
}

int affinity_count() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return 1;
}

int& thread_count() {
  static int count = affinity_count();
  return count;
}

/// Threads that wait for jobs, one job at a time.
class Pool {
 public:
  /// Begins a job that up to `others` threads may join. False, and nothing is begun, where one is under way. Throws
  /// std::runtime_error if the system gives no more threads.
  bool open(int others, detail::Task task) {
    if (taken_.test_and_set(std::memory_order_acquire)) return false;
    if (others > workers_) grow(others);
    task_ = task;
    ended_.store(0, std::memory_order_relaxed);
    seats_.store(static_cast<std::uint64_t>(others) << 32, std::memory_order_release);
    turn_.fetch_add(1, std::memory_order_release);
    turn_.notify_all();
    return true;
  }

  int joined() const { return static_cast<int>(seats_.load(std::memory_order_acquire) & 0xffffffffu); }

  /// Lets nobody else join; how many have.
  int close() { return static_cast<int>(seats_.exchange(0, std::memory_order_acq_rel) & 0xffffffffu); }

  /// Returns when the `joined` threads have ended their calls. The pool is free then.
  void finish(int joined) {
    for (;;) {
      const int ended = ended_.load(std::memory_order_acquire);
      if (ended == joined) break;
      wait_for_change(ended_, ended);
    }
    taken_.clear(std::memory_order_release);
  }

 private:
  void grow(int workers) {
    try {
      for (; workers_ < workers; ++workers_) std::thread([this] { work(); }).detach();
    } catch (const std::system_error& error) {
      taken_.clear(std::memory_order_release);
      throw std::runtime_error("cannot start " + std::to_string(workers + 1) + " threads: " + error.what() +
                               "; ask for fewer, or raise the system's limit");
    }
  }

  [[noreturn]] void work() {
    std::uint32_t seen = 0;
    for (;;) {
      wait_for_change(turn_, seen);
      seen = turn_.load(std::memory_order_acquire);
      const int id = take_seat();
      if (id == 0) continue;
      task_.call(task_.context, id);
      ended_.fetch_add(1, std::memory_order_acq_rel);
      ended_.notify_one();
    }
  }

  /// The id of one who joins the job, 0 if there is no seat left in it or no job.
  int take_seat() {
    std::uint64_t seats = seats_.load(std::memory_order_acquire);
    while ((seats & 0xffffffffu) < seats >> 32) {
      if (seats_.compare_exchange_weak(seats, seats + 1, std::memory_order_acq_rel)) {
        return static_cast<int>(seats & 0xffffffffu) + 1;
      }
    }
    return 0;
  }

  std::atomic_flag taken_;               // by the caller whose job it is
  int workers_ = 0;                      // threads started; who has taken the pool may grow it
  detail::Task task_{};                  // read by those who have a seat
  std::atomic<std::uint64_t> seats_{0};  // above: how many there are; below: how many are taken
  alignas(64) std::atomic<int> ended_{0};
  alignas(64) std::atomic<std::uint32_t> turn_{0};
};

/// Never destroyed: its threads may still look at it while the process ends.
Pool& pool() {
  static Pool* const one = new Pool;
  return *one;
}

/// One run of a team: its size is decided by the caller when it has waited for the others.
struct Gathering {
  void (*body)(void* context, int id, int size, const TeamBarrier& barrier);
  void* context;
  const TeamBarrier* barrier = nullptr;
  std::atomic<int> size{0};  // 0: not decided

  void join(int id) {
    while (size.load(std::memory_order_acquire) == 0) wait_for_change(size, 0);
    body(context, id, size.load(std::memory_order_relaxed), *barrier);
  }
};

}  // namespace

int threads() { return thread_count(); }

void set_threads(int n) { thread_count() = std::max(1, n); }

void TeamBarrier::operator()() const {
  if (size_ == 1) return;
  const std::uint32_t round = round_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    arrived_.store(0, std::memory_order_relaxed);
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
  } else {
    wait_for_change(round_, round);
  }
}

void detail::run(int team, Task task) {
  if (!pool().open(team - 1, task)) return task.call(task.context, 0);
  task.call(task.context, 0);
  pool().finish(pool().close());
}

void detail::run_team(int team, void (*body)(void* context, int id, int size, const TeamBarrier& barrier),
                      void* context) {
  Gathering gathering{body, context};
  const Task task{[](void* whole, int id) { static_cast<Gathering*>(whole)->join(id); }, &gathering};
  if (!pool().open(team - 1, task)) return body(context, 0, 1, TeamBarrier(1));
  spin(kGather, [&] { return pool().joined() == team - 1; });
  const int joined = pool().close();
  const TeamBarrier barrier(1 + joined);
  gathering.barrier = &barrier;
  gathering.size.store(1 + joined, std::memory_order_release);
  gathering.size.notify_all();
  body(context, 0, 1 + joined, barrier);
  pool().finish(joined);
}

}  // namespace unet::kernels::cpu
