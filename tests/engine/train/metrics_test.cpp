#include "engine/train/metrics.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "engine/core/error.h"

namespace unet::metrics_test {
namespace {

using kernels::ClassCounts;
using Counts = std::vector<ClassCounts>;

TEST(Metrics, OneImageByHand) {
  // 100 pixels, 30 of them foreground; 40 predicted, 20 of those rightly.
  const Scores score = scores(Counts{{50, 60, 70}, {20, 40, 30}});
  EXPECT_DOUBLE_EQ(score.dice.value(), 40.0 / 70);
  EXPECT_DOUBLE_EQ(score.iou.value(), 20.0 / 50);
  EXPECT_DOUBLE_EQ(score.pixel_accuracy.value(), 0.7);
  EXPECT_TRUE(score.nonempty);
  EXPECT_FALSE(score.nothing_to_find);
}

TEST(Metrics, AClassByHand) {
  const ClassScores score = class_scores({20, 40, 30});
  EXPECT_DOUBLE_EQ(score.dice.value(), 40.0 / 70);
  EXPECT_DOUBLE_EQ(score.iou.value(), 20.0 / 50);
  EXPECT_DOUBLE_EQ(score.precision.value(), 0.5);
  EXPECT_DOUBLE_EQ(score.recall.value(), 20.0 / 30);
}

TEST(Metrics, WhatHasNothingToDivideByHasNoFigure) {
  const ClassScores nowhere = class_scores({0, 0, 0}), missed = class_scores({0, 0, 4}),
                    claimed = class_scores({0, 4, 0});
  EXPECT_FALSE(nowhere.dice || nowhere.iou || nowhere.precision || nowhere.recall);
  EXPECT_EQ(missed.dice, 0);
  EXPECT_EQ(missed.recall, 0);
  EXPECT_FALSE(missed.precision);
  EXPECT_EQ(claimed.dice, 0);
  EXPECT_EQ(claimed.precision, 0);
  EXPECT_FALSE(claimed.recall);
}

TEST(Metrics, ForegroundClassesAreAveragedWithoutTheBackground) {
  const Counts counts{{0, 5, 5}, {10, 10, 10}, {0, 5, 5}, {1, 3, 1}};
  const Scores score = scores(counts);
  EXPECT_DOUBLE_EQ(score.dice.value(), (1 + 0 + 0.5) / 3);
  EXPECT_DOUBLE_EQ(score.iou.value(), (1 + 0 + 1.0 / 3) / 3);
  EXPECT_DOUBLE_EQ(score.pixel_accuracy.value(), 11.0 / 21);
  EXPECT_DOUBLE_EQ(scores(counts, Background::none).dice.value(), (0 + 1 + 0 + 0.5) / 4);
}

TEST(Metrics, AClassThatIsNowhereInAnImageHasNoScoreThere) {
  // Six classes, one of them in the image and missed: four absent ones do not make that 0.8.
  Counts counts(6);
  counts[0] = {90, 100, 90};
  counts[3] = {0, 0, 10};
  EXPECT_EQ(scores(counts).dice, 0);
  EXPECT_EQ(scores(counts).iou, 0);
  counts[5] = {0, 0, 0};
  counts[3] = {10, 10, 10};
  EXPECT_EQ(scores(counts).dice, 1);
}

TEST(Metrics, NothingToFindAndNothingClaimedIsOneAndCounted) {
  const Scores quiet = scores(Counts{{10, 10, 10}, {0, 0, 0}});
  EXPECT_EQ(quiet.dice, 1);
  EXPECT_EQ(quiet.iou, 1);
  EXPECT_TRUE(quiet.nothing_to_find);
  EXPECT_FALSE(quiet.nonempty);
  EXPECT_EQ(scores(Counts{{9, 9, 10}, {0, 1, 0}}).dice, 0);
  EXPECT_EQ(scores(Counts{{9, 10, 9}, {0, 0, 1}}).dice, 0);

  SegmentationMetrics metrics(2);
  metrics.add(Counts{{100, 100, 100}, {0, 0, 0}, {50, 75, 75}, {0, 25, 25}});
  EXPECT_DOUBLE_EQ(metrics.dice().value(), 0.5);
  EXPECT_EQ(metrics.dice_dataset(), 0);
  EXPECT_EQ(metrics.nothing_to_find(), 1);
}

TEST(Metrics, OfMostlyEmptyMasksTheOthersSayWhatWasLearnt) {
  SegmentationMetrics metrics(2);
  for (int i = 0; i < 9; ++i) metrics.add(Counts{{100, 100, 100}, {0, 0, 0}});
  metrics.add(Counts{{90, 100, 90}, {0, 0, 10}});
  EXPECT_DOUBLE_EQ(metrics.dice().value(), 0.9);
  EXPECT_EQ(metrics.dice_nonempty(), 0);
  EXPECT_EQ(metrics.nonempty(), 1);
}

TEST(Metrics, AnImageWhosePixelsAreAllIgnoredIsInNoMean) {
  const Scores score = scores(Counts(3));
  EXPECT_FALSE(score.dice || score.iou || score.pixel_accuracy);

  SegmentationMetrics metrics(2);
  metrics.add(Counts(2));
  EXPECT_FALSE(metrics.dice() || metrics.iou() || metrics.dice_dataset() || metrics.pixel_accuracy());
  metrics.add(Counts{{50, 60, 70}, {20, 40, 30}});
  EXPECT_DOUBLE_EQ(metrics.dice().value(), 40.0 / 70);
  EXPECT_EQ(metrics.images(), 2);
  EXPECT_EQ(metrics.ignored(), 1);
  EXPECT_EQ(metrics.nothing_to_find(), 0);
}

TEST(Metrics, OneClassIsTakenItself) {
  const Scores score = scores(Counts{{10, 10, 10}});
  EXPECT_EQ(score.dice, 1);
  EXPECT_EQ(score.pixel_accuracy, 1);
}

TEST(Metrics, MeanOverImagesDiffersFromTheDataSetTakenAsOne) {
  // A small object missed, a large one found.
  const Counts small{{98, 100, 98}, {0, 0, 2}}, large{{40, 40, 40}, {60, 60, 60}};
  SegmentationMetrics metrics(2);
  metrics.add(small);
  metrics.add(large);
  EXPECT_EQ(metrics.images(), 2);
  EXPECT_DOUBLE_EQ(metrics.dice().value(), 0.5);
  EXPECT_DOUBLE_EQ(metrics.iou().value(), 0.5);
  EXPECT_DOUBLE_EQ(metrics.dice_dataset().value(), 120.0 / 122);
  EXPECT_DOUBLE_EQ(metrics.iou_dataset().value(), 60.0 / 62);
  EXPECT_DOUBLE_EQ(metrics.pixel_accuracy().value(), 198.0 / 200);

  SegmentationMetrics together(2);
  Counts both = small;
  both.insert(both.end(), large.begin(), large.end());
  together.add(both);
  EXPECT_EQ(together.images(), 2);
  EXPECT_EQ(together.dice(), metrics.dice());
  EXPECT_EQ(together.dice_dataset(), metrics.dice_dataset());
}

TEST(Metrics, AClassThatIsNowhereInTheSplitHasNoFigure) {
  SegmentationMetrics metrics(3);
  metrics.add(Counts{{50, 60, 70}, {20, 40, 30}, {0, 0, 0}});
  EXPECT_DOUBLE_EQ(metrics.dice_dataset().value(), 40.0 / 70);
  EXPECT_FALSE(metrics.of_class(2).dice);
  EXPECT_EQ(metrics.images_with(1), 1);
  EXPECT_EQ(metrics.images_with(2), 0);
  EXPECT_EQ(metrics.pixels(1), 30);
}

TEST(Metrics, WithoutABackgroundEveryClassCounts) {
  SegmentationMetrics metrics(2, Background::none);
  metrics.add(Counts{{50, 60, 70}, {20, 40, 30}});
  EXPECT_DOUBLE_EQ(metrics.dice().value(), (100.0 / 130 + 40.0 / 70) / 2);
  EXPECT_TRUE(metrics.is_scored(0));
  EXPECT_FALSE(metrics.dice_nonempty());
  for (const Figure& figure : metrics.figures()) EXPECT_NE(std::string(figure.key), "dice_nonempty");
}

TEST(Metrics, TheBestIsChosenByTheFigureAskedFor) {
  SegmentationMetrics metrics(2);
  metrics.add(Counts{{98, 100, 98}, {0, 0, 2}, {40, 40, 40}, {60, 60, 60}, {100, 100, 100}, {0, 0, 0}});
  EXPECT_DOUBLE_EQ(score_of(BestBy::dice, metrics).value(), 2.0 / 3);
  EXPECT_DOUBLE_EQ(score_of(BestBy::dice_nonempty, metrics).value(), 0.5);
  EXPECT_DOUBLE_EQ(score_of(BestBy::dice_dataset, metrics).value(), 120.0 / 122);
  EXPECT_DOUBLE_EQ(score_of(BestBy::iou_dataset, metrics).value(), 60.0 / 62);
}

TEST(Metrics, NothingAddedHasNoFigure) {
  const SegmentationMetrics metrics(2);
  EXPECT_EQ(metrics.images(), 0);
  EXPECT_FALSE(metrics.dice() || metrics.iou_dataset());
  EXPECT_EQ(figure_text(metrics.dice()), "-");
  EXPECT_EQ(figure_text(0.5), "0.5000");
}

TEST(Metrics, WrongSizesAreRefused) {
  EXPECT_THROW(SegmentationMetrics(0), Error);
  SegmentationMetrics metrics(3);
  EXPECT_THROW(metrics.add(Counts(4)), Error);
}

TEST(Metrics, EveryFigureHasAMeaning) {
  std::set<std::string> keys;
  for (const Figure& figure : SegmentationMetrics(2).figures()) {
    EXPECT_TRUE(keys.insert(figure.key).second);
    EXPECT_GT(std::string(figure.meaning).size(), 20u);
  }
  EXPECT_EQ(keys.size(), 6u);
}

}  // namespace
}  // namespace unet::metrics_test
