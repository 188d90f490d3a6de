#include "apps/run/progress.h"

#include <unistd.h>

#include <algorithm>

#include "apps/run/screen.h"

namespace unet {

Progress::Progress(std::string label, std::int64_t total, bool quiet, double seconds_between_lines)
    : label_(std::move(label)),
      total_(std::max<std::int64_t>(1, total)),
      quiet_(quiet),
      terminal_(::isatty(STDOUT_FILENO) == 1),
      seconds_between_lines_(seconds_between_lines),
      begin_(Clock::now()),
      last_(begin_) {}

void Progress::update(std::int64_t done) {
  if (quiet_) return;
  const Clock::time_point now = Clock::now();
  const double since = std::chrono::duration<double>(now - last_).count();
  if (terminal_ ? drawn_ && since < 0.1 : since < seconds_between_lines_) return;
  last_ = now;
  const double seconds = std::max(1e-9, std::chrono::duration<double>(now - begin_).count());
  const double rate = static_cast<double>(done) / seconds;
  const double left = rate > 0 ? static_cast<double>(total_ - done) / rate : 0.0;
  if (!terminal_) {
    say("{}: {}/{} images, {:.1f} images/s, {:.0f} s left\n", label_, done, total_, rate, left);
    return;
  }
  drawn_ = true;
  constexpr std::int64_t kWidth = 30;
  const auto filled = static_cast<std::size_t>(std::clamp<std::int64_t>(kWidth * done / total_, 0, kWidth));
  put_text("\r\033[K");
  say("{} [{}{}] {}/{}  {:.1f} images/s  {:.0f} s left", label_, std::string(filled, '#'),
      std::string(static_cast<std::size_t>(kWidth) - filled, '.'), done, total_, rate, left);
}

void Progress::clear() {
  if (!drawn_) return;
  put_text("\r\033[K");
  drawn_ = false;
}

}  // namespace unet
