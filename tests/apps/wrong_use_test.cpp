// Wrong use: the exit code (1 for data and machine, 2 for the command line) and a message that names the thing and says
// what is expected; nothing is left behind and no step is taken.
#include <fmt/core.h>

#include <set>

#include "engine/io/safetensors.h"
#include "tests/apps/small_data.h"

namespace unet::test::wrong_use_test {
namespace {

class WrongUse : public testing::Test {
 protected:
  WrongUse() { write_small_pairs(data_, 6, 2, 32, 32); }

  /// train_unet on the folder's data must end with this code, say these things and take no step.
  void expect_refused(int code, const std::vector<std::string>& parts, const Words& words = {}) const {
    const ProgramResult result = train_unet(small_run(data_, output_, Words{"-e", "1"} + words));
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_TRUE(result.err.starts_with("train_unet: ")) << result.err;
    expect_parts(result.err, parts);
    EXPECT_EQ(result.out.find("phase 1"), std::string::npos) << result.out;
    EXPECT_FALSE(fs::exists(output_ / "steps.csv"));
  }
  void write_mask(const std::string& name, Image mask) const { write_bytes(data_ / "masks" / name, encode_png(mask)); }

  const Folder folder_;
  const fs::path data_ = folder_ / "data", output_ = folder_ / "run";
};

TEST_F(WrongUse, MissingFolder) {
  fs::remove_all(data_);
  expect_refused(1, {data_.string(), "does not exist"});
}

TEST_F(WrongUse, FolderOfSomethingElse) {
  fs::remove_all(data_ / "masks");
  expect_refused(1, {data_.string(), "masks/", "annotations/trimaps/"});
}

TEST_F(WrongUse, EmptyList) {
  write_text(data_ / "train.txt", "# nothing yet\n\n");
  expect_refused(1, {(data_ / "train.txt").string(), "names no pictures"});
}

TEST_F(WrongUse, ListNamesAMissingFile) {
  write_text(data_ / "train.txt", "t000\nt001\nrex\n");
  expect_refused(1, {"train.txt:3", "\"rex\"", (data_ / "images" / "rex.jpg").string(), "missing"});
  write_text(data_ / "train.txt", "t000\nt001\n");
  fs::remove(data_ / "masks" / "t001.png");
  expect_refused(1, {"train.txt:2", "\"t001\" has no mask"});
}

TEST_F(WrongUse, MaskOfAnotherSize) {
  write_mask("t003.png", Image(32, 30, 1));
  expect_refused(1, {"train.txt:4", "t003.png is 32x32", "mask", "is 32x30", "expected one size"});
}

TEST_F(WrongUse, MaskValueOutsideTheClasses) {
  Image mask(32, 32, 1);
  mask.pixels[5] = mask.pixels[6] = 7;
  write_mask("t002.png", mask);
  expect_refused(1, {"train.txt:3", "t002.png has value 7 at 2 pixels", "expected 0..1", "for 2 classes"});
}

TEST_F(WrongUse, BrokenPhotograph) {
  write_text(data_ / "images" / "t001.png", "GIF89a, or so it says");
  expect_refused(1, {"train.txt:2", "t001.png"});
}

TEST_F(WrongUse, BrokenBodyOfAPhotograph) {  // its head is sound: found when the worker decodes it
  const std::string whole = text_of(data_ / "images" / "t001.png");
  write_text(data_ / "images" / "t001.png", whole.substr(0, whole.size() / 2));
  for (const char* workers : {"0", "2"}) {
    const ProgramResult result = train_unet(small_run(data_, folder_ / workers, Words{"-j", workers, "-e", "1"}));
    EXPECT_EQ(result.code, 1);
    expect_parts(result.err, {"train.txt:2", "t001.png"});
  }
}

TEST_F(WrongUse, ImageSizeBelow16) {
  expect_refused(2, {"--image-size", "15", "16"}, {"--image-size", "15"});
  expect_refused(2, {"--image-size", "16"}, {"--image-size", "32x8"});
  expect_refused(2, {"--image-size"}, {"--image-size", "large"});
  expect_refused(2, {"--image-size"}, {"--image-size", "32x"});
  expect_refused(2, {"--image-size"}, {"--image-size", "-32"});
}

TEST_F(WrongUse, UnknownOptionOrValue) {
  expect_refused(2, {"--colour", "--help"}, {"--colour"});
  expect_refused(2, {"stray"}, {"stray"});
  expect_refused(2, {"--augment", "heavy", "standard"}, {"--augment", "heavy"});
  expect_refused(2, {"--schedule"}, {"--schedule", "linear"});
  expect_refused(2, {"--batch-size"}, {"--batch-size", "0"});
  expect_refused(2, {"--lr"}, {"--lr", "-1"});
  expect_refused(2, {"--lr"}, {"--lr", "fast"});
  expect_refused(2, {"--keep", "some"}, {"--keep", "some"});
  expect_refused(2, {"--model"}, {"--model", "resnet"});
  for (const char* name : {"eval_unet", "predict_unet"}) {
    const ProgramResult nothing = run({program(name)}), unknown = run({program(name), "--colour"});
    EXPECT_EQ(nothing.code, 2);
    expect_parts(nothing.err, {"--checkpoint"});
    EXPECT_EQ(unknown.code, 2);
  }
  EXPECT_EQ(train_unet({}).code, 2);
}

TEST_F(WrongUse, EveryNumberOfEveryProgramIsAPlainOneWithinItsBounds) {
  struct Program {
    Words command, options;
  };
  const std::string out = output_.string();
  const std::vector<Program> programs{
      {{"train_unet", "-d", data_.string(), "-o", out}, {"--classes",       "--workers",      "--cache-mb",
                                                         "--base-channels", "--epochs",       "--phase2-epochs",
                                                         "--batch-size",    "--accumulate",   "--lr",
                                                         "--phase2-lr",     "--weight-decay", "--warmup",
                                                         "--clip-norm",     "--max-steps",    "--seed",
                                                         "--threads",       "--save-every",   "--keep",
                                                         "--image-size",    "--crop",         "--crops-per-image"}},
      {{"eval_unet", "-d", data_.string(), "-c", "none"},
       {"--batch-size", "--workers", "--threads", "--worst", "--image-size", "--tile"}},
      {{"predict_unet", "-c", "none", "-o", out, "photo.png"}, {"--threshold", "--threads", "--image-size", "--tile"}},
      {{"bench_step"}, {"--base-channels", "--image-size", "--batch-size", "--threads", "--steps"}},
      {{"make_sample_pets", "-o", out}, {"--trainval", "--test", "--seed"}}};
  const std::set<std::string> reals{"--lr", "--phase2-lr", "--weight-decay", "--clip-norm", "--save-every"};
  for (const auto& [command, options] : programs) {
    Words words = command;
    words[0] = program(words[0]);
    for (const std::string& option : options) {
      for (const char* value :
           {"nan", "inf", "-1", "+1", "1e400", "99999999999999999999", "0x10", "010", "1,5", "7 ", "", "many"}) {
        if (reals.contains(option) && value == std::string("99999999999999999999"))
          continue;  // a number, if a large one
        const ProgramResult result = run(words + Words{option, value});
        EXPECT_EQ(result.code, 2) << command[0] << " " << option << " \"" << value << "\": " << result.err;
        EXPECT_NE(result.err.find(option), std::string::npos) << result.err;
      }
    }
  }
  EXPECT_FALSE(fs::exists(output_));
}

TEST_F(WrongUse, AnEmptyNameIsNoWishToDoWithout) {
  expect_refused(2, {"--init", "is empty"}, {"--init", ""});
  expect_refused(2, {"--resume", "is empty"}, {"--resume", ""});
}

TEST_F(WrongUse, CheckpointOfAnotherArchitecture) {
  const std::string other = (folder_ / "other.safetensors").string(), text = (folder_ / "text.safetensors").string();
  const float value = 1;
  write_safetensors(other, {}, {{"encoder.weight", SafeDtype::kF32, {1}, &value, {}}});
  write_text(text, "not a checkpoint at all");
  const ProgramResult trained = train_unet(small_run(data_, folder_ / "good", Words{"-e", "1", "--max-steps", "1"}));
  ASSERT_EQ(trained.code, 0) << trained.err;
  const std::string good = (folder_ / "good" / "best.safetensors").string();
  const std::string missing = (folder_ / "missing.safetensors").string();
  const std::string photo = (data_ / "images" / "t000.png").string();

  expect_refused(1, {other, "inc.double_conv.0.weight", "missing"}, {"--init", other});
  expect_refused(1, {text}, {"--init", text});
  expect_refused(1, {missing}, {"--init", missing});
  expect_refused(1, {good, "inc.double_conv.0.weight", "[2,3,3,3]", "[4,3,3,3]"},
                 {"--init", good, "--base-channels", "4"});
  expect_refused(1, {good}, {"--init", good, "--bilinear"});
  for (const std::string& file : {other, text, missing}) {
    const ProgramResult eval = eval_unet({"-c", file, "-d", data_.string(), "--split", "val"});
    const ProgramResult predict = predict_unet({"-c", file, photo, "-o", (folder_ / "masks").string()});
    EXPECT_EQ(eval.code, 1);
    EXPECT_EQ(predict.code, 1);
    expect_parts(eval.err, {"eval_unet: ", file});
    expect_parts(predict.err, {"predict_unet: ", file});
    if (file == other)
      expect_parts(eval.err + predict.err,
                   {"holds no network that this program knows (unet, resnet34_unet)", "the first \""});
  }
  EXPECT_FALSE(fs::exists(folder_ / "masks"));

  // Half a UNet: the shapes that describe it are there, the rest is not.
  const std::vector<float> values(2 * 3 * 9, 0.5f);
  write_safetensors(other, {},
                    {{"inc.double_conv.0.weight", SafeDtype::kF32, {2, 3, 3, 3}, values.data(), {}},
                     {"outc.conv.weight", SafeDtype::kF32, {2, 2, 1, 1}, values.data(), {}}});
  const ProgramResult half = eval_unet({"-c", other, "-d", data_.string(), "--split", "val"});
  EXPECT_EQ(half.code, 1);
  expect_parts(half.err, {other, "is missing"});
}

TEST_F(WrongUse, OutputFolderThatCannotBe) {
  // The tests may run as root, whom permissions do not stop: below a file, and where the kernel lets nobody write.
  write_text(folder_ / "file", "here first");
  for (const fs::path& output : {folder_ / "file" / "run", folder_ / "file", fs::path("/proc/unet_run")}) {
    expect_refused(1, {"output folder", output.string(), "--output"}, {"-o", output.string()});
  }
}

TEST_F(WrongUse, OutputFolderWithoutPermission) {
  if (::geteuid() == 0) GTEST_SKIP() << "permissions do not stop root";
  fs::create_directory(output_);
  fs::permissions(output_, fs::perms::owner_read | fs::perms::owner_exec);
  expect_refused(1, {"output folder", output_.string(), "not writable"});
}

TEST_F(WrongUse, DeviceNotThere) {
  expect_refused(1, {"--device cuda", "use --device cpu", "--device cpu"}, {"--device", "cuda"});
  expect_refused(2, {"--device"}, {"--device", "tpu"});
}

TEST_F(WrongUse, PrecisionNotThere) {
  expect_refused(1, {"--precision tf32", "NVIDIA", "fp32"}, {"--device", "cpu", "--precision", "tf32"});
}

TEST_F(WrongUse, EmptySplit) {
  fs::remove(data_ / "val.txt");
  expect_refused(1, {data_.string(), "split val is empty", "train 6"});
}

}  // namespace
}  // namespace unet::test::wrong_use_test
