#include "tests/support/event_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

namespace unet::tests {
namespace {

template <class Number>
Number take(std::string_view& rest) {
  Number value{};
  EXPECT_LE(sizeof value, rest.size());
  const std::size_t size = std::min(sizeof value, rest.size());
  std::memcpy(&value, rest.data(), size);
  rest.remove_prefix(size);
  return value;
}

std::string_view take_bytes(std::string_view& rest, std::uint64_t count) {
  EXPECT_LE(count, rest.size());
  const std::string_view out = rest.substr(0, count);
  rest.remove_prefix(out.size());
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
using Fields = std::multimap<int, std::string_view>;
Fields fields_of(std::string_view rest) {
  Fields out;
  while (!rest.empty()) {
    const std::uint64_t key = take_varint(rest);
    const std::string_view begin = rest;
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

std::string_view only(const Fields& fields, int number) {
  EXPECT_EQ(fields.count(number), 1u) << "field " << number;
  const auto found = fields.find(number);
  return found == fields.end() ? std::string_view() : found->second;
}

std::uint64_t whole(std::string_view bytes) { return take_varint(bytes); }

template <class Number>
Number number(std::string_view bytes) {
  EXPECT_EQ(bytes.size(), sizeof(Number));
  return take<Number>(bytes);
}

ReadPicture picture_of(const Fields& image) {
  return {whole(only(image, 2)), whole(only(image, 1)), whole(only(image, 3)), std::string(only(image, 4))};
}

ReadTensor tensor_of(const Fields& value) {
  ReadTensor out;
  const Fields tensor = fields_of(only(value, 8)), shape = fields_of(only(tensor, 2));
  out.dtype = whole(only(tensor, 1));
  for (auto [dim, end] = shape.equal_range(2); dim != end; ++dim) {
    out.shape.push_back(whole(only(fields_of(dim->second), 1)));
  }
  for (std::string_view content = only(tensor, 4); !content.empty();) out.values.push_back(take<float>(content));
  const Fields plugin = fields_of(only(fields_of(only(value, 9)), 1));
  out.plugin = only(plugin, 1);
  out.thresholds = whole(only(fields_of(only(plugin, 2)), 2));
  return out;
}

ReadEvent event_of(const Fields& event) {
  ReadEvent out;
  out.wall_time = number<double>(only(event, 1));
  if (event.contains(3)) out.version = only(event, 3);
  if (!event.contains(5)) return out;
  out.step = whole(only(event, 2));
  const Fields summary = fields_of(only(event, 5));
  for (auto [at, end] = summary.equal_range(1); at != end; ++at) {
    const Fields value = fields_of(at->second);
    const std::string tag(only(value, 1));
    bool fresh = false;
    if (value.contains(2)) fresh = out.scalars.emplace(tag, number<float>(only(value, 2))).second;
    if (value.contains(4)) fresh = out.pictures.emplace(tag, picture_of(fields_of(only(value, 4)))).second;
    if (value.contains(8)) fresh = out.tensors.emplace(tag, tensor_of(value)).second;
    EXPECT_TRUE(fresh) << tag << " holds nothing, or stands there twice";
  }
  return out;
}

}  // namespace

std::uint32_t masked_crc32c(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  for (const char c : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      const bool odd = ((crc ^ static_cast<unsigned char>(c) >> bit) & 1) != 0;
      crc = crc >> 1 ^ (odd ? 0x82f63b78u : 0);
    }
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

std::vector<ReadEvent> read_events(std::string_view rest) {
  std::vector<ReadEvent> out;
  while (!rest.empty() && !testing::Test::HasFailure()) {
    const std::string_view length = rest.substr(0, 8);
    const auto bytes = take<std::uint64_t>(rest);
    EXPECT_EQ(take<std::uint32_t>(rest), masked_crc32c(length));
    const std::string_view event = take_bytes(rest, bytes);
    EXPECT_EQ(take<std::uint32_t>(rest), masked_crc32c(event));
    out.push_back(event_of(fields_of(event)));
  }
  return out;
}

}  // namespace unet::tests
