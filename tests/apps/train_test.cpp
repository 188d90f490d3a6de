// train_unet from end to end on data sets of a moment: what it writes, what it keeps, what its options do.
#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <regex>

#include "engine/io/csv.h"
#include "engine/io/safetensors.h"
#include "models/description.h"
#include "tests/apps/small_data.h"

namespace unet::test::train_test {
namespace {

const Words kPlain{"--no-shuffle", "--augment", "none", "--schedule", "constant"};

/// Runs that succeed; a failure shows what the program said.
ProgramResult trained(const Words& words) {
  ProgramResult result = train_unet(words);
  EXPECT_EQ(result.code, 0) << result.err;
  return result;
}

struct Column {
  std::vector<double> values;
  std::size_t size() const { return values.size(); }
  double operator[](std::size_t i) const { return values.at(i); }
};

Column column(const fs::path& csv, const std::string& name) {
  const CsvTable table = read_csv(csv);
  Column out;
  for (const auto& row : table.rows) out.values.push_back(std::stod(row[table.column(name)]));
  return out;
}

std::vector<std::string> epoch_files(const fs::path& run) {
  std::vector<std::string> out;
  for (const std::string& name : names_in(run)) {
    if (name.starts_with("unet_")) out.push_back(name);
  }
  return out;
}

std::string metadata(const fs::path& file, const std::string& key) {
  const auto all = SafetensorsFile(file).metadata();
  return all.contains(key) ? all.at(key) : "(none)";
}

nlohmann::json json_of(const fs::path& path) { return nlohmann::json::parse(text_of(path)); }

TEST(Train, BothPhasesAndTheirFiles) {
  const Folder folder;
  write_small_pets(folder / "pets", 20, 3);  // 18 to train: 5 batches of 4, the last one of 2
  const fs::path run = folder / "run";
  const ProgramResult result = trained(
      small_run(folder / "pets", run, Words{"-e", "4", "--phase2-epochs", "2", "--lr", "5e-3", "--keep", "all"}));

  EXPECT_EQ(read_csv(run / "metrics.csv").columns, (std::vector<std::string>{"phase",
                                                                             "epoch",
                                                                             "train_loss",
                                                                             "val_loss",
                                                                             "val_cross_entropy",
                                                                             "val_dice",
                                                                             "val_dice_dataset",
                                                                             "val_iou",
                                                                             "lr",
                                                                             "seconds",
                                                                             "images_per_second",
                                                                             "val_dice_nonempty",
                                                                             "val_iou_dataset",
                                                                             "val_pixel_accuracy",
                                                                             "val_dice_0",
                                                                             "val_iou_0",
                                                                             "val_precision_0",
                                                                             "val_recall_0",
                                                                             "val_dice_1",
                                                                             "val_iou_1",
                                                                             "val_precision_1",
                                                                             "val_recall_1"}));
  EXPECT_EQ(read_csv(run / "steps.csv").columns,
            (std::vector<std::string>{"phase", "epoch", "step", "loss", "lr", "grad_norm"}));
  EXPECT_EQ(column(run / "metrics.csv", "phase").values, (std::vector<double>{1, 1, 1, 1, 2, 2}));
  EXPECT_EQ(column(run / "metrics.csv", "epoch").values, (std::vector<double>{1, 2, 3, 4, 1, 2}));
  EXPECT_EQ(read_csv(run / "steps.csv").rows.size(), 30u);
  const Column step = column(run / "steps.csv", "step");
  EXPECT_EQ(step[0], 1);
  EXPECT_EQ(step[19], 20);
  EXPECT_EQ(step[20], 1) << "steps are counted within the phase";
  EXPECT_DOUBLE_EQ(column(run / "steps.csv", "lr")[0], 5e-3);
  EXPECT_DOUBLE_EQ(column(run / "steps.csv", "lr")[20], 5e-4) << "phase 2 begins at a tenth";

  const auto files = epoch_files(run);
  ASSERT_EQ(files.size(), 6u);
  const std::regex pattern(R"(unet_\d{8}T\d{6}Z_phase[12]_epoch00[1-4]_dice[01]\.\d{4}\.safetensors)");
  const CsvTable metrics = read_csv(run / "metrics.csv");
  for (std::size_t i = 0; i < files.size(); ++i) {
    EXPECT_TRUE(std::regex_match(files[i], pattern)) << files[i];
    EXPECT_NE(files[i].find(fmt::format("phase{}_epoch00{}_dice{:.4f}", metrics.rows[i][0], metrics.rows[i][1],
                                        std::stod(metrics.rows[i][metrics.column("val_dice")]))),
              std::string::npos)
        << files[i];
    EXPECT_EQ(metadata(run / files[i], "image_size"), "32x32");
  }
  expect_parts(result.out, {"18 train, 2 val, 3 test", "phase 1: cross_entropy", "phase 2: dice", "class 1"});
  const auto lines = lines_of(result.out);
  expect_parts(lines[lines.size() - 2], {"best: ", (run / "best.safetensors").string()});
  expect_parts(lines.back(), {"eval_unet -c ", (folder / "pets").string()});

  const nlohmann::json record = json_of(run / "run.json");
  EXPECT_EQ(record["options"]["phase2-epochs"], "2");
  EXPECT_EQ(record["data"]["images"]["train"], 18);
  EXPECT_EQ(record["data"]["masks"]["kind"], "trimap");
  EXPECT_TRUE(text_of(run / "curves.svg").starts_with("<svg") || text_of(run / "curves.svg").starts_with("<?xml"));
  for (const std::string& name : names_in(run)) EXPECT_EQ(name.find(".tmp"), std::string::npos) << name;
}

TEST(Train, BestFilesAreTheRowsOfHighestDice) {
  const Folder folder;
  write_small_pets(folder / "pets", 20, 3);
  const fs::path run = folder / "run";
  trained(small_run(folder / "pets", run, Words{"-e", "5", "--phase2-epochs", "3", "--lr", "5e-3", "--keep", "all"}));
  const Column phase = column(run / "metrics.csv", "phase"), dice = column(run / "metrics.csv", "val_dice");
  const auto files = epoch_files(run);
  ASSERT_EQ(files.size(), dice.size());
  EXPECT_GT(*std::max_element(dice.values.begin(), dice.values.end()), 0.3) << "nothing was learnt";
  for (const auto& [name, wanted] : {std::pair{"best_phase1", 1}, {"best_phase2", 2}, {"best", 0}}) {
    std::size_t best = files.size();  // the first of the highest
    for (std::size_t i = 0; i < files.size(); ++i) {
      if ((wanted == 0 || phase[i] == wanted) && (best == files.size() || dice[i] > dice[best])) best = i;
    }
    const fs::path file = run / fmt::format("{}.safetensors", name);
    EXPECT_TRUE(tensors_of(file) == tensors_of(run / files[best])) << name;
    EXPECT_EQ(metadata(file, "phase"), fmt::format("{}", phase[best])) << name;
    EXPECT_EQ(metadata(file, "val_dice"), fmt::format("{:.6f}", dice[best])) << name;
    const ProgramResult eval = eval_unet({"-c", file.string(), "-d", (folder / "pets").string(), "--split", "val", "-b",
                                          "4", "--threads", "1", "--json", (folder / "val.json").string()});
    ASSERT_EQ(eval.code, 0) << eval.err;
    EXPECT_NEAR(json_of(folder / "val.json")["dice"].get<double>(), dice[best], 1e-9) << name;
    EXPECT_NEAR(json_of(folder / "val.json")["cross_entropy"].get<double>(),
                column(run / "metrics.csv", "val_cross_entropy")[best], 1e-6);
  }
}

/// Validation masks that are ignored but for a dark corner of background: Dice is 1 after every epoch, so the best is
/// the first. (255 means ignored because the training masks hold a 1: they are indices.)
void make_dice_constant(const fs::path& pairs) {
  for (const std::string& name : names_in(pairs / "masks")) {
    if (!name.starts_with('v')) continue;
    Image mask = load_mask(pairs / "masks" / name);
    std::fill(mask.pixels.begin() + 1, mask.pixels.end(), std::uint8_t{255});
    mask.pixels[0] = 0;
    write_bytes(pairs / "masks" / name, encode_png(mask));
  }
}

TEST(Train, Phase2BeginsFromTheBestNotFromTheLast) {
  const Folder folder;
  write_small_pairs(folder / "data", 8, 2, 32, 32);
  make_dice_constant(folder / "data");
  const fs::path run = folder / "run";
  const Words common = kPlain + Words{"--keep", "all"};
  trained(small_run(folder / "data", run, common + Words{"-e", "3", "--phase2-epochs", "1", "--lr", "1e-2"}));
  EXPECT_EQ(metadata(run / "best_phase1.safetensors", "epoch"), "1");
  const auto files = epoch_files(run);
  ASSERT_EQ(files.size(), 4u);

  // Phase 2 as a run of its own from each epoch file of phase 1.
  const auto begun_from = [&](std::size_t epoch) {
    const fs::path alone = folder / fmt::format("from{}", epoch);
    trained(small_run(folder / "data", alone,
                      common + Words{"--init", (run / files[epoch - 1]).string(), "-e", "1", "--phase2-epochs", "0",
                                     "--phase1-loss", "dice", "--lr", "1e-3"}));
    return alone;
  };
  const fs::path first = begun_from(1), last = begun_from(3);
  const Column losses = column(run / "steps.csv", "loss");
  ASSERT_EQ(losses.size(), 8u);
  EXPECT_EQ(losses[6], column(first / "steps.csv", "loss")[0]);
  EXPECT_NE(losses[6], column(last / "steps.csv", "loss")[0]);
  EXPECT_TRUE(tensors_of(run / files[3]) == tensors_of(first / epoch_files(first)[0])) << "a fresh Adam, too";
}

TEST(Train, KeepsTheLastEpochFiles) {
  const Folder folder;
  write_small_pairs(folder / "data", 4, 1, 32, 32);
  const Words run = Words{"-e", "5", "--phase2-epochs", "0"};
  const auto kept = [&](const Words& words) {
    const fs::path output = folder / fmt::format("run{}", names_in(folder.path()).size());
    trained(small_run(folder / "data", output, run + words));
    EXPECT_TRUE(fs::exists(output / "best.safetensors"));
    EXPECT_TRUE(fs::exists(output / "best_phase1.safetensors"));
    EXPECT_FALSE(fs::exists(output / "best_phase2.safetensors")) << "phase 2 was skipped";
    std::string epochs;
    for (const std::string& name : epoch_files(output)) epochs += name[name.find("_epoch") + 8];
    return epochs;
  };
  EXPECT_EQ(kept({}), "345");
  EXPECT_EQ(kept({"--keep", "1"}), "5");
  EXPECT_EQ(kept({"--keep", "0"}), "");
  EXPECT_EQ(kept({"--keep", "all"}), "12345");
}

TEST(Train, MaxStepsCountsBothPhases) {
  const Folder folder;
  write_small_pairs(folder / "data", 8, 1, 32, 32);  // 2 steps an epoch
  const auto phases = [&](const char* steps) {
    const fs::path output = folder / (std::string("run") + steps);
    trained(small_run(folder / "data", output, Words{"-e", "2", "--phase2-epochs", "2", "--max-steps", steps}));
    EXPECT_EQ(read_csv(output / "steps.csv").rows.size(), std::stoul(steps));
    std::string text;
    for (const double phase : column(output / "metrics.csv", "phase").values) text += fmt::format("{}", phase);
    EXPECT_TRUE(fs::exists(output / "best.safetensors"));
    return text;
  };
  EXPECT_EQ(phases("1"), "1") << "the epoch in which the limit is reached ends with validation and files";
  EXPECT_EQ(phases("4"), "11") << "no phase 2 without a step left";
  EXPECT_EQ(phases("5"), "112");
}

TEST(Train, AccumulatedStepIsTheMeanOfItsPasses) {
  const Folder folder;
  write_small_pairs(folder / "data", 12, 1, 32, 32);
  const auto first_loss = [&](const std::string& name, const Words& words) {
    trained(small_run(folder / "data", folder / name, kPlain + words + Words{"--phase2-epochs", "0", "-e", "1"}));
    return column(folder / name / "steps.csv", "loss")[0];
  };
  const double both = first_loss("both", {"--accumulate", "2"});
  EXPECT_EQ(read_csv(folder / "both" / "steps.csv").rows.size(), 2u) << "3 batches: a step of 2 passes, one of 1";
  const double a = first_loss("a", {"--max-steps", "1"});
  std::string rest;
  for (int i = 4; i < 12; ++i) rest += fmt::format("t{:03}\n", i);
  write_text(folder / "data" / "train.txt", rest);
  const double b = first_loss("b", {"--max-steps", "1"});
  EXPECT_NE(a, b);
  EXPECT_NEAR(both, (a + b) / 2, 1e-12);
}

TEST(Train, AccumulatedGradientIsTheMeanOfItsPasses) {
  const Folder folder;
  write_small_pairs(folder / "data", 8, 1, 32, 32);
  for (int i = 4; i < 8; ++i) {  // the second batch repeats the first
    for (const char* kind : {"images", "masks"}) {
      fs::copy_file(folder / "data" / kind / fmt::format("t{:03}.png", i - 4),
                    folder / "data" / kind / fmt::format("t{:03}.png", i), fs::copy_options::overwrite_existing);
    }
  }
  const Words run = kPlain + Words{"--phase2-epochs", "0", "--max-steps", "1", "--clip-norm", "100"};
  trained(small_run(folder / "data", folder / "one", run));
  trained(small_run(folder / "data", folder / "two", run + Words{"--accumulate", "2"}));
  EXPECT_EQ(text_of(folder / "one" / "steps.csv"), text_of(folder / "two" / "steps.csv"));
  const auto one = tensors_of(folder / "one" / "best.safetensors"),
             two = tensors_of(folder / "two" / "best.safetensors");
  int parameters = 0;
  for (const auto& [name, bytes] : one) {
    if (name.find("running_") != std::string::npos || name.find("num_batches") != std::string::npos) {
      EXPECT_TRUE(bytes != two.at(name)) << name << ": two passes move statistics twice";
    } else {
      ++parameters;
      EXPECT_TRUE(bytes == two.at(name)) << name;
    }
  }
  EXPECT_GT(parameters, 50);
}

TEST(Train, ValidationIsTheMeanOverImages) {
  const Folder folder;
  write_small_pairs(folder / "data", 4, 5, 32, 32);
  int runs = 0;
  const auto figure = [&](const std::string& loss, const char* batch, const std::string& list) {
    write_text(folder / "data" / "val.txt", list);
    const fs::path output = folder / fmt::format("run{}", ++runs);
    trained(
        small_run(folder / "data", output, kPlain + Words{"--phase1-loss", loss, "--phase2-epochs", "0", "-b", batch}));
    EXPECT_EQ(loss == "dice",
              column(output / "metrics.csv", "val_loss")[0] != column(output / "metrics.csv", "val_cross_entropy")[0]);
    return column(output / "metrics.csv", "val_loss")[0];
  };
  for (const std::string loss : {"cross_entropy", "dice"}) {
    const std::string list = "v000\nv001\nv002\nv003\n";
    const double all = figure(loss, "5", list + "v004\n"), four = figure(loss, "5", list);
    const double one = figure(loss, "5", "v004\n");
    EXPECT_NE(four, one);
    EXPECT_NEAR(all, (4 * four + one) / 5, 1e-6) << loss;
    EXPECT_NEAR(all, figure(loss, "4", list + "v004\n"), 1e-6) << loss << ": in batches of 4 and 1";
  }
}

TEST(Train, AFolderThatHoldsARunIsNotTouchedWithoutOverwrite) {
  const Folder folder;
  write_small_pairs(folder / "data", 4, 1, 32, 32);
  const auto run = [&](const Words& words) {
    return train_unet(small_run(folder / "data", folder / "run", Words{"-e", "2"} + words));
  };
  ASSERT_EQ(run({"--phase2-epochs", "1"}).code, 0);
  write_text(folder / "run" / "notes.txt", "mine");
  const auto before = names_in(folder / "run");
  const std::string steps = text_of(folder / "run" / "steps.csv");

  const ProgramResult refused = run({"--phase2-epochs", "1"});
  EXPECT_EQ(refused.code, 1);
  expect_parts(refused.err, {(folder / "run").string(), "holds a run already", "--overwrite", "--output"});
  EXPECT_EQ(names_in(folder / "run"), before);
  EXPECT_EQ(text_of(folder / "run" / "steps.csv"), steps);

  ASSERT_EQ(run({"--overwrite", "--phase2-epochs", "0", "--seed", "1"}).code, 0);
  EXPECT_NE(text_of(folder / "run" / "steps.csv"), steps);
  EXPECT_EQ(epoch_files(folder / "run").size(), 2u) << "the old run's epoch files are gone";
  EXPECT_FALSE(fs::exists(folder / "run" / "best_phase2.safetensors"));
  EXPECT_TRUE(fs::exists(folder / "run" / "notes.txt")) << "files of others stay";
}

TEST(Train, ReadsOptionsFromToml) {
  const Folder folder;
  write_small_pairs(folder / "data", 4, 1, 32, 32);
  write_text(folder / "run.toml", fmt::format("# a run\n"
                                              "data = \"{}\"\noutput = \"{}\"\nbase-channels = 2\nbilinear = true\n"
                                              "image-size = \"32x48\"\nepochs = 2\nphase2-epochs = 0\nlr = 2e-3\n"
                                              "no-shuffle = false\nkeep = \"all\"\nthreads = 1\nbatch-size = 4\n",
                                              (folder / "data").string(), (folder / "run").string()));
  trained({"--config", (folder / "run.toml").string(), "--batch-size", "2"});
  const nlohmann::json options = json_of(folder / "run" / "run.json")["options"];
  const std::map<std::string, std::string> wanted{{"bilinear", "true"},    {"image-size", "32x48"}, {"epochs", "2"},
                                                  {"phase2-epochs", "0"},  {"lr", "0.002"},         {"keep", "all"},
                                                  {"no-shuffle", "false"}, {"base-channels", "2"}};
  for (const auto& [name, value] : wanted) EXPECT_EQ(options[name], value) << name;
  EXPECT_EQ(options["batch-size"], "2") << "the command line wins";

  write_text(folder / "typo.toml", "batchsize = 2\n");
  const ProgramResult typo =
      train_unet(small_run(folder / "data", folder / "typo", Words{"--config", (folder / "typo.toml").string()}));
  EXPECT_EQ(typo.code, 2);
  expect_parts(typo.err, {"batchsize"});
  write_text(folder / "bad.toml", "lr = \"high\"\n");
  EXPECT_EQ(
      train_unet(small_run(folder / "data", folder / "bad", Words{"--config", (folder / "bad.toml").string()})).code,
      2);
  const ProgramResult missing = train_unet({"--config", (folder / "none.toml").string(), "-d", "x"});
  EXPECT_EQ(missing.code, 1);
  expect_parts(missing.err, {"none.toml"});
}

TEST(Train, ThreeClassesOfIndexMasksAtANonSquareSize) {
  const Folder folder;
  write_small_pairs(folder / "data", 6, 2, 40, 52, 3);
  const fs::path run = folder / "run";
  const ProgramResult result =
      trained({"-d", (folder / "data").string(), "-o", run.string(), "--classes", "3", "--base-channels", "2",
               "--bilinear", "--image-size", "48x64", "-b", "3", "-e", "2", "--threads", "1"});
  expect_parts(result.out, {"indices", "images 48x64", "class 2", "6 train, 2 val, 0 test"});
  const models::Description checkpoint =
      models::describe(models::registry(), SafetensorsFile(run / "best.safetensors"));
  EXPECT_EQ(checkpoint.spec.classes, 3);
  EXPECT_TRUE(checkpoint.spec.bilinear);
  EXPECT_EQ(std::pair(checkpoint.height, checkpoint.width), (std::pair<std::int64_t, std::int64_t>(48, 64)));
  EXPECT_EQ(
      eval_unet({"-c", (run / "best.safetensors").string(), "-d", (folder / "data").string(), "--split", "train"}).code,
      0);
  const ProgramResult no_test =
      eval_unet({"-c", (run / "best.safetensors").string(), "-d", (folder / "data").string()});
  EXPECT_EQ(no_test.code, 1);
  expect_parts(no_test.err, {"split test is empty", "val 2"});
  ASSERT_EQ(predict_unet({"-c", (run / "best.safetensors").string(), (folder / "data" / "images" / "v000.png").string(),
                          "-o", (folder / "masks").string()})
                .code,
            0);
  const Image mask = load_mask(folder / "masks" / "v000_mask.png");
  EXPECT_EQ(std::pair(mask.height, mask.width), std::pair(40, 52));
  EXPECT_LE(*std::max_element(mask.pixels.begin(), mask.pixels.end()), 2) << "with more than 2 classes: indices";
}

TEST(Train, InitBeginsFromTheFile) {
  const Folder folder;
  write_small_pairs(folder / "data", 8, 1, 32, 32);
  const Words run = kPlain + Words{"--phase2-epochs", "0", "-e", "1", "--lr", "1e-3"};
  trained(small_run(folder / "data", folder / "first", run + Words{"--seed", "5"}));
  const std::string weights = (folder / "first" / "best.safetensors").string();
  for (const char* seed : {"6", "7"}) {  // the seed of the weights no longer matters
    trained(small_run(folder / "data", folder / seed, run + Words{"--seed", seed, "--init", weights}));
  }
  EXPECT_EQ(text_of(folder / "6" / "steps.csv"), text_of(folder / "7" / "steps.csv"));
  EXPECT_NE(text_of(folder / "6" / "steps.csv"), text_of(folder / "first" / "steps.csv"));
}

TEST(Train, APassWeighsByItsImages) {
  const Folder folder;
  write_small_pairs(folder / "data", 5, 1, 32, 32);
  const fs::path run = folder / "run";
  trained(small_run(folder / "data", run,
                    kPlain + Words{"-e", "1", "--phase2-epochs", "0", "-b", "4", "--accumulate", "2"}));
  // One step of four images and of one. The epoch's loss is a mean over images; the step's must be the same.
  ASSERT_EQ(read_csv(run / "steps.csv").rows.size(), 1u);
  EXPECT_NEAR(column(run / "steps.csv", "loss")[0], column(run / "metrics.csv", "train_loss")[0], 1e-12);
}

TEST(Train, ALineOfAnEpochFits100ColumnsAndMarksTheBest) {
  const Folder folder;
  write_small_pairs(folder / "data", 8, 2, 32, 32);
  const ProgramResult result =
      trained(small_run(folder / "data", folder / "run", Words{"-e", "4", "--phase2-epochs", "2", "--lr", "1e-2"}));
  int epochs = 0, best = 0;
  for (const std::string& line : lines_of(result.out)) {
    if (line.find("val dice") == line.npos || !line.starts_with("phase ") || line.find("epoch ") == line.npos) continue;
    if (line.find("from the best") != line.npos) continue;
    ++epochs;
    best += line.ends_with("  best");
    EXPECT_LE(line.size(), 100u) << line;
    EXPECT_EQ(line.find(".safetensors"), line.npos) << line;
  }
  EXPECT_EQ(epochs, 6);
  EXPECT_GE(best, 1);
}

TEST(Train, WithoutABackgroundClass0CountsToo) {
  const Folder folder;
  write_small_pairs(folder / "data", 8, 2, 32, 32);
  const fs::path run = folder / "run";
  trained(small_run(folder / "data", run,
                    Words{"-e", "1", "--phase2-epochs", "1", "--background", "none", "--best-by", "dice_dataset"}));
  EXPECT_EQ(metadata(run / "best.safetensors", "background"), "none");
  const double both = (column(run / "metrics.csv", "val_dice_0")[0] + column(run / "metrics.csv", "val_dice_1")[0]) / 2;
  EXPECT_NEAR(column(run / "metrics.csv", "val_dice_dataset")[0], both, 1e-12);
  EXPECT_EQ(
      train_unet(small_run(folder / "data", folder / "no", Words{"--background", "none", "--best-by", "dice_nonempty"}))
          .code,
      2);
}

TEST(Train, TheLastLineNamesASplitThatExists) {
  const Folder folder;
  write_small_pairs(folder / "data", 8, 2, 32, 32);
  const ProgramResult result = trained(small_run(folder / "data", folder / "run", Words{"-e", "1"}));
  expect_parts(result.out, {"--split val"});
}

TEST(Train, OneValueAChannelInABatchNormIsRefused) {
  const Folder folder;
  write_small_pairs(folder / "data", 5, 2, 16, 16);
  for (const char* batch : {"1", "2", "4"}) {
    const ProgramResult result =
        train_unet(small_run(folder / "data", folder / "run", Words{"-e", "1", "--image-size", "16", "-b", batch}));
    EXPECT_EQ(result.code, 1) << batch;
    expect_parts(result.err, {"deepest batch norm", "--batch-size", "--image-size"});
  }
  EXPECT_FALSE(fs::exists(folder / "run"));
  trained(small_run(folder / "data", folder / "run", Words{"-e", "1", "--image-size", "16", "-b", "5"}));
}

TEST(Train, SaysLessAndMore) {
  const Folder folder;
  write_small_pairs(folder / "data", 8, 1, 32, 32);
  const Words run{"-e", "1", "--phase2-epochs", "1"};
  EXPECT_EQ(lines_of(trained(small_run(folder / "data", folder / "quiet", run + Words{"--quiet"})).out).size(), 2u);
  const ProgramResult plain = trained(small_run(folder / "data", folder / "plain", run));
  EXPECT_EQ(plain.out.find('\r'), std::string::npos) << "no progress bar in a pipe";
  const ProgramResult verbose = trained(small_run(folder / "data", folder / "verbose", run + Words{"--verbose"}));
  const auto steps = [](const ProgramResult& result) {
    const std::vector<std::string> lines = lines_of(result.out);
    return std::count_if(lines.begin(), lines.end(), [](const std::string& line) { return line.starts_with("step "); });
  };
  EXPECT_EQ(steps(verbose), 4);
  EXPECT_EQ(steps(plain), 0);
}

TEST(Train, HelpAndVersion) {
  for (const char* name : {"train_unet", "eval_unet", "predict_unet"}) {
    const ProgramResult version = run({program(name), "--version"}), help = run({program(name), "--help"});
    EXPECT_EQ(version.code, 0);
    EXPECT_TRUE(std::regex_search(version.out, std::regex(std::string("^") + name + R"( \d+\.\d+\.\d+ \()")))
        << version.out;
    EXPECT_EQ(help.code, 0);
    EXPECT_EQ(help.err + version.err, "");
  }
  const std::string help = train_unet({"--help"}).out;
  expect_parts(help, {"Data", "Network", "Training", "Machine", "Output"});
  for (const char* option :
       {"-d,--data",       "--model",         "--base-channels", "--bilinear",   "--classes",   "-e,--epochs",
        "--phase2-epochs", "-b,--batch-size", "--accumulate",    "--lr",         "--phase2-lr", "--phase1-loss",
        "--phase2-loss",   "--weight-decay",  "--decay-all",     "--schedule",   "--warmup",    "--clip-norm",
        "--image-size",    "--augment",       "--border",        "--device",     "--precision", "--conv",
        "--threads",       "--autotune",      "--plans",         "-j,--workers", "--seed",      "--no-shuffle",
        "--init",          "-o,--output",     "--keep",          "--max-steps",  "--verbose",   "--quiet",
        "--version",       "--config",        "--overwrite",     "--background", "--best-by",   "--group-by",
        "--normalization", "--class-weights", "--ignore-index"}) {
    expect_parts(help, {option});
  }
}

}  // namespace
}  // namespace unet::test::train_test
