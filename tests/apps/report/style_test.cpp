// Contrast as WCAG 2.1 computes it (1.4.3: 4.5 for text; 1.4.11: 3 for what a chart is read by), from the palette.
#include "apps/report/style.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>

namespace unet::tests::style_test {
namespace {

using Colour = std::array<double, 3>;

Colour colour(const char* name, bool dark) {
  for (const PageColour& c : kPageColours) {
    if (std::strcmp(c.name, name) != 0) continue;
    const std::string hex = dark ? c.dark : c.light;
    EXPECT_EQ(hex.size(), 7u);
    Colour out;
    for (std::size_t i = 0; i < 3; ++i) out[i] = std::stoi(hex.substr(1 + 2 * i, 2), nullptr, 16);
    return out;
  }
  ADD_FAILURE() << name;
  return {};
}

double luminance(const Colour& c) {
  const auto linear = [](double v) {
    return v / 255 <= 0.04045 ? v / 255 / 12.92 : std::pow((v / 255 + 0.055) / 1.055, 2.4);
  };
  return 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
}

double contrast(const Colour& a, const Colour& b) {
  const double x = luminance(a), y = luminance(b);
  return (std::max(x, y) + 0.05) / (std::min(x, y) + 0.05);
}

TEST(PageStyle, ContrastIsThatOfWcagAa) {
  EXPECT_NEAR(contrast({0, 0, 0}, {255, 255, 255}), 21, 1e-9);
  EXPECT_NEAR(contrast({119, 119, 119}, {255, 255, 255}), 4.48, 0.01);  // #777: the example that just fails
  for (const bool dark : {false, true}) {
    for (const char* text : {"ink", "soft", "link", "good", "bad"}) {
      for (const char* ground : {"paper", "card", "band"}) {
        EXPECT_GE(contrast(colour(text, dark), colour(ground, dark)), 4.5) << text << " on " << ground << dark;
      }
    }
    for (const char* line : {"s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "axis"}) {
      for (const char* ground : {"card", "band"}) {
        EXPECT_GE(contrast(colour(line, dark), colour(ground, dark)), 3) << line << " on " << ground << dark;
      }
    }
    // A cell of the confusion, from none of the tint to all of it.
    for (const double share : {0.0, 0.5, 1.0}) {
      Colour cell = colour("card", dark);
      for (std::size_t i = 0; i < 3; ++i) cell[i] += share * kMostHeat * (colour("heat", dark)[i] - cell[i]);
      EXPECT_GE(contrast(colour("ink", dark), cell), 4.5) << share << dark;
    }
  }
}

TEST(PageStyle, TheSheetHoldsThePaletteForBothGroundsAndNoWayOut) {
  const std::string sheet = style_sheet();
  for (const PageColour& c : kPageColours) {
    EXPECT_NE(sheet.find(std::string("--") + c.name + ":" + c.light + ";"), std::string::npos) << c.name;
    EXPECT_NE(sheet.find(std::string("--") + c.name + ":" + c.dark + ";"), std::string::npos) << c.name;
  }
  EXPECT_NE(sheet.find("calc(var(--v)*.45)"), std::string::npos) << "kMostHeat is " << kMostHeat;
  EXPECT_EQ(kMostHeat, 0.45);
  for (const char* part : {"url(", "@import", "<", "&"}) EXPECT_EQ(sheet.find(part), std::string::npos) << part;
  EXPECT_NE(series_dash(9), series_dash(0)) << "the tenth curve has the first one's colour";
}

}  // namespace
}  // namespace unet::tests::style_test
