// Weights that others trained, by the programs: what they say, and that the masks are those that such weights make.
#include <nlohmann/json.hpp>

#include "engine/train/checkpoint.h"
#include "models/unet.h"
#include "tests/apps/checkpoint_edit.h"
#include "tests/apps/tiny_training.h"
#include "tests/support/places.h"
#include "tests/support/tensor_file.h"

namespace unet::test::other_weights_test {
namespace {

constexpr int kHeight = 48, kWidth = 64;
constexpr const char* kGuess =
    "weights: the file does not say how its images were normalized: unit is assumed, "
    "--normalization tells another\n";

class OtherWeights : public TinyTraining {
 protected:
  OtherWeights() {
    for (std::uint64_t i = 0; i < 4; ++i) {
      write_bytes(photos_ / fmt::format("{}.png", i), encode_png(small_picture(i, kHeight, kWidth).photo));
    }
    models::SegmenterSpec spec;
    spec.base_channels = 4;
    models::UNet model(spec, 5);
    save_model(folder_ / "two", model.parameters(), {});
    two_ = TensorFile(folder_ / "two");
    two_.metadata.clear();
    // Of logits [0, z], with z about as often above 0 as below.
    std::vector<float> z, head = two_.tensors.at("outc.conv.weight").floats();
    std::fill_n(head.begin(), 4, 0.0f);
    two_.set("outc.conv.weight", {2, 4, 1, 1}, head);
    two_.set("outc.conv.bias", {0, 0});
    two_.write(folder_ / "two");
    load_model(SafetensorsFile(folder_ / "two"), model.parameters());
    Tape tape(Tape::Mode::inference);
    const Image photo = small_picture(0, kHeight, kWidth).photo;
    std::vector<float> x;
    for (const std::uint8_t byte : photo.pixels) x.push_back(static_cast<float>(byte) / 255);
    const Var images = tape.input(Tensor::of({1, kHeight, kWidth, 3}, Dtype::f32, x));
    const std::vector<float> logits = model.forward(tape, images).value.values<float>();
    for (std::size_t i = 1; i < logits.size(); i += 2) z.push_back(logits[i]);
    std::nth_element(z.begin(), z.begin() + static_cast<std::ptrdiff_t>(z.size() / 2), z.end());
    two_.set("outc.conv.bias", {0, -z[z.size() / 2]});
  }

  /// predict_unet's masks of the photographs; `says`: its lines on the weights.
  std::string masks(const TensorFile& file, std::string& says, const Words& more = {}) {
    file.write(folder_ / "t.safetensors");
    return masks(folder_ / "t.safetensors", says, more);
  }
  std::string masks(const fs::path& checkpoint, std::string& says, const Words& more = {}) {
    const fs::path out = folder_ / fmt::format("masks{}", ++calls_);
    const ProgramResult result =
        predict_unet(Words{"-c", checkpoint.string(), "-o", out.string(), photos_.string(), "--no-overlay",
                           "--image-size", fmt::format("{}x{}", kHeight, kWidth)} +
                     more);
    EXPECT_EQ(result.code, 0) << result.err;
    says = weights_lines(result.out);
    std::string all;
    for (const std::string& name : names_in(out)) {
      const Image mask = load_mask(out / name);
      all.append(mask.pixels.begin(), mask.pixels.end());
    }
    return all;
  }
  static std::string weights_lines(const std::string& text) {
    std::string out;
    for (const std::string& line : lines_of(text)) out += line.starts_with("weights: ") ? line + "\n" : "";
    return out;
  }
  /// The photographs with masks, as a data set of two classes.
  Words training(const fs::path& output, const Words& more) {
    return command(output, Words{"--base-channels", "4"} + more);
  }

