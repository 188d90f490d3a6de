#include "engine/io/events.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>

#include "engine/io/input_file.h"

namespace unet {
namespace {

// ---- protocol buffers: a field is a key and a value ----

enum class Wire : std::uint64_t { varint = 0, bits64 = 1, bytes = 2, bits32 = 5 };

std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}

template <class Unsigned>
std::string little_endian(Unsigned value) {
  std::string out;
  for (std::size_t i = 0; i < sizeof value; ++i) out += static_cast<char>(value >> (8 * i));
  return out;
}

std::string key(int field, Wire wire) {
  return varint(static_cast<std::uint64_t>(field) << 3 | static_cast<std::uint64_t>(wire));
}
std::string whole_field(int field, std::int64_t value) {
  return key(field, Wire::varint) + varint(static_cast<std::uint64_t>(value));
}
std::string double_field(int field, double value) {
  return key(field, Wire::bits64) + little_endian(std::bit_cast<std::uint64_t>(value));
}
std::string float_bytes(double value) { return little_endian(std::bit_cast<std::uint32_t>(static_cast<float>(value))); }
std::string float_field(int field, double value) { return key(field, Wire::bits32) + float_bytes(value); }
std::string bytes_field(int field, std::string_view bytes) {
  return key(field, Wire::bytes) + varint(bytes.size()) + std::string(bytes);
}

// ---- records ----

std::uint32_t masked_crc(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return std::rotr(crc, 15) + 0xa282ead8u;
}

std::string record(std::string_view event) {
  const std::string length = little_endian(std::uint64_t{event.size()});
  return length + little_endian(masked_crc(length)) + std::string(event) + little_endian(masked_crc(event));
}

constexpr std::uint64_t kLengthBytes = 8, kCrcBytes = 4;

template <class Unsigned>
Unsigned number_at(std::string_view bytes, std::uint64_t offset) {
  Unsigned value;
  static_assert(std::endian::native == std::endian::little);
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

/// The event at the front of `rest`, a view of its bytes; nothing unless its record is whole and undamaged.
std::optional<std::string_view> first_event(std::string_view rest) {
  if (rest.size() < kLengthBytes + kCrcBytes) return std::nullopt;
  const auto length = number_at<std::uint64_t>(rest, 0);
  if (number_at<std::uint32_t>(rest, kLengthBytes) != masked_crc(rest.substr(0, kLengthBytes))) return std::nullopt;
  rest.remove_prefix(kLengthBytes + kCrcBytes);
  if (rest.size() < kCrcBytes || length > rest.size() - kCrcBytes) return std::nullopt;
  const std::string_view event = rest.substr(0, length);
  if (number_at<std::uint32_t>(rest, length) != masked_crc(event)) return std::nullopt;
  return event;
}

/// The step of an event as event_record writes it; 0 for the version, which has none.
std::int64_t step_of(std::string_view event) {
  constexpr std::size_t kTimeBytes = 9;
  if (event.size() <= kTimeBytes || event[kTimeBytes] != key(2, Wire::varint)[0]) return 0;
  std::uint64_t step = 0;
  int shift = 0;
  for (std::size_t i = kTimeBytes + 1; i < event.size() && shift < 64; ++i, shift += 7) {
    step |= static_cast<std::uint64_t>(event[i] & 0x7f) << shift;
    if ((event[i] & 0x80) == 0) break;
  }
  return static_cast<std::int64_t>(step);
}

constexpr std::array<std::uint32_t, 256> crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    table[i] = crc;
  }
  return table;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static constexpr std::array<std::uint32_t, 256> kTable = crc_table();
  std::uint32_t crc = ~0u;
  for (const char c : bytes) crc = crc >> 8 ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

/// A Value of summary.proto: tag 1.
void Summary::add(std::string_view tag, std::string_view fields) {
  bytes_ += bytes_field(1, bytes_field(1, tag) + std::string(fields));
}

void Summary::scalar(std::string_view tag, double value) { add(tag, float_field(2, value)); }

void Summary::picture(std::string_view tag, int width, int height, std::string_view encoded) {
  constexpr std::int64_t kRgb = 3;
  add(tag,
      bytes_field(4, whole_field(1, height) + whole_field(2, width) + whole_field(3, kRgb) + bytes_field(4, encoded)));
}

/// The plugin's data (version 0, number of thresholds) and a float tensor [6, n] of true and false positives, true and
/// false negatives, precision and recall (tensorboard/plugins/pr_curve/summary.py).
void Summary::pr_curve(std::string_view tag, const std::vector<std::int64_t>& positives,
                       const std::vector<std::int64_t>& negatives) {
  const std::size_t n = positives.size();
  std::array<std::string, 6> rows;
  for (std::size_t t = 0; t < n; ++t) {
    const auto found = static_cast<double>(positives[t]), wrong = static_cast<double>(negatives[t]);
    const double lost = static_cast<double>(positives[0]) - found, right = static_cast<double>(negatives[0]) - wrong;
    const std::array<double, 6> values{found,
                                       wrong,
                                       right,
                                       lost,
                                       found + wrong > 0 ? found / (found + wrong) : 0,
                                       found + lost > 0 ? found / (found + lost) : 0};
    for (std::size_t row = 0; row < 6; ++row) rows[row] += float_bytes(values[row]);
  }
  std::string content;
  for (const std::string& row : rows) content += row;
  constexpr std::int64_t kFloat = 1;
  const auto dimension = [](std::size_t size) {
    return bytes_field(2, whole_field(1, static_cast<std::int64_t>(size)));
  };
  const std::string plugin = bytes_field(1, "pr_curves") + bytes_field(2, whole_field(2, static_cast<std::int64_t>(n)));
  add(tag,
      bytes_field(8, whole_field(1, kFloat) + bytes_field(2, dimension(6) + dimension(n)) + bytes_field(4, content)) +
          bytes_field(9, bytes_field(1, plugin)));
}

std::string version_record(double wall_time) {
  return record(double_field(1, wall_time) + bytes_field(3, "brain.Event:2"));
}

std::string event_record(double wall_time, std::int64_t step, const Summary& summary) {
  return record(double_field(1, wall_time) + whole_field(2, step) + bytes_field(5, summary.bytes()));
}

EventsUpTo events_up_to(const std::filesystem::path& path, std::int64_t last_step) {
  const InputFile file(path);
  std::string bytes(file.size(), '\0');
  file.read(bytes.data(), bytes.size(), 0);
  std::string_view rest = bytes;
  EventsUpTo out;
  while (const std::optional<std::string_view> event = first_event(rest)) {
    const std::int64_t step = step_of(*event);
    if (step > last_step) return out;
    out.step = std::max(out.step, step);
    out.bytes += kLengthBytes + event->size() + 2 * kCrcBytes;
    rest.remove_prefix(kLengthBytes + event->size() + 2 * kCrcBytes);
  }
  return out;
}

}  // namespace unet
