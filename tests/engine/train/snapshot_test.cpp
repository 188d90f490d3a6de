// A snapshot is what the training was when it was taken, whatever becomes of it while a thread writes.
#include "engine/train/snapshot.h"

#include <gtest/gtest.h>

#include <thread>

#include "engine/train/adam.h"
#include "engine/train/checkpoint.h"
#include "tests/support/file_support.h"

namespace unet::tests::snapshot_test {
namespace {

/// A model of one large weight and one of each of the rest, and its optimizer, every value a function of `first`.
struct Training {
  Parameters parameters;
  std::optional<Adam> optimizer;

  explicit Training(float first) {
    parameters.begin_group("encoder");
    parameters.add("large", {512, 3, 3, 256}, {0.5, 0});
    parameters.begin_group("head");
    parameters.add("weight", {2, 1, 2, 3}, {0.5, 0});
    parameters.add("bias", {2}, {0.5, 0});
    parameters.add_stats("norm", 3);
    parameters.initialize(1);
    optimizer.emplace(parameters, kernels::AdamSpec{});
    change(first);
  }
  void change(float first) {
    for (const Tensor& range : {parameters.values(), parameters.running(), optimizer->m(), optimizer->v()}) {
      for (std::int64_t i = 0; i < range.size(); ++i) range.data<float>()[i] = first + static_cast<float>(i % 1000);
    }
    parameters.stats()[0].batches_tracked = static_cast<std::int64_t>(first);
    optimizer->set_group_steps({static_cast<std::int64_t>(first) + 1, static_cast<std::int64_t>(first)});
  }
};

TEST(Snapshot, IsWhatTheTrainingWasWhileThatGoesOn) {
  const TemporaryFolder folder;
  Training then(3), training(3);
  save_training(folder / "then", then.parameters, *then.optimizer, {{"k", "v"}});
  const std::uint64_t digest = save_model(folder / "model then", then.parameters, {});
  Snapshot snapshot(training.parameters);
  for (int round = 0; round < 2; ++round) {
    training.change(3);
    snapshot.take(&*training.optimizer);
    std::uint64_t written = 0;
    std::thread writer([&] {
      written = snapshot.save_model(folder / "model", {});
      snapshot.save_training(folder / "now", {{"k", "v"}});
    });
    training.change(7);
    writer.join();
    EXPECT_EQ(written, digest);
    EXPECT_EQ(snapshot.steps(), 4);
    EXPECT_TRUE(read_file(folder / "now") == read_file(folder / "then"));
    EXPECT_TRUE(read_file(folder / "model") == read_file(folder / "model then"));
  }
  Training loaded(9);
  load_training(SafetensorsFile(folder / "now"), loaded.parameters, *loaded.optimizer);
  save_training(folder / "loaded", loaded.parameters, *loaded.optimizer, {{"k", "v"}});
  EXPECT_TRUE(read_file(folder / "loaded") == read_file(folder / "then"));
  EXPECT_EQ(loaded.optimizer->group_steps(), (std::vector<std::int64_t>{4, 3}));
}

TEST(Snapshot, AsksForItsMemoryOnce) {
  const TemporaryFolder folder;
  Training training(3);
  const auto bytes = training.parameters.values().bytes();
  Snapshot snapshot(training.parameters);
  const auto save = [&] {
    snapshot.take(&*training.optimizer);
    snapshot.save_training(folder / "t", {});
  };
  // Values and two moments, and the largest weight, nearly all of them, once more.
  const std::size_t first = peak_heap_bytes(save);
  EXPECT_GT(first, 3 * bytes);
  EXPECT_LT(first, 4 * bytes + (1 << 20));
  EXPECT_LT(peak_heap_bytes(save), std::size_t{1} << 20);
}

}  // namespace
}  // namespace unet::tests::snapshot_test
