#include "apps/run/replaced_run.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>

#include "apps/report/event_log.h"
#include "apps/report/review.h"
#include "apps/run/run_files.h"
#include "apps/run/screen.h"
#include "engine/core/error.h"
#include "engine/io/durable_file.h"
#include "engine/io/image.h"

namespace unet {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFixedFiles[] = {"last.safetensors",
                                       "last.prev.safetensors",
                                       "last.next.safetensors",
                                       "run.json",
                                       "metrics.csv",
                                       "steps.csv",
                                       "curves.svg",
                                       "plans.json",
                                       kReportFile,
                                       kReviewFile,
                                       "best.safetensors"};
constexpr const char* kMoving = ".replaced-run.moving";
constexpr const char* kKept = ".replaced-run";
constexpr const char* kDone = ".replaced-run.done";

bool is_fixed(std::string_view name) {
  if (is_best_file(name) || is_event_file(name)) return true;
  return std::find(std::begin(kFixedFiles), std::end(kFixedFiles), name) != std::end(kFixedFiles);
}

/// The name of the folder's run, from its run.json. Without one its epoch files cannot be told from others' and stay.
std::string name_of_run(const fs::path& folder) {
  if (!fs::exists(folder / "run.json")) return "";
  try {
    const std::vector<std::uint8_t> bytes = read_file(folder / "run.json");
    const nlohmann::json run = nlohmann::json::parse(bytes.begin(), bytes.end());
    return run_name(run.at("options").at("model").get<std::string>(), run.at("started").get<std::string>());
  } catch (const nlohmann::json::exception&) {
  } catch (const Error&) {
  }
  return "";
}

/// Names of all but folders, sorted.
std::vector<std::string> files_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code unreadable;
    if (!fs::is_directory(entry->symlink_status(unreadable))) names.push_back(entry->path().filename().string());
  }
  if (error) throw Error("cannot list the folder {}: {}", folder.string(), error.message());
  std::sort(names.begin(), names.end());
  return names;
}

void remove_files(const fs::path& folder, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (file_calls().unlink((folder / name).c_str()) == 0 || errno == ENOENT) continue;
    throw Error("cannot remove {}: {}", (folder / name).string(), std::strerror(errno));
  }
}

void move_files(const fs::path& from, const fs::path& to, const std::vector<std::string>& names) {
  for (const std::string& name : names) rename_file(from / name, to / name);
  sync_folder(to);
  sync_folder(from);
}

void remove_done(const fs::path& folder) {
  remove_files(folder / kDone, files_in(folder / kDone));
  fs::remove(folder / kDone);
}

}  // namespace

std::vector<std::string> files_of_run(const fs::path& folder) {
  const std::string run = name_of_run(folder);
  std::vector<std::string> names;
  for (std::string& name : files_in(folder)) {
    const std::string_view whole = name_without_temporary(name);
    if (is_fixed(whole) || is_epoch_file(whole, run)) names.push_back(std::move(name));
  }
  return names;
}

void restore_replaced_run(const fs::path& folder) {
  if (fs::exists(folder / kDone)) remove_done(folder);
  if (fs::exists(folder / kKept)) {
    remove_files(folder, files_of_run(folder));
    sync_folder(folder);
    rename_file(folder / kKept, folder / kMoving);
  }
  if (!fs::exists(folder / kMoving)) return;
  move_files(folder / kMoving, folder, files_in(folder / kMoving));
  fs::remove(folder / kMoving);
  warn("train_unet: the run in {} that was to be replaced is back: the new one had saved no step\n", folder.string());
}

ReplacedRun::~ReplacedRun() {
  if (discarded_) return;
  try {
    restore_replaced_run(folder_);
  } catch (const std::exception& error) {
    warn_text("train_unet: the run that was to be replaced is not back yet, the next start in its folder brings it: ");
    warn_text(error.what());
    warn_text("\n");
  }
}

void ReplacedRun::set_aside(const std::vector<std::string>& files) {
  std::error_code error;
  if (!fs::create_directory(folder_ / kMoving, error)) {
    throw Error("cannot make the folder {}: {}", (folder_ / kMoving).string(),
                error ? error.message() : "it is there already");
  }
  move_files(folder_, folder_ / kMoving, files);
  rename_file(folder_ / kMoving, folder_ / kKept);
  sync_folder(folder_);
}

void ReplacedRun::discard() {
  rename_file(folder_ / kKept, folder_ / kDone);
  discarded_ = true;
  sync_folder(folder_);
  try {
    remove_done(folder_);
  } catch (const std::exception& error) {  // no reason to end the new run
    warn("train_unet: warning: the replaced run still takes room: {}\n", error.what());
  }
}

}  // namespace unet
