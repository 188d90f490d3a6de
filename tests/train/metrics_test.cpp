#include "engine/train/metrics.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/core/error.h"

namespace unet {
namespace {

using kernels::ClassCounts;

TEST(Metrics, OneImageByHand) {
  // 100 pixels, 30 of them foreground; 40 predicted, 20 of those rightly.
  const std::vector<ClassCounts> counts{{50, 60, 70}, {20, 40, 30}};
  const Scores score = scores(counts);
  EXPECT_DOUBLE_EQ(score.dice, 40.0 / 70);
  EXPECT_DOUBLE_EQ(score.iou, 20.0 / 50);
  EXPECT_DOUBLE_EQ(score.pixel_accuracy, 0.7);
}

TEST(Metrics, ForegroundClassesAreAveragedWithoutTheBackground) {
  const std::vector<ClassCounts> counts{{0, 5, 5}, {10, 10, 10}, {0, 5, 5}, {1, 3, 1}};
  const Scores score = scores(counts);
  EXPECT_DOUBLE_EQ(score.dice, (1 + 0 + 0.5) / 3);
  EXPECT_DOUBLE_EQ(score.iou, (1 + 0 + 1.0 / 3) / 3);
  EXPECT_DOUBLE_EQ(score.pixel_accuracy, 11.0 / 21);
}

TEST(Metrics, EmptyOnEmptyIsOneAndPredictionOnEmptyIsZero) {
  EXPECT_EQ(scores(std::vector<ClassCounts>{{10, 10, 10}, {0, 0, 0}}).dice, 1);
  EXPECT_EQ(scores(std::vector<ClassCounts>{{10, 10, 10}, {0, 0, 0}}).iou, 1);
  EXPECT_EQ(scores(std::vector<ClassCounts>{{9, 9, 10}, {0, 1, 0}}).dice, 0);
  EXPECT_EQ(scores(std::vector<ClassCounts>{{9, 10, 9}, {0, 0, 1}}).dice, 0);
}

TEST(Metrics, AllIgnoredIsOne) {
  const Scores score = scores(std::vector<ClassCounts>(3));
  EXPECT_EQ(score.dice, 1);
  EXPECT_EQ(score.iou, 1);
  EXPECT_EQ(score.pixel_accuracy, 1);
}

TEST(Metrics, OneClassIsTakenItself) {
  const Scores score = scores(std::vector<ClassCounts>{{10, 10, 10}});
  EXPECT_EQ(score.dice, 1);
  EXPECT_EQ(score.pixel_accuracy, 1);
}

TEST(Metrics, MeanOverImagesDiffersFromTheDataSetTakenAsOne) {
  // A small object missed, a large one found.
  const std::vector<ClassCounts> small{{98, 100, 98}, {0, 0, 2}}, large{{40, 40, 40}, {60, 60, 60}};
  SegmentationMetrics metrics(2);
  metrics.add(small);
  metrics.add(large);
  EXPECT_EQ(metrics.images(), 2);
  EXPECT_DOUBLE_EQ(metrics.dice(), 0.5);
  EXPECT_DOUBLE_EQ(metrics.iou(), 0.5);
  EXPECT_DOUBLE_EQ(metrics.dataset().dice, 120.0 / 122);
  EXPECT_DOUBLE_EQ(metrics.dataset().iou, 60.0 / 62);
  EXPECT_DOUBLE_EQ(metrics.pixel_accuracy(), 198.0 / 200);

  SegmentationMetrics together(2);
  std::vector<ClassCounts> both = small;
  both.insert(both.end(), large.begin(), large.end());
  together.add(both);
  EXPECT_EQ(together.images(), 2);
  EXPECT_EQ(together.dice(), metrics.dice());
  EXPECT_EQ(together.dataset().dice, metrics.dataset().dice);
}

TEST(Metrics, EmptyImagesCountAsOneInTheMeanOverImages) {
  SegmentationMetrics metrics(2);
  metrics.add(std::vector<ClassCounts>{{100, 100, 100}, {0, 0, 0}, {50, 75, 75}, {0, 25, 25}});
  EXPECT_DOUBLE_EQ(metrics.dice(), 0.5);
  EXPECT_DOUBLE_EQ(metrics.dataset().dice, 0);
}

TEST(Metrics, NothingAddedIsOne) {
  const SegmentationMetrics metrics(2);
  EXPECT_EQ(metrics.images(), 0);
  EXPECT_EQ(metrics.dice(), 1);
  EXPECT_EQ(metrics.dataset().iou, 1);
}

TEST(Metrics, WrongSizesAreRefused) {
  EXPECT_THROW(SegmentationMetrics(0), Error);
  SegmentationMetrics metrics(3);
  EXPECT_THROW(metrics.add(std::vector<ClassCounts>(4)), Error);
}

TEST(Metrics, EveryFigureHasAMeaning) {
  for (const MetricMeaning& metric :
       {dice_meaning, dice_dataset_meaning, iou_meaning, iou_dataset_meaning, pixel_accuracy_meaning}) {
    EXPECT_FALSE(std::string(metric.key).empty());
    EXPECT_GT(std::string(metric.meaning).size(), 20u);
  }
}

}  // namespace
}  // namespace unet
