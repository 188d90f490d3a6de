// --config FILE: what is not used is refused by name; a value is as good or bad as on the command line.
#include <nlohmann/json.hpp>

#include "tests/apps/small_data.h"

namespace unet::test::options_file_test {
namespace {

class OptionsFile : public testing::Test {
 protected:
  OptionsFile() { write_small_pairs(folder_ / "data", 4, 1, 32, 32); }

  ProgramResult run_with(const std::string& text, const Words& words = {}) const {
    write_text(folder_ / "run.toml", text);
    return train_unet(Words{"--config", (folder_ / "run.toml").string()} + words);
  }
  void expect_wrong_use(const std::string& text, const std::vector<std::string>& parts) const {
    const ProgramResult result = run_with(text, {"-d", (folder_ / "data").string(), "-o", (folder_ / "run").string()});
    EXPECT_EQ(result.code, 2) << text << result.err;
    EXPECT_TRUE(result.err.starts_with("train_unet: ")) << result.err;
    EXPECT_EQ(result.err.find('\x1b'), std::string::npos) << result.err;
    expect_parts(result.err, parts);
    EXPECT_FALSE(fs::exists(folder_ / "run"));
  }

  const Folder folder_;
};

TEST_F(OptionsFile, EveryFormOfAValueIsRead) {
  const std::string output = (folder_ / "a run # 1").string();
  const ProgramResult result = run_with(
      fmt::format("\xef\xbb\xbf# a run\r\n\ndata = \"{}\"\t# pairs\r\n  output='{}'\nbase-channels = 2\ne = 1\n"
                  "phase2-epochs = 0\nno-shuffle = true\nquiet = false\nlr = 1e-3 # small\nschedule = cosine\n"
                  "max-steps = 1\nimage-size = 32\nthreads = 1\nb = 2",
                  (folder_ / "data").string(), output));
  ASSERT_EQ(result.code, 0) << result.err;
  const nlohmann::json options = nlohmann::json::parse(text_of(fs::path(output) / "run.json"))["options"];
  for (const auto& [name, value] : std::map<std::string, std::string>{
           {"no-shuffle", "true"}, {"lr", "0.001"}, {"schedule", "cosine"}, {"batch-size", "2"}, {"epochs", "1"}}) {
    EXPECT_EQ(options[name], value) << name;
  }
}

TEST_F(OptionsFile, SectionsAndUnknownNamesAreRefusedByLine) {
  expect_wrong_use("[train]\nepochs = 3\n", {"run.toml:1: section [train]", "without it"});
  expect_wrong_use("\n[[train]]\n", {"run.toml:2: section ["});
  expect_wrong_use("[default]\nepochs = 3\n", {"run.toml:1: section [default]"});
  expect_wrong_use("lr = 1\ntrain.epochs = 3\n", {"run.toml:2: \"train.epochs\" is no option", "no section"});
  expect_wrong_use("batchsize = 2\n", {"run.toml:1: \"batchsize\" is no option", "train_unet --help"});
  expect_wrong_use("x\n", {"run.toml:1: \"x\" is no option"});
  expect_wrong_use("= 3\n", {"run.toml:1: \"\" is no option"});
  for (const char* name : {"config", "help", "version"}) {
    expect_wrong_use(fmt::format("{} = \"x\"\n", name), {fmt::format("\"{}\" is no option", name)});
  }
  expect_wrong_use("\x1b[31m = 3\n", {"\\x1b[31m"});
}

TEST_F(OptionsFile, WhatIsNotOneValueIsRefusedByLine) {
  expect_wrong_use("epochs = 3\nlr = 1\nepochs = 4\n", {"run.toml:3: \"epochs\" is given twice"});
  expect_wrong_use("epochs = 3\ne = 4\n", {"run.toml:2: \"e\" is given twice"});
  for (const char* nothing : {"epochs", "epochs =", "epochs = # 3", "quiet", "e"}) {
    expect_wrong_use(nothing, {"run.toml:1: ", "has no value"});
  }
  expect_wrong_use("epochs = 3 4\n", {"run.toml:1: ", "more than one value"});
  expect_wrong_use("output = a folder\n", {"more than one value", "quotes"});
  expect_wrong_use("epochs = [3, 4]\n", {"epochs is a list"});
  expect_wrong_use("epochs = { n = 3 }\n", {"epochs is a list"});
  expect_wrong_use("output = \"a\n", {"does not end"});
  expect_wrong_use("output = \"\\q\"\n", {"unknown escape"});
  expect_wrong_use("output = \"\"\"a\"\"\"\n", {"more than one value"});
  expect_wrong_use(std::string("output = \"a\0b\"\n", 15), {"NUL"});
  expect_wrong_use(std::string("output = a\0b\n", 13), {"NUL"});
  expect_wrong_use("quiet = maybe\n", {"quiet is \"maybe\"", "true or false"});
  expect_wrong_use("quiet = 1\n", {"quiet is \"1\"", "true or false"});
}

TEST_F(OptionsFile, AValueIsHeldToWhatTheCommandLineTakes) {
  for (const char* name : {"classes", "workers", "cache-mb", "base-channels", "epochs", "phase2-epochs", "batch-size",
                           "accumulate", "lr", "phase2-lr", "weight-decay", "warmup", "clip-norm", "max-steps", "seed",
                           "threads", "save-every", "keep", "image-size"}) {
    for (const char* value : {"010", "0x10", "nan", "-1", "\"\"", "\" 7\""}) {
      expect_wrong_use(fmt::format("{} = {}\n", name, value), {fmt::format("--{}", name)});
    }
  }
  expect_wrong_use("init = \"\"\n", {"--init", "is empty"});
  expect_wrong_use("resume = \"\"\n", {"--resume", "is empty"});
  expect_wrong_use("augment = heavy\n", {"--augment", "heavy"});
}

TEST_F(OptionsFile, AFileThatIsNone) {
  const auto with = [&](const std::string& file) { return train_unet({"-d", "x", "--config", file}); };
  EXPECT_EQ(with("").code, 2);
  expect_parts(with("").err, {"--config", "is empty"});
  for (const std::string& none : {(folder_ / "none.toml").string(), folder_.path().string()}) {
    EXPECT_EQ(with(none).code, 1);
    expect_parts(with(none).err, {none});
  }
  write_text(folder_ / "large.toml", "");
  fs::resize_file(folder_ / "large.toml", 100 << 20);
  for (const std::string& large : {(folder_ / "large.toml").string(), std::string("/dev/zero")}) {
    const ProgramResult result =
        run({"bash", "-c", "ulimit -v 400000; exec \"$0\" -d x --config \"$1\"", program("train_unet"), large});
    if (!sanitized) {
      EXPECT_EQ(result.code, 2) << result.err;
      expect_parts(result.err, {large, "more than 1048576 bytes"});
    }
  }
}

}  // namespace
}  // namespace unet::test::options_file_test
