#include "apps/run/memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>

#include "engine/core/error.h"

namespace unet {
namespace {

constexpr std::uint64_t kUnknown = std::numeric_limits<std::uint64_t>::max();

/// The number in a file that holds nothing else; a word (`max`) or no such file is no limit.
std::uint64_t number_in(const char* path) {
  std::uint64_t value = 0;
  return std::ifstream(path) >> value ? value : kUnknown;
}

std::uint64_t available_in_system() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  std::uint64_t kib = 0;
  while (file >> word) {
    if (word == "MemAvailable:" && file >> kib) return kib << 10;
  }
  return kUnknown;
}

std::uint64_t left_of_address_space() {
  rlimit limit{};
  std::uint64_t pages = 0;
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnknown;
  std::ifstream("/proc/self/statm") >> pages;
  const std::uint64_t used = pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

}  // namespace

std::uint64_t available_memory() {
  return std::min({available_in_system(), left_of_address_space(), number_in("/sys/fs/cgroup/memory.max"),
                   number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes")});
}

void require_memory(const std::string& source, const models::Registry& registry, const models::SegmenterSpec& spec,
                    const Machine& machine, std::int64_t batch, const ImageExtent& size, const std::string& option) {
  if (!machine.device.is_cpu()) return;
  const std::uint64_t available = available_memory();
  const double needed =
      models::row_of(registry, spec.model).inference_bytes(spec, batch, size.height, size.width, machine.activations);
  if (needed <= static_cast<double>(available)) return;
  constexpr double kMib = 1 << 20;
  // The same shape, with a tenth to spare.
  const double scale = std::sqrt(0.9 * static_cast<double>(available) / needed);
  const auto fitting = [&](std::int64_t side) {
    return std::max<std::int64_t>(16, static_cast<std::int64_t>(static_cast<double>(side) * scale) / 16 * 16);
  };
  throw Error(
      "{}: {} of {}x{} pixels at a time take at least {:.0f} MiB in this network, and {:.0f} MiB are available: pass a "
      "smaller {}, of {} or less{}",
      source, batch == 1 ? "one image" : fmt::format("{} images", batch), size.height, size.width, needed / kMib,
      static_cast<double>(available) / kMib, option, ImageExtent{fitting(size.height), fitting(size.width)}.str(),
      batch == 1 ? "" : ", or a smaller --batch-size");
}

}  // namespace unet
