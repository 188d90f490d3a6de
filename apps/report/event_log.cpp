#include "apps/report/event_log.h"

#include <fcntl.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <ctime>
#include <system_error>

#include "apps/run/run_files.h"
#include "apps/run/screen.h"
#include "engine/core/error.h"
#include "engine/io/durable_file.h"
#include "kernels/probability_bins.h"

namespace unet {
namespace {

constexpr std::string_view kBegin = "events.out.tfevents.", kEnd = ".unet";

void add_curves_and_pictures(const Reviewer& validation, Summary& summary) {
  constexpr std::size_t kBins = kernels::kProbabilityBins;
  const std::vector<std::string>& classes = validation.classes();
  for (std::size_t c = validation.background() == Background::none ? 0 : 1; c < classes.size(); ++c) {
    // Found at a threshold are all bins from its own on; at 1 none are.
    std::vector<std::int64_t> negatives(kBins + 1), positives(kBins + 1);
    for (std::size_t bin = kBins; bin-- > 0;) {
      const std::int64_t* of_class = validation.bins().data() + c * 2 * kBins;
      negatives[bin] = negatives[bin + 1] + of_class[bin];
      positives[bin] = positives[bin + 1] + of_class[kBins + bin];
    }
    summary.pr_curve("precision_recall/" + classes[c], positives, negatives);
  }
  for (const auto& [role, image] : validation.judgements()) {
    const std::vector<std::uint8_t> jpeg = encode_jpeg(image);  // an eighth of a PNG's time
    summary.picture("val/" + role, image.width, image.height,
                    {reinterpret_cast<const char*>(jpeg.data()), jpeg.size()});
  }
}

/// The file, open for writing and cut to its first bytes.
class OpenLog {
 public:
  OpenLog(const std::filesystem::path& path, std::uint64_t bytes)
      : path_(path), descriptor_(open_for_writing(path, O_WRONLY | O_CREAT | O_APPEND)) {
    if (file_calls().ftruncate(descriptor_, static_cast<off_t>(bytes)) == 0) return;
    const int error = errno;
    file_calls().close(descriptor_);
    throw Error("cannot cut \"{}\" to {} bytes: {}", path.string(), bytes, std::generic_category().message(error));
  }
  ~OpenLog() {
    if (descriptor_ >= 0) file_calls().close(descriptor_);
  }
  OpenLog(const OpenLog&) = delete;
  OpenLog& operator=(const OpenLog&) = delete;

  void write_durably(std::string_view text) {
    write_all(descriptor_, path_, text.data(), text.size(), text.size());
    sync_file(descriptor_, path_);
    close_file(std::exchange(descriptor_, -1), path_);
  }

 private:
  const std::filesystem::path& path_;
  int descriptor_;
};

}  // namespace

std::string event_file_name(std::string_view timestamp) {
  return fmt::format("{}{}{}", kBegin, static_cast<long long>(time_of(timestamp)), kEnd);
}

bool is_event_file(std::string_view name) {
  if (name.size() <= kBegin.size() + kEnd.size() || !name.starts_with(kBegin) || !name.ends_with(kEnd)) return false;
  const std::string_view seconds = name.substr(kBegin.size(), name.size() - kBegin.size() - kEnd.size());
  return seconds.find_first_not_of("0123456789") == seconds.npos;
}

Summary summary_of_last(const CsvTable& metrics, const Reviewer* validation) {
  Summary summary;
  for (std::size_t i = 0; i < metrics.columns.size(); ++i) {
    std::string tag = metrics.columns[i];
    const std::string& text = metrics.rows.back()[i];
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (tag == "epoch" || error != std::errc() || end != text.data() + text.size()) continue;
    for (const std::string_view group : {"train_", "val_"}) {
      if (tag.starts_with(group)) tag[group.size() - 1] = '/';
    }
    summary.scalar(tag, value);
  }
  if (validation != nullptr) add_curves_and_pictures(*validation, summary);
  return summary;
}

EventLog::EventLog(std::filesystem::path path, std::int64_t epochs) : path_(std::move(path)) {
  if (!std::filesystem::exists(path_)) return;
  const EventsUpTo events = events_up_to(path_, epochs);
  bytes_ = events.bytes;
  if (events.step >= epochs) return;
  warn("train_unet: warning: {} has whole events up to epoch {} of {}: it goes on from there\n",
       escaped(path_.string()), events.step, epochs);
}

void EventLog::add(std::int64_t epoch, const Summary& summary) {
  std::error_code none;
  const std::uintmax_t there = std::filesystem::file_size(path_, none);
  if (bytes_ > 0 && (none || there < bytes_)) {
    warn("train_unet: warning: {} was {} by another program: it is begun anew\n", escaped(path_.string()),
         none ? "taken away" : "shortened");
    bytes_ = 0;
  }
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const std::string text = (bytes_ == 0 ? version_record(now) : std::string()) + event_record(now, epoch, summary);
  OpenLog(path_, bytes_).write_durably(text);
  if (bytes_ == 0) sync_folder(path_.parent_path());
  bytes_ += text.size();
}

}  // namespace unet