  const fs::path photos_ = folder_ / "photos";
  TensorFile two_;  // two classes, PyTorch's names, no metadata
  int calls_ = 0;
};

TEST_F(OtherWeights, AreTakenInAllTheirFormsAndALineSaysEach) {
  std::string says;
  const std::string expected = masks(two_, says);
  EXPECT_EQ(says, kGuess);
  const auto white = std::count(expected.begin(), expected.end(), '\xff');
  EXPECT_GT(white, static_cast<std::ptrdiff_t>(expected.size() / 10));
  EXPECT_LT(white, static_cast<std::ptrdiff_t>(expected.size() * 9 / 10));

  const auto expect_same = [&](const char* line, const std::function<void(TensorFile&)>& change) {
    TensorFile file = two_;
    change(file);
    EXPECT_TRUE(masks(file, says) == expected) << line;
    EXPECT_EQ(says, kGuess + fmt::format("weights: {}\n", line));
    const ProgramResult eval = eval_unet({"-c", (folder_ / "t.safetensors").string(), "-d", data_.string()});
    EXPECT_EQ(eval.code, 0) << eval.err;
    EXPECT_EQ(weights_lines(eval.out), says);
    const fs::path run_folder = folder_ / fmt::format("run{}", calls_);
    const ProgramResult trained = run(training(run_folder, {"--init", (folder_ / "t.safetensors").string(), "-e", "1",
                                                            "--phase2-epochs", "0", "--max-steps", "1"}));
    EXPECT_EQ(trained.code, 0) << trained.err;
    EXPECT_EQ(weights_lines(trained.out), says);
  };
  expect_same("one output z (sigmoid), taken as two classes with the logits [0, z]", [](TensorFile& f) {
    f.keep_rows("outc.conv.weight", 1);
    f.keep_rows("outc.conv.bias", 1);
  });
  expect_same("names begin with \"module.\", which is left out", [](TensorFile& f) { f.put_before_names("module."); });
  expect_same("names begin with \"model._orig_mod.\", which is left out",
              [](TensorFile& f) { f.put_before_names("model._orig_mod."); });
  expect_same("biases of convolutions, taken off the running means of the batch norms behind them (1)",
              [](TensorFile& f) {
                f.set("inc.double_conv.0.bias", {1, -2, 3, 0.5f});
                f.set("inc.double_conv.1.running_mean", {1, -2, 3, 0.5f});
              });
  expect_same("no num_batches_tracked of 18 batch norms, taken as 0", [](TensorFile& f) {
    std::erase_if(f.tensors, [](const auto& entry) { return entry.first.ends_with("num_batches_tracked"); });
  });

  TensorFile half = two_;
  half.narrow(SafeDtype::kF16);
  const std::string rounded = masks(half, says);
  EXPECT_EQ(says, std::string(kGuess) + "weights: 100 tensors are F16 or BF16, converted to F32\n");
  std::size_t others = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) others += rounded.at(i) != expected[i];
  EXPECT_LT(others, expected.size() / 50);
}

TEST_F(OtherWeights, OfAPyTorchFileAreTakenByEveryProgram) {
  std::string says;
  const std::string expected = masks(two_, says);
  two_.put_before_names("module.");
  const fs::path pth = folder_ / "weights";  // known by what is in it
  two_.write_torch(pth, "state_dict", /*channels_last=*/true);
  EXPECT_TRUE(masks(pth, says) == expected);
  EXPECT_EQ(says, std::string(kGuess) + "weights: the dictionary \"state_dict\" of the file is taken\n" +
                      "weights: names begin with \"module.\", which is left out\n");
  const ProgramResult eval = eval_unet({"-c", pth.string(), "-d", data_.string()});
  EXPECT_EQ(eval.code, 0) << eval.err;
  EXPECT_EQ(weights_lines(eval.out), says);
  const Words init{"--init", pth.string(), "-e", "1", "--phase2-epochs", "0", "--max-steps", "1"};
  const ProgramResult trained = run(training(folder_ / "run", init));
  EXPECT_EQ(trained.code, 0) << trained.err;
  EXPECT_EQ(weights_lines(trained.out), says);
  // States of runs are safetensors.
  const ProgramResult resumed = run(training(folder_ / "other", {"--resume=" + pth.string()}));
  EXPECT_EQ(resumed.code, 1);
  expect_parts(resumed.err, {pth.string(), "is not a valid safetensors file"});
}

TEST_F(OtherWeights, OfPyTorchThatAreNoDictionaryAreRefusedByEveryProgramBeforeAnythingIsWritten) {
  const fs::path bad = folder_ / "bad.pth", out = folder_ / "out";
  const std::string call = tests::pickled_global("os", "system") + tests::pickled_tuple({tests::pickled("true")}) + "R";
  for (const auto& [bytes, reason] : std::vector<std::pair<std::string, std::string>>{
           {tests::torch_file(tests::pickled_dict({{"w", call}}), {}), "it asks for \"os.system\""},
           {tests::torch_file("]", {}), "it holds no dictionary"},
           {"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8P\x19.", "it is a bare pickle, as PyTorch wrote before 1.6"}}) {
    write_text(bad, bytes);
    for (const ProgramResult& result : {eval_unet({"-c", bad.string(), "-d", data_.string()}),
                                        predict_unet({"-c", bad.string(), photos_.string(), "-o", out.string()}),
                                        run(training(out, {"--init", bad.string()}))}) {
      EXPECT_EQ(result.code, 1);
      expect_parts(result.err, {bad.string(), reason});
      EXPECT_FALSE(fs::exists(out));
    }
  }
}

TEST_F(OtherWeights, OfOurOwnFilesNothingIsSaid) {
  const fs::path best = alone() / "best.safetensors";
  const ProgramResult eval = eval_unet({"-c", best.string(), "-d", data_.string()});
  EXPECT_EQ(eval.code, 0) << eval.err;
  EXPECT_EQ(weights_lines(eval.out), "");
  std::string says;
  masks(best, says);
  EXPECT_EQ(says, "");
  const ProgramResult begun = run(command(folder_ / "run", {"--init", best.string(), "--max-steps", "1", "-e", "1"}));
  EXPECT_EQ(begun.code, 0) << begun.err;
  EXPECT_EQ(weights_lines(begun.out), "");
  EXPECT_EQ(begun.out.find("normalization"), std::string::npos);
}

TEST_F(OtherWeights, HostileOnesAreRefusedByEveryProgramBeforeAnythingIsWritten) {
  const fs::path bad = folder_ / "bad.safetensors", out = folder_ / "out";
  const auto expect_refused = [&](const std::vector<std::string>& parts,
                                  const std::function<void(TensorFile&)>& change) {
    TensorFile file = two_;
    change(file);
    file.write(bad);
    for (const ProgramResult& result : {eval_unet({"-c", bad.string(), "-d", data_.string()}),
                                        predict_unet({"-c", bad.string(), photos_.string(), "-o", out.string()}),
                                        run(training(out, {"--init", bad.string()}))}) {
      EXPECT_EQ(result.code, 1);
      expect_parts(result.err, parts);
      expect_parts(result.err, {bad.string() + ": "});
      EXPECT_EQ(result.err.find('\x1b'), std::string::npos);
      EXPECT_LT(result.err.size(), 1000u);
      EXPECT_FALSE(fs::exists(out));
    }
  };
  expect_refused({"inc.double_conv.0.bias", "holds nan", "nothing was loaded"}, [](TensorFile& f) {
    f.set("inc.double_conv.0.bias", {1, 2, std::numeric_limits<float>::quiet_NaN(), 4});
  });
  expect_refused({"\"module.\\x1b[2J\" is not part of this model"}, [](TensorFile& f) {
    f.put_before_names("module.");
    f.set("module.\x1b[2J", {1});
  });
  expect_refused({"outc.conv.bias", "[2]", "expected [1]"}, [](TensorFile& f) { f.keep_rows("outc.conv.weight", 1); });
  expect_refused({"num_batches_tracked", "is missing, of which the file has a checksum"}, [](TensorFile& f) {
    f.tensors.erase("inc.double_conv.1.num_batches_tracked");
    f.metadata["checksum.inc.double_conv.1.num_batches_tracked"] = "0";
  });
  expect_refused({"metadata \"normalization\" is \"0,0,0/1,1,\\x1b[2J\", expected imagenet, unit"},
                 [](TensorFile& f) { f.metadata["normalization"] = "0,0,0/1,1,\x1b[2J"; });
}

TEST_F(OtherWeights, ANormalizationIsTheCheckpointsUnlessAnotherIsAskedFor) {
  std::string says;
  const std::string unit = masks(two_, says), imagenet = masks(two_, says, {"--normalization", "imagenet"});
  EXPECT_EQ(says, "") << "what is asked for is not guessed";
  EXPECT_TRUE(unit != imagenet);
  TensorFile file = two_;
  file.metadata["normalization"] = "imagenet";
  EXPECT_TRUE(masks(file, says) == imagenet);
  EXPECT_EQ(says, "");
  EXPECT_TRUE(masks(file, says, {"--normalization", "0,0,0/1,1,1"}) == unit);
  file.metadata = {{"image_size", "32x32"}};  // ours, before it was said
  EXPECT_TRUE(masks(file, says) == imagenet);
  const auto cross_entropy = [&](const Words& more) {
    const ProgramResult eval =
        eval_unet(Words{"-c", (folder_ / "t.safetensors").string(), "-d", data_.string(), "--json", "-"} + more);
    EXPECT_EQ(eval.code, 0) << eval.err;
    return nlohmann::json::parse(eval.out)["cross_entropy"].get<double>();
  };
  EXPECT_EQ(cross_entropy({}), cross_entropy({"--normalization", "imagenet"}));
  EXPECT_NE(cross_entropy({}), cross_entropy({"--normalization", "unit"}));
  for (const ProgramResult& result : {eval_unet({"-c", "x", "-d", "x", "--normalization", "0,0,0/1,1,0"}),
                                      predict_unet({"-c", "x", "-o", "x", "x", "--normalization", "Unit"}),
                                      train_unet({"-d", "x", "--normalization", ""})}) {
    EXPECT_EQ(result.code, 2);
    expect_parts(result.err, {"--normalization", "expected imagenet, unit (x/255) or means and deviations above 0"});
  }
}

TEST_F(OtherWeights, ARunKeepsItsNormalization) {
  const fs::path output = folder_ / "run", foreign = folder_ / "foreign.safetensors";
  two_.write(foreign);
  const auto recorded = [&] {
    return nlohmann::json::parse(text_of(output / "run.json"))["options"]["normalization"].get<std::string>();
  };
  const Words short_run{"-e", "1", "--phase2-epochs", "0"}, unit{"--normalization", "unit"};
  const ProgramResult asked = run(training(output, short_run + unit));
  ASSERT_EQ(asked.code, 0) << asked.err;
  expect_parts(asked.out, {", normalization unit\n"});
  EXPECT_EQ(recorded(), "unit");
  for (const char* name : {"best.safetensors", "last.safetensors"}) {
    EXPECT_EQ(SafetensorsFile(output / name).metadata().at("normalization"), "unit");
  }
  // Resumed: its own, and no other but by --force.
  const Words resume{"--resume", "auto"};
  EXPECT_EQ(run(training(output, short_run + resume)).code, 0);
  EXPECT_EQ(run(training(output, short_run + resume + unit)).code, 0);
  const ProgramResult other = run(training(output, short_run + resume + Words{"--normalization", "imagenet"}));
  EXPECT_EQ(other.code, 1);
  expect_parts(other.err, {"--normalization was unit, is imagenet"});

  // From weights: theirs, also at a resume without them.
  const ProgramResult begun = run(training(output, short_run + Words{"--init", foreign.string(), "--overwrite"}));
  ASSERT_EQ(begun.code, 0) << begun.err;
  expect_parts(begun.out, {kGuess, ", normalization unit\n"});
  EXPECT_EQ(recorded(), "unit");
  fs::remove(foreign);
  EXPECT_EQ(run(training(output, short_run + resume + Words{"--init", foreign.string()})).code, 0);
  const Words from_best{"--init", (output / "best_phase1.safetensors").string(), "-o", (folder_ / "next").string()};
  const ProgramResult next = run(training(folder_ / "next", short_run + from_best));
  ASSERT_EQ(next.code, 0) << next.err;
  EXPECT_EQ(weights_lines(next.out), "");
  EXPECT_EQ(SafetensorsFile(folder_ / "next" / "best.safetensors").metadata().at("normalization"), "unit");

  // A state of a program that knew of no choice.
  const ProgramResult usual = run(training(output, short_run + Words{"--overwrite"}));
  ASSERT_EQ(usual.code, 0) << usual.err;
  EXPECT_EQ(usual.out.find("normalization"), std::string::npos);
  EXPECT_EQ(recorded(), "imagenet");
  write_with_record(output / "last.safetensors", output / "last.safetensors",
                    [](nlohmann::json& record) { record["options"].erase("normalization"); });
  write_with_metadata(output / "last.safetensors", output / "last.safetensors",
                      [](auto& metadata) { metadata.erase("normalization"); });
  const ProgramResult old = run(training(output, short_run + resume));
  EXPECT_EQ(old.code, 0) << old.err;
}

TEST_F(OtherWeights, InitForOtherClassesDrawsTheHeadAlone) {
  const fs::path weights = folder_ / "w.safetensors", pairs = folder_ / "pairs";
  two_.metadata["normalization"] = "unit";
  two_.write(weights);
  write_small_pairs(pairs, 4, 1, 32, 32, 3);
  const auto head_after = [&](const std::string& seed) {
    const fs::path output = folder_ / seed;
    const ProgramResult result =
        train_unet(small_run(pairs, output,
                             {"--init", weights.string(), "--classes", "3", "--base-channels", "4", "--seed", seed,
                              "--lr", "1e-20", "--phase2-epochs", "0", "--max-steps", "1"}));
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(weights_lines(result.out),
              "weights: 2 outputs, not 3: outc.conv.weight, outc.conv.bias stay as drawn from --seed\n");
    const TensorFile learnt(output / "best.safetensors");
    for (const auto& [name, one] : two_.tensors) {
      if (name.starts_with("outc") || one.shape.size() != 4) continue;
      EXPECT_EQ(learnt.tensors.at(name).floats(), one.floats()) << name;
    }
    return learnt.tensors.at("outc.conv.weight").floats();
  };
  const std::vector<float> first = head_after("1");
  EXPECT_EQ(first.size(), 12u);
  EXPECT_NE(first, head_after("2"));
}

/// See other_weights.py.
TEST_F(OtherWeights, MakeThePyTorchMasks) {
  std::string python;
  for (const std::string candidate : {"python3", "/usr/bin/python3"}) {
    if (python.empty() && run({"sh", "-c", candidate + " -c 'import torch, numpy'"}).code == 0) python = candidate;
  }
  if (python.empty()) GTEST_SKIP() << "no Python with torch and numpy";
  std::vector<std::uint8_t> pixels;
  const std::vector<std::string> photos = names_in(photos_);
  for (const std::string& name : photos) {
    const Image photo = load_image(photos_ / name);
    pixels.insert(pixels.end(), photo.pixels.begin(), photo.pixels.end());
  }
  const auto N = static_cast<std::int64_t>(photos.size());
  write_safetensors(folder_ / "images.safetensors", {},
                    {{"images", SafeDtype::kU8, {N, kHeight, kWidth, 3}, pixels.data(), {}}});
  const ProgramResult torch =
      run({python, "-B", places::source("tests/apps/other_weights.py"), folder_.path().string()});
  ASSERT_EQ(torch.code, 0) << torch.err;
  const TensorFile expected(folder_ / "masks.safetensors");
  ASSERT_GE(expected.tensors.size(), 10u);
  for (const auto& [name, one] : expected.tensors) {
    std::string says;
    const std::string ours = masks(folder_ / (name + ".safetensors"), says);
    EXPECT_TRUE(masks(folder_ / (name + ".pth"), says) == ours) << name;
    const std::size_t to_class = name == "three_classes" ? 1 : 255;
    ASSERT_EQ(ours.size(), one.bytes.size()) << name;
    std::size_t differ = 0;
    std::map<std::size_t, std::size_t> pixels_of;
    for (std::size_t i = 0; i < ours.size(); ++i) {
      const auto torchs = static_cast<std::size_t>(one.bytes[i]);
      ++pixels_of[torchs];
      differ += static_cast<unsigned char>(ours[i]) != torchs * to_class;
    }
    std::printf("%s: %zu of %zu pixels differ\n%s", name.c_str(), differ, ours.size(), says.c_str());
    EXPECT_LE(differ, ours.size() / 10'000) << name;
    for (const auto& [label, count] : pixels_of) EXPECT_LT(count, ours.size() * 19 / 20) << name << ": all " << label;
  }
}

}  // namespace
}  // namespace unet::test::other_weights_test
