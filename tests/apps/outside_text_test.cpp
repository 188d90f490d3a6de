// Text that others wrote (names of files, metadata, records, plans) is shown escaped, wherever it goes, and is usable.
#include <nlohmann/json.hpp>
#include <set>

#include "engine/core/text.h"
#include "engine/io/csv.h"
#include "engine/io/safetensors.h"
#include "tests/apps/tiny_training.h"

namespace unet::test::outside_text_test {
namespace {

/// Plain lines of text: nothing that a terminal obeys, UTF-8 throughout.
void expect_plain(const std::string& text, const std::string& where) {
  EXPECT_EQ(plain_length(text, "\n\t"), text.size()) << where << ": " << escaped(text);
}
void expect_plain(const ProgramResult& result) {
  expect_plain(result.out, "standard output");
  expect_plain(result.err, "standard error");
}

class OutsideText : public TinyTraining {
 protected:
  /// As `from`, with other metadata.
  void rewrite(const fs::path& from, const fs::path& to, const std::string& key, const std::string& value) const {
    const SafetensorsFile file(from);
    std::map<std::string, std::string> metadata = file.metadata();
    metadata[key] = value;
    std::vector<std::vector<char>> data;
    std::vector<SafetensorsEntry> entries;
    for (const TensorInfo& info : file.tensors()) {
      file.read(info, data.emplace_back(info.bytes()).data());
      entries.push_back({info.name, info.dtype, info.shape, data.back().data(), {}});
    }
    write_safetensors(to, metadata, entries);
  }

