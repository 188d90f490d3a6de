#include "apps/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace unet {

Progress::Progress(std::string label, std::int64_t total, bool quiet)
    : label_(std::move(label)),
      total_(std::max<std::int64_t>(1, total)),
      shown_(!quiet && ::isatty(STDOUT_FILENO) == 1),
      begin_(Clock::now()),
      last_(begin_) {}

void Progress::update(std::int64_t done) {
  const Clock::time_point now = Clock::now();
  if (!shown_ || (drawn_ && now - last_ < std::chrono::milliseconds(100))) return;
  last_ = now;
  drawn_ = true;
  constexpr std::int64_t kWidth = 30;
  const double seconds = std::max(1e-9, std::chrono::duration<double>(now - begin_).count());
  const double rate = static_cast<double>(done) / seconds;
  const auto filled = static_cast<std::size_t>(std::clamp<std::int64_t>(kWidth * done / total_, 0, kWidth));
  fmt::print("\r\033[K{} [{}{}] {}/{}  {:.1f} images/s  {:.0f} s left", label_, std::string(filled, '#'),
             std::string(static_cast<std::size_t>(kWidth) - filled, '.'), done, total_, rate,
             rate > 0 ? static_cast<double>(total_ - done) / rate : 0.0);
  std::fflush(stdout);
}

void Progress::clear() {
  if (!drawn_) return;
  fmt::print("\r\033[K");
  std::fflush(stdout);
  drawn_ = false;
}

}  // namespace unet
