// TensorBoard's event files: records of a length and bytes, each with its masked CRC-32C (TFRecord); the bytes are a
// protocol buffer, Event of tensorflow/core/util/event.proto. What a training run has to say can be written, no more.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace unet {

/// What one event says.
class Summary {
 public:
  void scalar(std::string_view tag, double value);
  /// encoded: a PNG or JPEG file of this size.
  void picture(std::string_view tag, int width, int height, std::string_view encoded);
  /// A precision-recall curve at the thresholds t / (n - 1), t = 0..n-1, n of 2 to 127: what reaches a threshold is
  /// found. positives[t], negatives[t]: how many of either are found. At threshold 0 all are.
  void pr_curve(std::string_view tag, const std::vector<std::int64_t>& positives,
                const std::vector<std::int64_t>& negatives);
  const std::string& bytes() const { return bytes_; }

 private:
  void add(std::string_view tag, std::string_view fields);
  std::string bytes_;
};

/// The record that a file begins with. wall_time: seconds since 1970.
std::string version_record(double wall_time);
/// step: where TensorBoard draws the values.
std::string event_record(double wall_time, std::int64_t step, const Summary& summary);

/// What stands at the front of a file: whole, undamaged records of this module, none of a later step than `last_step`.
struct EventsUpTo {
  std::uint64_t bytes = 0;
  std::int64_t step = 0;  ///< the latest of them
};
/// Throws Error as InputFile does.
EventsUpTo events_up_to(const std::filesystem::path& path, std::int64_t last_step);

/// CRC-32C (Castagnoli; RFC 3720, appendix B.4).
std::uint32_t crc32c(std::string_view bytes);

}  // namespace unet
