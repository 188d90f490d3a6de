#include "apps/report/run_report.h"

#include <sys/resource.h>

#include <ctime>

#include "apps/report/run_page.h"
#include "apps/run/run_files.h"
#include "apps/run/screen.h"
#include "engine/core/device_memory.h"
#include "engine/core/error.h"
#include "engine/io/durable_file.h"
#include "engine/io/image.h"

namespace unet {
namespace {

std::size_t resident_peak() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::size_t>(usage.ru_maxrss) << 10;
}

}  // namespace

RunReport::RunReport(std::filesystem::path folder, RunFacts facts, Device device)
    : folder_(std::move(folder)), facts_(std::move(facts)), device_(device) {
  try {
    review_ = review_in(folder_);
  } catch (const Error& error) {
    warn("train_unet: warning: {}: the report leaves it out until an epoch is the best\n", error.what());
  }
}

void RunReport::keep(const Reviewer& reviewer, int phase, std::int64_t epoch) {
  review_ = reviewer.review();
  review_->phase = phase;
  review_->epoch = epoch;
  write_file_durably(folder_ / kReviewFile, to_text(*review_));
}

void RunReport::write(const CsvTable& metrics, const RunState& state, bool finished) {
  const bool of_best =
      review_ && state.best && review_->phase == state.best->phase && review_->epoch == state.best->epoch;
  const RunMoment moment{.begun = readable_time(state.started),
                         .written = readable_time(utc_timestamp(std::time(nullptr))),
                         .finished = finished,
                         .peak_bytes = resident_peak(),
                         .device_peak_bytes = device_.is_cpu() ? 0 : pool_of(device_).stats().peak};
  write_file_durably(folder_ / kReportFile,
                     run_page(facts_, metrics, state.best, of_best ? &*review_ : nullptr, moment));
}

bool RunReport::says_finished() const {
  if (!std::filesystem::exists(folder_ / kReportFile)) return false;
  const std::vector<std::uint8_t> bytes = read_file(folder_ / kReportFile);
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()).find(kFinishedMark) !=
         std::string_view::npos;
}

}  // namespace unet