  static inline const std::string kEscape = "\x1b[2J\u009b31m\u202e";  // each of a kind that a terminal obeys
};

TEST_F(OutsideText, NamesThatAreNoTextAreUsableAndShownEscaped) {
  const fs::path data = folder_ / "d\xff\n";
  const std::vector<std::string> names = {"\xff\xfe",     "a\nb",    "=1+1,\"x\"", "\x1b[2Jc",    "it's; here",
                                          "\u732b\u202e", "-dash e", "@x",         "p\u00e9tale", "plain"};
  for (std::size_t i = 0; i < 40; ++i) {
    const SmallPicture picture = small_picture(i, 32, 32);
    const std::string name = names[i % names.size()] + std::to_string(i) + ".png";
    write_bytes(data / "images" / name, encode_png(picture.photo));
    write_bytes(data / "masks" / name, encode_png(picture.labels));
  }
  const fs::path output = folder_ / "o\xff\x1b[2J\u009b";
  const Words words = small_run(data, output, {"-e", "2", "--phase2-epochs", "0"});
  const ProgramResult trained = train_unet(words);
  ASSERT_EQ(trained.code, 0) << trained.err;
  expect_plain(trained);
  const ProgramResult resumed = train_unet(words + Words{"-e", "3", "--resume", "auto"});
  expect_plain(resumed);
  for (const char* name :
       {"run.json", "curves.svg", "metrics.csv", "plans.json", "report.html", "best_validation.json"}) {
    if (fs::exists(output / name)) expect_plain(text_of(output / name), name);
  }
  const nlohmann::json run = nlohmann::json::parse(text_of(output / "run.json"));
  EXPECT_EQ(run["data"]["folder"], escaped(data.string()));

  const fs::path best = output / "best.safetensors", overlays = folder_ / "over\xff";
  const ProgramResult eval =
      eval_unet({"-c", best.string(), "-d", data.string(), "--split", "train", "--threads", "1", "--per-image",
                 (folder_ / "i.csv").string(), "--json", (folder_ / "j.json").string(), "--overlays", overlays.string(),
                 "--worst", "1000"});
  ASSERT_EQ(eval.code, 0) << eval.err;
  expect_plain(eval);
  const std::string csv = text_of(folder_ / "i.csv");
  expect_plain(csv, "per image");
  const CsvTable table = read_csv(folder_ / "i.csv");
  EXPECT_EQ(names_in(overlays).size(), table.rows.size());
  std::set<std::string> found;
  for (const auto& row : table.rows) {
    found.insert(row[0].substr(0, row[0].find_last_not_of("0123456789") + 1));
    expect_parts(eval.out, {"  " + row[0] + "\n"});
  }
  for (const std::string& line : lines_of(csv)) {
    EXPECT_EQ(std::string("=+-@").find(line[line[0] == '"' ? 1 : 0]), std::string::npos) << line;
  }
  EXPECT_GE(found.size(), 8u) << "of most kinds of names one is in this split";

  const ProgramResult predicted = predict_unet(
      {"-c", best.string(), (data / "images").string(), "-o", (folder_ / "p\xff").string(), "--threads", "1"});
  ASSERT_EQ(predicted.code, 0) << predicted.err;
  expect_plain(predicted);
  EXPECT_EQ(lines_of(predicted.out).size(), 42u) << "a line a picture, the device, the sum: no name makes its own";
  EXPECT_TRUE(fs::exists(folder_ / "p\xff" /
                         ("\xff\xfe"
                          "0_mask.png")));
}

TEST_F(OutsideText, AHostileRecordOrPlanIsShownEscaped) {
  const fs::path output = folder_ / "run";
  fs::copy(alone(), output);
  const fs::path last = output / "last.safetensors", whole = alone() / "last.safetensors";
  const nlohmann::json record = nlohmann::json::parse(SafetensorsFile(whole).metadata().at("run"));
  const auto resume_with = [&](const nlohmann::json& hostile) {
    rewrite(whole, last, "run", hostile.dump());
    fs::remove(output / "last.prev.safetensors");
    const ProgramResult result = run(command(output, {"--resume", "auto"}));
    EXPECT_EQ(result.code, 1) << result.err;
    expect_plain(result);
    return result.err;
  };
  for (const char* what : {"options", "machine", "plans", "version"}) {
    nlohmann::json hostile = record;
    if (std::string(what) == "options") {
      hostile["options"]["seed"] = kEscape + "\ntrain_unet: all is well";
    } else {
      hostile[what] = kEscape + "\ntrain_unet: all is well";
    }
    const std::string said = resume_with(hostile);
    EXPECT_EQ(said.find("\ntrain_unet: all is well"), std::string::npos) << said;
  }

  const Words timed{"--autotune", "--max-steps", "1"};
  const nlohmann::json plans = nlohmann::json::parse(text_of(alone(timed) / "plans.json"));
  for (const char* key : {"id", "machine", "pass", "stride", "other\x1b[2J"}) {
    nlohmann::json hostile = plans;
    hostile["plans"][0][key] = kEscape + "\n";
    write_text(folder_ / "plans.json", hostile.dump());
    const ProgramResult result = run(command(folder_ / "planned", {"--plans", (folder_ / "plans.json").string()}));
    EXPECT_EQ(result.code, 1) << key;
    expect_plain(result);
    EXPECT_EQ(lines_of(result.err).size(), 1u) << result.err;
    expect_parts(result.err, {"1b[2J"});
  }

  for (const char* key : {"border", "background", "image_size"}) {
    const fs::path model = folder_ / "hostile.safetensors";
    rewrite(alone() / "best.safetensors", model, key, kEscape);
    const ProgramResult result = eval_unet({"-c", model.string(), "-d", data_.string()});
    EXPECT_EQ(result.code, 1);
    expect_plain(result);
    expect_parts(result.err, {key, "\\x1b[2J"});
  }
  for (const ProgramResult& word :
       {run(command(folder_ / "x", {"--model", kEscape})), make_sample_pets({"--seed", kEscape})}) {
    EXPECT_EQ(word.code, 2);
    expect_plain(word);
  }
}

TEST_F(OutsideText, TheProposedCommandCanBePasted) {
  if (run({"bash", "-c", "true"}).code != 0) GTEST_SKIP() << "bash is absent";
  for (const std::string name : {"-run", "two words", "it's $HOME", "=x", "r\xff\n"}) {
    const fs::path data = folder_ / name / "data";
    write_small_pets(data, 12, 1);
    const fs::path here = folder_ / name;
    const Words words = small_run(fs::path(name) / "data", fs::path(name) / "out");
    Words joined{program("train_unet")};
    for (std::size_t i = 0; i < words.size(); i += 2) {  // "--data=-run/data": else it would be an option
      const std::string option = words[i] == "-d" ? "--data" : words[i] == "-o" ? "--output" : words[i];
      joined = joined + (option.starts_with("--") ? Words{option + "=" + words[i + 1]} : Words{option, words[i + 1]});
    }
    const ProgramResult trained = run(joined, {}, folder_.path());
    ASSERT_EQ(trained.code, 0) << trained.err;
    const std::string last = lines_of(trained.out).back();
    ASSERT_TRUE(last.starts_with("evaluate it: ")) << last;
    const ProgramResult pasted =
        run({"bash", "-c", last.substr(13)},
            {"PATH=" + fs::path(program("x")).parent_path().string() + ":/usr/bin:/bin"}, folder_.path());
    EXPECT_EQ(pasted.code, 0) << last << "\n" << pasted.err;
  }
}

}  // namespace
}  // namespace unet::test::outside_text_test
