// Event files, read back by a reader of the tests' own.
#include "engine/io/events.h"

#include <gtest/gtest.h>

#include "tests/support/event_reader.h"
#include "tests/support/file_support.h"

namespace unet::events_test {
namespace {

TEST(Events, TheCrcIsCastagnolis) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);  // RFC 3720, appendix B.4
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

TEST(Events, ARecordHoldsWhatWasSaid) {
  const std::string encoded("any\0bytes", 9);
  Summary summary;
  summary.scalar("loss/train", 0.25);
  summary.scalar("lr", 1e-3);
  summary.picture("worst", 300, 200, encoded);
  const std::vector<tests::ReadEvent> events =
      tests::read_events(version_record(12.5) + event_record(13.5, 300, summary));
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].wall_time, 12.5);
  EXPECT_EQ(events[0].version, "brain.Event:2");
  EXPECT_EQ(events[1].wall_time, 13.5);
  EXPECT_EQ(events[1].step, 300u);
  EXPECT_EQ(events[1].version, "");
  EXPECT_EQ(events[1].scalars, (std::map<std::string, float>{{"loss/train", 0.25f}, {"lr", 1e-3f}}));
  const tests::ReadPicture& picture = events[1].pictures.at("worst");
  EXPECT_EQ(picture.width, 300u);
  EXPECT_EQ(picture.height, 200u);
  EXPECT_EQ(picture.colorspace, 3u);
  EXPECT_EQ(picture.encoded, encoded);
}

TEST(Events, APrecisionRecallCurveIsATensorOfSixRows) {
  Summary summary;
  summary.pr_curve("road", {75, 64, 21, 5, 0}, {150, 105, 18, 0, 0});
  const tests::ReadEvent event = tests::read_events(event_record(1, 1, summary)).at(0);
  const tests::ReadTensor& tensor = event.tensors.at("road");
  EXPECT_EQ(tensor.plugin, "pr_curves");
  EXPECT_EQ(tensor.thresholds, 5u);
  EXPECT_EQ(tensor.dtype, 1u);  // DT_FLOAT
  EXPECT_EQ(tensor.shape, (std::vector<std::uint64_t>{6, 5}));
  const std::vector<float> expected{75,         64,         21,        5,   0,    // found that are
                                    150,        105,        18,        0,   0,    // found that are not
                                    0,          45,         132,       150, 150,  // not found that are not
                                    0,          11,         54,        70,  75,   // not found that are
                                    75 / 225.f, 64 / 169.f, 21 / 39.f, 1,   0,   1, 64 / 75.f, 21 / 75.f, 5 / 75.f, 0};
  ASSERT_EQ(tensor.values.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_FLOAT_EQ(tensor.values[i], expected[i]) << i;
}

TEST(Events, WhatIsCountedEndsBeforeTheFirstThatIsNotWhole) {
  const tests::TemporaryFolder folder;
  const std::filesystem::path path = folder / "events";
  Summary summary;
  summary.scalar("x", 1);
  const std::string version = version_record(1), event = event_record(2, 300, summary);
  const std::string all = version + event;
  for (std::size_t size = 0; size <= all.size(); ++size) {
    tests::write_file(path, all.substr(0, size));
    const EventsUpTo found = events_up_to(path, 300);
    ASSERT_EQ(found.bytes, size == all.size() ? size : size >= version.size() ? version.size() : 0) << size;
    ASSERT_EQ(found.step, size == all.size() ? 300 : 0);
  }
  for (std::size_t at = 0; at < event.size(); ++at) {
    std::string damaged = all;
    damaged[version.size() + at] = static_cast<char>(damaged[version.size() + at] ^ 0x10);
    tests::write_file(path, damaged);
    ASSERT_EQ(events_up_to(path, 300).bytes, version.size()) << at;
  }
  const std::string length(8, '\xff');
  const std::uint32_t crc = tests::masked_crc32c(length);
  tests::write_file(path, all + length + std::string(reinterpret_cast<const char*>(&crc), sizeof crc) + "..........");
  EXPECT_EQ(events_up_to(path, 300).bytes, all.size());
}

TEST(Events, WhatIsCountedEndsBeforeALaterStep) {
  const tests::TemporaryFolder folder;
  const std::filesystem::path path = folder / "events";
  Summary summary;
  summary.scalar("x", 1);
  std::string all = version_record(1);
  std::vector<std::size_t> sizes{all.size()};
  for (const std::int64_t step : {1, 2, 127, 128, 100000}) {
    all += event_record(1, step, summary);
    sizes.push_back(all.size());
  }
  tests::write_file(path, all);
  EXPECT_EQ(events_up_to(path, 0).bytes, sizes[0]);
  EXPECT_EQ(events_up_to(path, 2).bytes, sizes[2]);
  EXPECT_EQ(events_up_to(path, 127).bytes, sizes[3]);
  EXPECT_EQ(events_up_to(path, 128).bytes, sizes[4]);
  EXPECT_EQ(events_up_to(path, 99999).step, 128);
  EXPECT_EQ(events_up_to(path, 100000).bytes, all.size());
}

}  // namespace
}  // namespace unet::events_test
