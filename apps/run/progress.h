// What a long run shows: on a terminal a bar with images/s and time left, in a pipe a whole line now and then.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace unet {

class Progress {
 public:
  /// total: images of the epoch; label stands before the bar. In a pipe a line every so many seconds.
  Progress(std::string label, std::int64_t total, bool quiet, double seconds_between_lines = 30);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` images of the epoch are behind us; a bar is redrawn at most ten times a second.
  void update(std::int64_t done);
  /// Takes the bar off the terminal.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  std::string label_;
  std::int64_t total_;
  bool quiet_, terminal_;
  double seconds_between_lines_;
  bool drawn_ = false;
  Clock::time_point begin_, last_;
};

}  // namespace unet
