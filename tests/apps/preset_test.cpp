// --preset: what a set of options does to those of the command line and of the file.
#include "apps/preset.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "apps/options_file.h"
#include "tests/support/data_support.h"

namespace unet::test::preset_test {
namespace {

const Preset kMadeUp{"made-up", {{"epochs", "12"}, {"ema", "0.99"}}};

struct Taken {
  std::string epochs = "24", ema = "off", line;
};

Taken take(const Preset& preset, std::vector<std::string> words) {
  Taken out;
  CLI::App app;
  add_options_file(app);
  app.add_option("-e,--epochs", out.epochs);
  app.add_option("--ema", out.ema);
  std::ranges::reverse(words);  // as CLI11 takes them
  app.parse(words);
  out.line = take_preset(app, preset);
  return out;
}

TEST(Preset, SetsWhatIsNotGiven) {
  const Taken taken = take(kMadeUp, {});
  EXPECT_EQ(taken.epochs, "12");
  EXPECT_EQ(taken.ema, "0.99");
  EXPECT_EQ(taken.line, "preset made-up: --epochs=12 --ema=0.99");
}

TEST(Preset, WhatIsTypedGoesBeforeIt) {
  const Taken taken = take(kMadeUp, {"-e", "6"});
  EXPECT_EQ(taken.epochs, "6");
  EXPECT_EQ(taken.ema, "0.99");
  EXPECT_EQ(taken.line, "preset made-up: --ema=0.99 (given otherwise: --epochs)");
}

TEST(Preset, WhatIsInAFileGoesBeforeIt) {
  const Folder folder;
  write_text(folder / "options.toml", "ema = 0.9\n");
  const std::string file = (folder / "options.toml").string();
  const Taken taken = take(kMadeUp, {"--config", file});
  EXPECT_EQ(taken.epochs, "12");
  EXPECT_EQ(taken.ema, "0.9");
  EXPECT_EQ(taken.line, "preset made-up: --epochs=12 (given otherwise: --ema)");
  EXPECT_EQ(take(kMadeUp, {"--config", file, "--epochs", "24"}).line,
            "preset made-up: nothing (given otherwise: --epochs, --ema)");
}

TEST(Preset, OneWithoutOptionsIsTheDefaults) {
  EXPECT_EQ(take({"bare", {}}, {}).line, "preset bare: the defaults");
  EXPECT_EQ(take(preset_named("default"), {}).line, "");
}

}  // namespace
}  // namespace unet::test::preset_test
