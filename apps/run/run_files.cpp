#include "apps/run/run_files.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <system_error>
#include <utility>

#include "engine/core/error.h"
#include "engine/io/durable_file.h"

namespace unet {
namespace {

namespace fs = std::filesystem;

// Takes `text` off the front of `rest`, or a number of plain digits; false if it is not there.
bool take(std::string_view& rest, std::string_view text) {
  if (rest.substr(0, text.size()) != text) return false;
  rest.remove_prefix(text.size());
  return true;
}

bool take(std::string_view& rest, int& number) {
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  if (error != std::errc() || rest[0] == '-') return false;
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  return true;
}

// Phase and epoch of an epoch file of this run.
std::optional<std::pair<int, int>> parse_name(std::string_view name, std::string_view run) {
  std::string_view rest = name;
  int phase = 0, epoch = 0, whole = 0, fraction = 0;
  const bool known = take(rest, run) && take(rest, "_phase") && take(rest, phase) && take(rest, "_epoch") &&
                     take(rest, epoch) && take(rest, "_dice") && take(rest, whole) && take(rest, ".") &&
                     take(rest, fraction);
  if (!known || whole > 1 || fraction > 9999) return std::nullopt;
  // Built again from its parts: the exact form, zeros and all.
  if (epoch_file_name(run, phase, epoch, std::min(1.0, whole + fraction / 1e4)) != name) return std::nullopt;
  return std::pair(phase, epoch);
}

}  // namespace

std::string utc_timestamp(std::time_t time) {
  std::tm utc{};
  if (gmtime_r(&time, &utc) == nullptr || utc.tm_year < -1900 || utc.tm_year > 8099) {
    throw Error("the clock shows a time that has no timestamp: {} s", static_cast<long long>(time));
  }
  return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
                     utc.tm_min, utc.tm_sec);
}

std::time_t time_of(std::string_view timestamp) {
  const auto digits = [&](std::size_t at, std::size_t count) {
    int value = 0;
    for (const char digit : timestamp.substr(at, count)) value = 10 * value + digit - '0';
    return value;
  };
  std::tm utc{};
  utc.tm_year = digits(0, 4) - 1900;
  utc.tm_mon = digits(4, 2) - 1;
  utc.tm_mday = digits(6, 2);
  utc.tm_hour = digits(9, 2);
  utc.tm_min = digits(11, 2);
  utc.tm_sec = digits(13, 2);
  return ::timegm(&utc);
}

bool is_timestamp(std::string_view text) {
  constexpr std::string_view form = "ddddddddTddddddZ";
  if (text.size() != form.size()) return false;
  for (std::size_t i = 0; i < form.size(); ++i) {
    if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i]) return false;
  }
  const auto within = [&](std::size_t at, int low, int high) {
    const int value = (text[at] - '0') * 10 + text[at + 1] - '0';
    return value >= low && value <= high;
  };
  return within(4, 1, 12) && within(6, 1, 31) && within(9, 0, 23) && within(11, 0, 59) && within(13, 0, 60);
}

bool is_epoch_file(std::string_view name, std::string_view run) {
  return is_timestamp(run.substr(run.rfind('_') + 1)) && parse_name(name, run);
}

std::string best_file_name(int phase) { return fmt::format("best_phase{}.safetensors", phase); }

bool is_best_file(std::string_view name) {
  std::string_view rest = name;
  int phase = 0;
  return take(rest, "best_phase") && take(rest, phase) && name == best_file_name(phase);
}

std::string run_name(std::string_view model, std::string_view timestamp) {
  return fmt::format("{}_{}", model, timestamp);
}

std::string epoch_file_name(std::string_view run, int phase, int epoch, double dice) {
  if (!(dice >= 0 && dice <= 1)) throw Error("Dice is {}, outside 0 to 1: no file name for epoch {}", dice, epoch);
  return fmt::format("{}_phase{}_epoch{:03}_dice{:.4f}.safetensors", run, phase, epoch, dice);
}

std::vector<std::string> remove_old_epoch_files(const fs::path& folder, std::string_view run, std::size_t keep,
                                                const std::vector<std::string>& spared) {
  std::error_code error;
  std::vector<std::pair<std::pair<int, int>, std::string>> found;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code unreadable;
    if (!fs::is_regular_file(entry->symlink_status(unreadable))) continue;
    if (const auto epoch = parse_name(name, run)) found.emplace_back(*epoch, name);
  }
  if (error) throw Error("cannot list \"{}\": {}", folder.string(), error.message());
  std::sort(found.begin(), found.end(), std::greater<>());
  std::vector<std::string> removed;
  for (std::size_t i = keep; i < found.size(); ++i) {
    const std::string& name = found[i].second;
    if (std::find(spared.begin(), spared.end(), name) != spared.end()) continue;
    if (file_calls().unlink((folder / name).c_str()) != 0 && errno != ENOENT) {
      throw Error("cannot remove the old epoch file \"{}\": {}", (folder / name).string(),
                  std::generic_category().message(errno));
    }
    removed.push_back(name);
  }
  return removed;
}

}  // namespace unet
