// Saves a run while its next steps are under way.
#pragma once

#include <exception>
#include <optional>
#include <thread>

#include "apps/run/learner.h"
#include "apps/run/run_folder.h"

namespace unet {

/// A save copies what is to be saved (Snapshot) and leaves the writing to a thread of its own. There is one at a time:
/// the next one waits for it, and so does whoever tells of it or reads what it wrote.
///
/// Its files appear in the order in which they may be relied on: the epoch's checkpoint, the best files, the row of the
/// metrics; then, once all rows are on the disk, the state. Killed at any call, a run leaves the state of this save or
/// of the one before, whole, and all that this state counts on. Rows of steps that were done meanwhile stand behind
/// those that it counts; a resume cuts them off and does these steps again.
class Saver {
 public:
  Saver(RunFolder& folder, RunRecord& record, const Parameters& parameters, const Metadata& metadata)
      : folder_(folder), record_(record), metadata_(metadata), snapshot_(parameters) {}
  /// Waits, and says what went wrong if nobody else will.
  ~Saver();
  Saver(const Saver&) = delete;
  Saver& operator=(const Saver&) = delete;

  /// Ends the save before, then begins one of the record as it is; of an epoch that has ended also its files. Where the
  /// system gives no thread it is done here and now.
  void begin(const Learner& learner, const std::optional<EpochFigures>& ended);
  /// Until what was begun is on the disk and the record knows the best epochs. Throws what the writing threw.
  void finish();

 private:
  RunFolder& folder_;
  RunRecord& record_;
  const Metadata& metadata_;
  Snapshot snapshot_;
  std::optional<RunRecord> saving_;  // the record that is written
  std::thread thread_;
  std::exception_ptr error_;  // the thread's until it has been joined
};

}  // namespace unet
