// The run that --overwrite replaces stays in its folder, moved aside, until the new one has a step to show.
//
// One rename decides at each turn what a folder holds, whenever the process is killed:
//   .replaced-run.moving   files on their way there or back; none of a new run are in the folder
//   .replaced-run          the old run, whole; what lies in the folder is the new one's
//   .replaced-run.done     the new run has taken its place, these are to be deleted
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace unet {

/// The names in a folder that belong to the run there: the fixed ones, and epoch files with the timestamp of its
/// run.json, what a killed writer left of either included. Files of others, and folders, are not among them.
std::vector<std::string> files_of_run(const std::filesystem::path& folder);

/// Ends what a killed process began: brings a run that was being replaced back in place of the new one, or deletes one
/// that has been replaced. Says on stderr which came back. The caller holds the folder's lock.
void restore_replaced_run(const std::filesystem::path& folder);

class ReplacedRun {
 public:
  /// The folder's run, not moved yet.
  explicit ReplacedRun(std::filesystem::path folder) : folder_(std::move(folder)) {}
  /// Brings it back, unless it was discarded.
  ~ReplacedRun();
  ReplacedRun(const ReplacedRun&) = delete;
  ReplacedRun& operator=(const ReplacedRun&) = delete;

  /// Moves `files` aside.
  void set_aside(const std::vector<std::string>& files);
  /// The new run has taken its place: deletes it.
  void discard();

 private:
  std::filesystem::path folder_;
  bool discarded_ = false;
};

}  // namespace unet
