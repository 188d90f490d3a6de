#include "kernels/cpu/parallel.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <limits>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

namespace unet::kernels::cpu {
namespace {

using Clock = std::chrono::steady_clock;

/// How long a thread looks for a change before it sleeps: longer than the gaps between the operations of a step and
/// than sleeping and waking cost, far shorter than the turns that a busy machine gives its processes.
constexpr std::chrono::microseconds kSpin{100};
constexpr std::uint32_t kMostTeam = 4096;

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
  /// Calls the task on this thread and on team - 1 others and returns when all have ended. False, and nothing is
  /// called, where a job is under way. Throws std::runtime_error if the system gives no more threads.
  bool run(int team, detail::Task task) {
    if (taken_.test_and_set(std::memory_order_acquire)) return false;
    if (team - 1 > workers_) grow(team - 1);
    task_ = task;
    ended_.set(0);
    turn_.set((turn_.get() / kMostTeam + 1) * kMostTeam + static_cast<std::uint32_t>(team));
    task.call(task.context, 0);
    const auto others = static_cast<std::uint32_t>(team - 1);
    for (std::uint32_t ended = ended_.get(); ended != others; ended = ended_.get()) ended_.wait_while(ended);
    taken_.clear(std::memory_order_release);
    return true;
  }

 private:
  void grow(int workers) {
    try {
      for (; workers_ < workers; ++workers_) {
        std::thread([this, id = workers_ + 1] { work(id, 0); }).detach();
      }
    } catch (const std::system_error& error) {
      taken_.clear(std::memory_order_release);
      throw std::runtime_error("cannot start " + std::to_string(workers + 1) + " threads: " + error.what() +
                               "; ask for fewer --threads, or raise the limit (ulimit -u)");
    }
  }

  [[noreturn]] void work(int id, std::uint32_t seen) {
    for (;;) {
      turn_.wait_while(seen);
      seen = turn_.get();
      if (id >= static_cast<int>(seen % kMostTeam)) continue;
      task_.call(task_.context, id);
      ended_.add_one();
    }
  }

  std::atomic_flag taken_;    // by the caller whose job it is
  int workers_ = 0;           // threads started; who has taken the pool may grow it
  detail::Task task_{};       // read by those in the team only
  alignas(64) Signal ended_;  // how many of the others have ended their calls
  alignas(64) Signal turn_;   // kMostTeam * the number of the job + its team
};

/// Never destroyed: its threads may still look at it while the process ends.
Pool& pool() {
  static Pool* const one = new Pool;
  return *one;
}

}  // namespace

int threads() { return thread_count(); }

void set_threads(int n) { thread_count() = std::clamp(n, 1, static_cast<int>(kMostTeam) - 1); }

void Signal::set(std::uint32_t value) {
  value_.store(value);
  wake();
}

void Signal::add_one() {
  value_.fetch_add(1);
  wake();
}

// Who is about to sleep counts itself before the system looks at the value once more, who changes the value looks at
// the count after that: one of the two sees the other.
void Signal::wake() {
  if (sleepers_.load() == 0) return;
  ::syscall(SYS_futex, &value_, FUTEX_WAKE_PRIVATE, std::numeric_limits<int>::max(), nullptr, nullptr, 0);
}

// Not std::atomic::wait, which yields to others before it sleeps: on a busy machine each time a whole turn of theirs.
void Signal::wait_while(std::uint32_t old) {
  if (spin(kSpin, [&] { return get() != old; })) return;
  sleepers_.fetch_add(1);
  while (value_.load() == old) ::syscall(SYS_futex, &value_, FUTEX_WAIT_PRIVATE, old, nullptr, nullptr, 0);
  sleepers_.fetch_sub(1);
}

void TeamBarrier::operator()() const {
  if (size_ == 1) return;
  const std::uint32_t round = round_.get();
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    arrived_.store(0, std::memory_order_relaxed);
    round_.add_one();
  } else {
    round_.wait_while(round);
  }
}

bool detail::run(int team, Task task) { return pool().run(team, task); }

}  // namespace unet::kernels::cpu
