// The only threading helper of the CPU kernels. OpenMP, so that oneDNN and our kernels share one pool of threads; the
// ThreadSanitizer build, which cannot see into libgomp, runs the same partition on std::thread.
//
// Work is always cut by the shape alone, never by the number of threads, so results are the same byte for byte for any
// number of threads: cut n items into Blocks, compute a partial result per block, combine the partials in order.
#pragma once

#include <algorithm>
#include <cstdint>

#if defined(UNET_HAS_OPENMP)
#include <omp.h>
#else
#include <barrier>
#include <thread>
#include <vector>
#endif

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

/// Calls body(i) once for every i in [0, n), on several threads, each thread a contiguous range. body must not throw.
template <class Body>
void parallel_for(std::int64_t n, Body&& body) {
  const std::int64_t team = std::min<std::int64_t>(threads(), n);
  if (team <= 1) {
    for (std::int64_t i = 0; i < n; ++i) body(i);
    return;
  }
#if defined(UNET_HAS_OPENMP)
#pragma omp parallel for schedule(static) num_threads(static_cast <int>(team))
  for (std::int64_t i = 0; i < n; ++i) body(i);
#else
  std::vector<std::thread> workers;
  for (std::int64_t t = 0; t < team; ++t) {
    workers.emplace_back([&, t] {
      for (std::int64_t i = n * t / team; i < n * (t + 1) / team; ++i) body(i);
    });
  }
  for (std::thread& worker : workers) worker.join();
#endif
}

/// Calls body(id, size, barrier) on each of `size` <= wanted threads at once; barrier() returns when all of them have
/// called it. For work whose phases share data; `size` may order it, but must not show in its results. body must not
/// throw.
template <class Body>
void parallel_team(int wanted, Body&& body) {
  if (wanted <= 1) {
    body(0, 1, [] {});
    return;
  }
#if defined(UNET_HAS_OPENMP)
#pragma omp parallel num_threads(wanted)
  {
    body(omp_get_thread_num(), omp_get_num_threads(), [] {
#pragma omp barrier
    });
  }
#else
  std::barrier<> meeting(wanted);
  std::vector<std::thread> workers;
  for (int id = 0; id < wanted; ++id) {
    workers.emplace_back([&, id] { body(id, wanted, [&] { meeting.arrive_and_wait(); }); });
  }
  for (std::thread& worker : workers) worker.join();
#endif
}

}  // namespace unet::kernels::cpu
