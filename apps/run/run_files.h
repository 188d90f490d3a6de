// The names of what a training run leaves in its folder, and which epoch files stay there.
#pragma once

#include <cstddef>
#include <ctime>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace unet {

/// `YYYYMMDDTHHMMSSZ`, UTC. Throws unet::Error outside the years 0000 to 9999.
std::string utc_timestamp(std::time_t time);

/// The time of a timestamp.
std::time_t time_of(std::string_view timestamp);

/// Whether the text has that form, with a month, day, hour, minute and second that can be.
bool is_timestamp(std::string_view text);

/// `<model>_<timestamp>`: what the names of a run's epoch files begin with.
std::string run_name(std::string_view model, std::string_view timestamp);

/// `<run>_phase<k>_epoch<NNN>_dice<0.dddd>.safetensors`. Throws unet::Error unless Dice lies in 0 to 1 (NaN does not).
std::string epoch_file_name(std::string_view run, int phase, int epoch, double dice);

/// The page of a run.
inline constexpr const char* kReportFile = "report.html";

/// `best_phase<k>.safetensors`, and whether a name is one.
std::string best_file_name(int phase);
bool is_best_file(std::string_view name);

/// Whether a file of this name is an epoch file of the run; none is if its name does not end in a timestamp.
bool is_epoch_file(std::string_view name, std::string_view run);

/// Removes epoch files of the run, except the `keep` newest (by phase, then epoch) and those named in `spared` (file
/// names). Whatever is not named exactly as epoch_file_name does, or is no regular file, stays. Returns the names
/// removed. Throws unet::Error if a file cannot be removed.
std::vector<std::string> remove_old_epoch_files(const std::filesystem::path& folder, std::string_view run,
                                                std::size_t keep, const std::vector<std::string>& spared);

}  // namespace unet
