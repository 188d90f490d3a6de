// What a call takes of memory.
#pragma once

#include <malloc.h>

#include <cstdint>
#include <fstream>
#include <string>

namespace unet::test {

inline std::int64_t status_kib(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::int64_t value = 0;
    if (word == key + ":" && status >> value) return value;
  }
  return 0;
}

/// The most memory above now while call runs, by the kernel's high-water mark.
template <class Call>
std::int64_t peak_kib(const Call& call) {
  ::malloc_trim(0);  // or pages that earlier tests left behind would serve unseen
  std::ofstream("/proc/self/clear_refs") << 5;
  const std::int64_t before = status_kib("VmRSS");
  call();
  return status_kib("VmHWM") - before;
}

}  // namespace unet::test
