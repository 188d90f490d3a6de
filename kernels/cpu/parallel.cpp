#include "kernels/cpu/parallel.h"

#include <sched.h>

#if defined(UNET_HAS_OPENMP)
#include <omp.h>
#endif

namespace unet::kernels::cpu {
namespace {

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

}  // namespace

int threads() { return thread_count(); }

void set_threads(int n) {
  thread_count() = std::max(1, n);
#if defined(UNET_HAS_OPENMP)
  omp_set_num_threads(thread_count());  // oneDNN asks OpenMP
#endif
}

}  // namespace unet::kernels::cpu
