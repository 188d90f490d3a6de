// Event files, read back by a reader of its own: every CRC, every field.
#include "engine/io/events.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <map>

#include "engine/io/durable_file.h"
#include "tests/support/file_support.h"

namespace unet {
namespace {

/// CRC-32C bit by bit.
std::uint32_t slow_crc(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  for (const char c : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      const bool odd = ((crc ^ static_cast<unsigned char>(c) >> bit) & 1) != 0;
      crc = crc >> 1 ^ (odd ? 0x82f63b78u : 0);
    }
  }
  return ~crc;
}

std::uint32_t masked(std::string_view bytes) {
  const std::uint32_t crc = slow_crc(bytes);
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

template <class Number>
Number take(std::string_view& rest) {
  Number value{};
  EXPECT_LE(sizeof value, rest.size());
  std::memcpy(&value, rest.data(), std::min(sizeof value, rest.size()));
  rest.remove_prefix(std::min(sizeof value, rest.size()));
  return value;
}

std::string_view take_bytes(std::string_view& rest, std::uint64_t count) {
  EXPECT_LE(count, rest.size());
  const std::string_view out = rest.substr(0, count);
  rest.remove_prefix(out.size());
  return out;
}

std::vector<std::string_view> records_of(std::string_view rest) {
  std::vector<std::string_view> out;
  while (!rest.empty()) {
    const std::string_view length = rest.substr(0, 8);
    const auto bytes = take<std::uint64_t>(rest);
    EXPECT_EQ(take<std::uint32_t>(rest), masked(length));
    out.push_back(take_bytes(rest, bytes));
    EXPECT_EQ(take<std::uint32_t>(rest), masked(out.back()));
  }
  return out;
}

std::uint64_t take_varint(std::string_view& rest) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const auto byte = take<std::uint8_t>(rest);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  ADD_FAILURE() << "a varint without end";
  return 0;
}

/// The fields of a message by number: as many bytes as the wire type says.
std::multimap<int, std::string_view> fields_of(std::string_view rest) {
  std::multimap<int, std::string_view> out;
  while (!rest.empty()) {
    const std::uint64_t key = take_varint(rest);
    const auto begin = rest;
    std::string_view value;
    switch (key & 7) {
      case 0:
        take_varint(rest);
        value = begin.substr(0, begin.size() - rest.size());
        break;
      case 1:
        value = take_bytes(rest, 8);
        break;
      case 2:
        value = take_bytes(rest, take_varint(rest));
        break;
      case 5:
        value = take_bytes(rest, 4);
        break;
      default:
        ADD_FAILURE() << "wire type " << (key & 7);
        return out;
    }
    out.emplace(static_cast<int>(key >> 3), value);
  }
  return out;
}

std::string_view only(const std::multimap<int, std::string_view>& fields, int number) {
  EXPECT_EQ(fields.count(number), 1u) << "field " << number;
  return fields.count(number) > 0 ? fields.find(number)->second : std::string_view();
}
std::uint64_t whole(std::string_view bytes) { return take_varint(bytes); }
template <class Number>
Number number(std::string_view bytes) {
  EXPECT_EQ(bytes.size(), sizeof(Number));
  return take<Number>(bytes);
}

TEST(Events, TheCrcIsCastagnolis) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);  // RFC 3720, appendix B.4
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

