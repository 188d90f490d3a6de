// The page of a run, made of what its folder holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "apps/report/review.h"
#include "apps/report/run_facts.h"
#include "apps/run/run_state.h"
#include "engine/io/csv.h"

namespace unet {

/// When a page is written.
struct RunMoment {
  std::string begun, written;  // UTC, for a person
  bool finished = false;
  std::size_t peak_bytes = 0, device_peak_bytes = 0;  // of memory; 0 of a device: there is none
};

/// What the page of a finished run holds, and no text of others can.
inline constexpr const char* kFinishedMark = "<p id=\"status\" class=\"note finished\">";

/// metrics: the rows of metrics.csv; review: of the best epoch, or null.
std::string run_page(const RunFacts& facts, const CsvTable& metrics, const std::optional<Best>& best,
                     const Review* review, const RunMoment& moment);

/// "2026-11-30 14:33:32 UTC" of 20261130T143332Z; any other text as it is.
std::string readable_time(const std::string& timestamp);

}  // namespace unet
