// A run's file for TensorBoard: an event an epoch, its step the epoch's number in the run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "apps/report/reviewer.h"
#include "engine/io/csv.h"
#include "engine/io/events.h"

namespace unet {

/// `events.out.tfevents.<seconds since 1970>.unet` of a run that was started at this timestamp, and whether a name is
/// of that form.
std::string event_file_name(std::string_view timestamp);
bool is_event_file(std::string_view name);

/// The figures of the last row of metrics.csv (`val_dice_sky` is val/dice_sky), and of what the validation saw, where
/// there is that: for each class that is scored its precision over recall, `precision_recall/sky`; the worst, the
/// median and the best image with truth, prediction and errors, `val/worst`.
Summary summary_of_last(const CsvTable& metrics, const Reviewer* validation);

class EventLog {
 public:
  /// To go on after the epoch `epochs`: what the file has of later ones is cut off by the next add(). A file that is
  /// not there is begun; one that is damaged goes on before the damage, with a warning.
  EventLog(std::filesystem::path path, std::int64_t epochs);

  /// The event is on the disk when this returns. Throws Error on an error of the disk. Where another program has
  /// shortened the file or taken it away, it begins anew, with a warning.
  void add(std::int64_t epoch, const Summary& summary);

 private:
  std::filesystem::path path_;
  std::uint64_t bytes_ = 0;  // what counts of it
};

}  // namespace unet
