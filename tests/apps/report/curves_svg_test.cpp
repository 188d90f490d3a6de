// The picture of a run: well-formed, and drawn from the numbers.
#include "apps/report/curves_svg.h"

#include <gtest/gtest.h>

#include "tests/support/file_support.h"

namespace unet::tests::curves_svg_test {
namespace {

CsvTable metrics(const std::vector<std::vector<std::string>>& rows) {
  return {{"phase", "epoch", "train_loss", "val_loss", "val_dice"}, rows};
}

std::size_t count(const std::string& text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

void expect_well_formed(const std::string& svg) {
  const TemporaryFolder folder;
  write_file(folder / "curves.svg", svg);
  const CommandResult python = run_command(
      "python3 -c 'import sys, xml.etree.ElementTree as t; assert "
      "t.parse(sys.argv[1]).getroot().tag.endswith(\"}svg\")' " +
      shell_quoted(folder / "curves.svg"));
  if (python.status == 127) GTEST_SKIP() << "python3 is absent";
  EXPECT_EQ(python.status, 0) << python.output << svg;
}

TEST(CurvesSvg, ShowsBothPhasesAndTheBestEpoch) {
  const std::string svg = curves_svg(metrics({{"1", "1", "0.6", "0.7", "0.5"},
                                              {"1", "2", "0.4", "0.5", "0.75"},
                                              {"2", "1", "0.3", "0.35", "0.8125"},
                                              {"2", "2", "0.2", "0.3", "0.8"}}),
                                     "a run");
  expect_well_formed(svg);
  EXPECT_NE(svg.find("best 0.8125, epoch 3 (phase 2)"), std::string::npos);
  EXPECT_EQ(count(svg, ">phase 1</text>"), 1u);
  EXPECT_EQ(count(svg, ">phase 2</text>"), 1u);
  EXPECT_EQ(count(svg, "stroke-dasharray=\"4 4\""), 2u);  // the change of phase, in both panels
  EXPECT_EQ(count(svg, "<path "), 3u);
  // The axis of Dice runs from 0.5 at y = 580 to 0.9 at 378; four epochs of 201 px from x = 68 on.
  EXPECT_NE(svg.find("cx=\"570.5\" cy=\"422.2\" r=\"5.5\""), std::string::npos) << svg;
  // A new phase starts a new line.
  EXPECT_EQ(count(svg, " M570.5 "), 3u);
}

TEST(CurvesSvg, EscapesItsTitleAndEndsWell) {
  const std::string svg = curves_svg(metrics({{"1", "1", "0.6", "0.7", "0.5"}}), "<b>&\"x\"]]>\x01\xff µ");
  expect_well_formed(svg);
  EXPECT_EQ(count(svg, "&lt;b&gt;&amp;&quot;x&quot;]]&gt;\\x01\\xff µ"), 2u);
  EXPECT_EQ(svg.substr(svg.size() - 7), "</svg>\n");
}

TEST(CurvesSvg, OddNumbersLeaveGaps) {
  expect_well_formed(curves_svg(metrics({}), "empty"));
  const std::string gaps = curves_svg(metrics({{"1", "1", "nan", "0.7", "0.5"},
                                               {"1", "2", "0.5", "inf", "-"},
                                               {"1", "3", "1e300", "-0.1", ""},
                                               {"x", "4", "0", "0", "0"}}),
                                      "gaps");
  expect_well_formed(gaps);
  // The words nan and inf appear in no coordinate.
  EXPECT_EQ(count(gaps, "nan"), 0u) << gaps;
  EXPECT_EQ(count(gaps, "inf"), 0u) << gaps;
  std::vector<std::vector<std::string>> flat(500, {"1", "1", "0", "0", "1"});
  expect_well_formed(curves_svg(metrics(flat), "flat"));
  EXPECT_NE(error_of([] { curves_svg({{"phase"}, {}}, "t"); }).find("train_loss"), std::string::npos);
}

}  // namespace
}  // namespace unet::tests::curves_svg_test
