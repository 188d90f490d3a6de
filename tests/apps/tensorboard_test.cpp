// --tensorboard: what a run says to TensorBoard, before and after it is killed.
#include <nlohmann/json.hpp>

#include "engine/io/csv.h"
#include "tests/apps/tiny_training.h"
#include "tests/support/event_reader.h"
#include "tests/support/file_support.h"
#include "tests/support/places.h"
#include "tests/support/python.h"

namespace unet::test::tensorboard_test {
namespace {

using tests::read_events;
using tests::ReadEvent;
using tests::ReadPicture;
using tests::ReadTensor;

const Words kOn{"--tensorboard"};

fs::path event_file_in(const fs::path& folder) {
  fs::path out;
  for (const std::string& name : names_in(folder)) {
    if (name.find("tfevents") == name.npos) continue;
    EXPECT_TRUE(out.empty()) << "two event files";
    out = folder / name;
  }
  return out;
}

/// Thresholds 0 to 1 in hundredths: at 0 all is found, at 1 nothing; with two classes, half is the arg-max's.
void expect_a_curve(const ReadTensor& curve, float recall, float precision) {
  constexpr std::size_t kN = 101;
  EXPECT_EQ(curve.plugin, "pr_curves");
  ASSERT_EQ(curve.shape, (std::vector<std::uint64_t>{6, kN}));
  const auto at = [&](std::size_t row, std::size_t threshold) { return curve.values[row * kN + threshold]; };
  const float all = at(0, 0) + at(1, 0);
  EXPECT_EQ(at(5, 0), 1);
  EXPECT_EQ(at(0, kN - 1) + at(1, kN - 1), 0);
  for (std::size_t t = 0; t < kN; ++t) EXPECT_EQ(at(0, t) + at(1, t) + at(2, t) + at(3, t), all);
  EXPECT_NEAR(at(5, 50), recall, 1e-3);
  EXPECT_NEAR(at(4, 50), at(0, 50) + at(1, 50) > 0 ? precision : 0, 1e-3);
}

/// One event an epoch of metrics.csv, in its order, with its figures.
void expect_the_metrics(const fs::path& folder) {
  const std::vector<ReadEvent> events = read_events(text_of(event_file_in(folder)));
  const CsvTable metrics = read_csv(folder / "metrics.csv");
  ASSERT_EQ(events.size(), metrics.rows.size() + 1);
  EXPECT_EQ(events[0].version, "brain.Event:2");
  for (std::size_t row = 0; row < metrics.rows.size(); ++row) {
    const ReadEvent& event = events[row + 1];
    EXPECT_EQ(event.step, row + 1);
    EXPECT_GT(event.wall_time, 1.7e9);
    const auto figure_in = [&](const std::string& column) {
      const std::string& text = metrics.rows[row][metrics.column(column)];
      return text.empty() ? 0 : std::stof(text);  // a precision of nothing
    };
    const auto expect_figure = [&](const std::string& column, const std::string& tag) {
      ASSERT_TRUE(event.scalars.contains(tag)) << tag;
      EXPECT_FLOAT_EQ(event.scalars.at(tag), figure_in(column)) << tag;
    };
    expect_figure("phase", "phase");
    expect_figure("train_loss", "train/loss");
    expect_figure("val_loss", "val/loss");
    expect_figure("val_dice", "val/dice");
    expect_figure("val_dice_1", "val/dice_1");
    expect_figure("val_recall_1", "val/recall_1");
    expect_figure("lr", "lr");
    expect_figure("images_per_second", "images_per_second");
    EXPECT_FALSE(event.scalars.contains("epoch"));
    ASSERT_TRUE(event.pictures.contains("val/worst"));  // of two images both are among the worst: it stands for them
    const ReadPicture& picture = event.pictures.at("val/worst");
    tests::write_file(folder / "picture.jpg", picture.encoded);
    const Image image = load_image(folder / "picture.jpg");
    EXPECT_EQ(picture.width, static_cast<std::uint64_t>(image.width));
    EXPECT_EQ(picture.height, static_cast<std::uint64_t>(image.height));
    fs::remove(folder / "picture.jpg");
    expect_a_curve(event.tensors.at("precision_recall/1"), figure_in("val_recall_1"), figure_in("val_precision_1"));
    EXPECT_EQ(event.tensors.size(), 1u);
  }
}

class TensorBoard : public TinyTraining {};

TEST_F(TensorBoard, AnEventAnEpochHasTheFiguresOfMetrics) {
  expect_the_metrics(alone(kOn));
  EXPECT_TRUE(event_file_in(alone()).empty());
}

TEST_F(TensorBoard, ItsOwnReaderReadsEveryValueBack) {
  const std::string python = tests::python_with("tensorboard");
  if (python.empty()) GTEST_SKIP() << "no Python with tensorboard";
  const fs::path& folder = alone(kOn);
  const ProgramResult result = run({python, places::source("tests/apps/tensorboard_reads.py"), folder.string()});
  ASSERT_EQ(result.code, 0) << result.err;
  nlohmann::json read = nlohmann::json::parse(result.out);
  std::size_t values = 0;
  for (const ReadEvent& event : read_events(text_of(event_file_in(folder)))) {
    const auto next = [&](const char* kind, const std::string& tag) {
      nlohmann::json& list = read[kind][tag];
      EXPECT_FALSE(list.empty()) << tag;
      const nlohmann::json first = list.at(0);
      list.erase(0);
      EXPECT_EQ(first[0].get<std::uint64_t>(), event.step) << tag;
      ++values;
      return first;
    };
    for (const auto& [tag, value] : event.scalars) EXPECT_EQ(next("scalars", tag)[1].get<float>(), value) << tag;
    for (const auto& [tag, curve] : event.tensors) {
      EXPECT_EQ(next("curves", tag)[1].get<std::vector<float>>(), curve.values) << tag;
    }
    for (const auto& [tag, picture] : event.pictures) {
      const nlohmann::json there = next("pictures", tag);
      EXPECT_EQ(there[1].get<std::uint64_t>(), picture.width);
      EXPECT_EQ(there[2].get<std::uint64_t>(), picture.height);
    }
  }
  EXPECT_GT(values, 80u);
  for (const auto& [kind, tags] : read.items()) {
    for (const auto& [tag, left] : tags.items())
      EXPECT_TRUE(left.empty()) << kind << " " << tag << ": more than was written";
  }
}

TEST_F(TensorBoard, StepsNeitherDoubleNorMissAfterAKill) {
  // An event that was being written; one that is there while its state is not; state and event both.
  const std::vector<Words> faults{{"write", "tfevents"}, {"fsync", "tfevents"}, {"rename", "last.next"}};
  for (const Words& fault : faults) {
    for (const int nth : {2, 3, 4, 5}) {
      const fs::path output = folder_ / fmt::format("run_{}_{}", fault[0], nth);
      ASSERT_EQ(run_into({"signal 9", fault[0], fault[1], nth}, command(output, kOn), folder_.path()).code, 137);
      ASSERT_EQ(run(command(output, kOn + Words{"--resume", "auto"})).code, 0);
      expect_the_metrics(output);
      expect_as_alone(output, kOn);
    }
  }
}

TEST_F(TensorBoard, MayBeAskedForLater) {
  const fs::path output = folder_ / "run";
  ASSERT_EQ(run_into({"signal 15", "write", "steps.csv", 8}, command(output), folder_.path()).code, 143);
  const ProgramResult resumed = run(command(output, Words{"--tensorboard", "--resume", "auto"}));
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  const std::vector<ReadEvent> events = read_events(text_of(event_file_in(output)));
  ASSERT_EQ(events.size(), 5u);  // the version, and epochs 2 to 5
  EXPECT_EQ(events[1].step, 2u);
}

TEST_F(TensorBoard, DamageIsToldAndTheRunGoesOn) {
  const fs::path output = folder_ / "run";
  ASSERT_EQ(run_into({"signal 15", "write", "steps.csv", 18}, command(output, kOn), folder_.path()).code, 143);
  const fs::path file = event_file_in(output);
  std::string text = text_of(file);
  text[text.size() - 40] ^= 1;  // in the third epoch's event
  tests::write_file(file, text);
  const ProgramResult resumed = run(command(output, kOn + Words{"--resume", "auto"}));
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  expect_parts(resumed.err, {"tfevents", "has whole events up to epoch 2 of 3: it goes on from there"});
  const std::vector<ReadEvent> events = read_events(text_of(file));
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(events[3].step, 4u);
}

TEST_F(TensorBoard, AReplacedRunTakesItsEventsWithIt) {
  const fs::path output = folder_ / "run";
  ASSERT_EQ(run(command(output, kOn)).code, 0);
  const fs::path before = event_file_in(output);
  ASSERT_EQ(run(command(output, Words{"--overwrite"})).code, 0);
  EXPECT_FALSE(fs::exists(before));
}

}  // namespace
}  // namespace unet::test::tensorboard_test