TEST(Events, ARecordHoldsWhatWasSaid) {
  constexpr std::string_view kPng("any\0bytes", 9);
  Summary summary;
  summary.scalar("loss/train", 0.25);
  summary.scalar("lr", 1e-3);
  summary.picture("worst", 300, 200, kPng);
  const std::string bytes = version_record(12.5) + event_record(13.5, 300, summary);
  const std::vector<std::string_view> records = records_of(bytes);
  ASSERT_EQ(records.size(), 2u);

  const auto version = fields_of(records[0]);
  EXPECT_EQ(number<double>(only(version, 1)), 12.5);
  EXPECT_EQ(only(version, 3), "brain.Event:2");

  const auto event = fields_of(records[1]);
  EXPECT_EQ(number<double>(only(event, 1)), 13.5);
  EXPECT_EQ(whole(only(event, 2)), 300u);
  const auto values = fields_of(only(event, 5));
  ASSERT_EQ(values.count(1), 3u);
  auto value = values.find(1);
  EXPECT_EQ(only(fields_of(value->second), 1), "loss/train");
  EXPECT_EQ(number<float>(only(fields_of(value->second), 2)), 0.25f);
  EXPECT_EQ(number<float>(only(fields_of((++value)->second), 2)), 1e-3f);
  const auto picture = fields_of(only(fields_of((++value)->second), 4));
  EXPECT_EQ(whole(only(picture, 1)), 200u);
  EXPECT_EQ(whole(only(picture, 2)), 300u);
  EXPECT_EQ(whole(only(picture, 3)), 3u);
  EXPECT_EQ(only(picture, 4), kPng);
}

TEST(Events, APrecisionRecallCurveIsATensorOfSixRows) {
  Summary summary;
  summary.pr_curve("road", {75, 64, 21, 5, 0}, {150, 105, 18, 0, 0});
  const auto value = fields_of(only(fields_of(summary.bytes()), 1));
  EXPECT_EQ(only(value, 1), "road");
  const auto plugin = fields_of(only(fields_of(only(value, 9)), 1));
  EXPECT_EQ(only(plugin, 1), "pr_curves");
  EXPECT_EQ(whole(only(fields_of(only(plugin, 2)), 2)), 5u);
  const auto tensor = fields_of(only(value, 8));
  EXPECT_EQ(whole(only(tensor, 1)), 1u);  // DT_FLOAT
  const auto dimensions = fields_of(only(tensor, 2));
  ASSERT_EQ(dimensions.count(2), 2u);
  EXPECT_EQ(whole(only(fields_of(dimensions.find(2)->second), 1)), 6u);
  EXPECT_EQ(whole(only(fields_of(std::next(dimensions.find(2))->second), 1)), 5u);
  std::string_view content = only(tensor, 4);
  const std::vector<float> expected{75,         64,         21,        5,   0,    // found that are
                                    150,        105,        18,        0,   0,    // found that are not
                                    0,          45,         132,       150, 150,  // not found that are not
                                    0,          11,         54,        70,  75,   // not found that are
                                    75 / 225.f, 64 / 169.f, 21 / 39.f, 1,   0,   1, 64 / 75.f, 21 / 75.f, 5 / 75.f, 0};
  ASSERT_EQ(content.size(), expected.size() * 4);
  for (const float number : expected) EXPECT_FLOAT_EQ(take<float>(content), number);
}

TEST(Events, WholeRecordsEndBeforeTheFirstThatIsNot) {
  const test::TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "events";
  Summary summary;
  summary.scalar("x", 1);
  const std::string version = version_record(1), event = event_record(2, 3, summary);
  const std::string all = version + event;
  for (std::size_t size = 0; size <= all.size(); ++size) {
    write_file_durably(path, all.substr(0, size));
    const std::size_t expected = size == all.size() ? size : size >= version.size() ? version.size() : 0;
    ASSERT_EQ(whole_records(path), expected) << size;
  }
  for (std::size_t at = 0; at < event.size(); ++at) {
    std::string damaged = all;
    damaged[version.size() + at] = static_cast<char>(damaged[version.size() + at] ^ 0x10);
    write_file_durably(path, damaged);
    ASSERT_EQ(whole_records(path), version.size()) << at;
  }
  std::string endless = all;
  const std::string length(8, '\xff');
  endless += length;
  const std::uint32_t crc = masked(length);
  endless.append(reinterpret_cast<const char*>(&crc), sizeof crc);
  write_file_durably(path, endless + "..........");
  EXPECT_EQ(whole_records(path), all.size());
}

}  // namespace
}  // namespace unet
