// Where a fuzzer begins: small sound files, and a few that are nearly so.
#include <string_view>

#include "apps/run/run_state.h"
#include "engine/io/safetensors.h"
#include "tests/fuzz/targets.h"
#include "tests/support/data_support.h"
#include "tests/support/torch_writer.h"

namespace unet::fuzz {
namespace {

using File = std::vector<std::uint8_t>;

File file_of(std::string_view text) { return {text.begin(), text.end()}; }

File safetensors(std::string_view header, std::string_view data) {
  std::string length;
  for (std::size_t i = 0; i < 8; ++i) length += static_cast<char>(header.size() >> (8 * i));
  return file_of(fmt::format("{}{}{}", length, header, data));
}

/// The JPEG with an EXIF block that turns it.
File turned(File jpeg, std::uint8_t orientation) {
  const File exif{0xff, 0xe1, 0,    34, 'E', 'x', 'i', 'f', 0, 0, 'I',         'I', 42, 0, 8, 0, 0, 0,
                  1,    0,    0x12, 1,  3,   0,   1,   0,   0, 0, orientation, 0,   0,  0, 0, 0, 0, 0};
  jpeg.insert(jpeg.begin() + 2, exif.begin(), exif.end());
  return jpeg;
}

Image pattern(int width, int height, int channels) {
  Image image(width, height, channels);
  for (std::size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<std::uint8_t>(i * i / 7 + 3 * i);
  return image;
}

}  // namespace

std::vector<File> checkpoint_seeds() {
  const test::Folder folder;
  const std::vector<double> values(6, 0.5);
  const std::int64_t steps = 7;
  write_safetensors(folder / "written", {{"classes", "2"}, {"name", "\xc3\xa9 \"quoted\"\n"}},
                    {{"conv.weight", SafeDtype::kF64, {1, 3, 1, 2}, values.data(), {}},
                     {"norm.num_batches_tracked", SafeDtype::kI64, {}, &steps, {}},
                     {"none", SafeDtype::kBF16, {0, 4}, nullptr, {}}});
  return {read_file(folder / "written"), safetensors("{}", ""),
          safetensors(R"({"__metadata__":{"k":"v"},"weight\u00e9":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},)"
                      R"("n":{"dtype":"BOOL","shape":[],"data_offsets":[8,9]}} )",
                      "12345678X")};
}

std::vector<File> torch_file_seeds() {
  using namespace tests;
  const std::string six = pickled_storage("FloatStorage", "0", 16), one = pickled_storage("LongStorage", "1", 1);
  const std::string state = pickled_dict({{"conv.weight", pickled_view(six, 0, {2, 1, 1, 3}, {3, 1, 3, 1})},
                                          {"conv.bias", pickled_parameter(pickled_view(six, 4, {2, 3}, {1, 4}))},
                                          {"norm.num_batches_tracked", pickled_view(one, 0, {}, {})},
                                          {"mask_values", "](K\1K\2e"}});
  const std::string outer = pickled_dict({{"epoch", pickled(300)}, {"model", state}, {"lr", "G12345678"}});
  const std::string kept = ordered_dict() + "q\1" + pickled("w") + pickled_view(six, 1, {3, 5}, {0, 1}) +
                           "sh\1N\x86\x85r" + std::string(4, '\0') + "(j" + std::string(4, '\0') +
                           "}\x87\x89\x88M12J1234h\1" + pickled_dict({}) + "b";
  const std::string storage(64, 's');
  return {file_of(pickle_of(state)),
          file_of(pickle_of(outer)),
          file_of(pickle_of(kept)),
          file_of(pickle_of(pickled_global("os", "system") + pickled_tuple({pickled("true")}) + "R")),
          file_of(torch_file(outer, {storage, "12345678"})),
          file_of(zip_of({{"m/data.pkl", pickle_of(state)}, {"m/data/0", storage}, {"m/data/1", "12345678"}}, false)),
          file_of("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8P\x19."),
          file_of("PK\x03\x04")};
}

std::vector<File> record_seeds() {
  std::vector<File> seeds;
  for (int phase = 1; phase <= 2; ++phase) {
    RunRecord record;
    RunState& s = record.state;
    s.started = "20240229T235959Z";
    seeds.push_back(file_of(to_text(record)));  // of a run that begins
    s.phase = phase;
    s.epoch = 2;
    s.batch = s.images = 3;
    s.step = s.all_steps = 8;
    s.all_epochs = phase;
    s.best = s.best_of_phase[0] = Best{0.5, 0.25, 1, 1, 7};
    if (phase == 2) s.best = s.best_of_phase.emplace_back(Best{0.75, 0.5, 2, 1, 9});
    s.metrics_rows = 1, s.steps_rows = 8;
    record.options = {{"epochs", "2"}, {"seed", "0"}};
    record.data_hash = "0123456789abcdef";
    record.machine = "a machine";
    PlanChoice plan;
    plan.of.pass = kernels::ConvPass::forward;
    plan.of.shape = {1, 8, 8, 3, 4, 3, 3};
    plan.machine = "a machine";
    plan.id = "direct";
    record.plans = {plan};
    seeds.push_back(file_of(to_text(record)));
  }
  return seeds;
}

std::vector<File> list_seeds() {
  return {file_of("Abyssinian_1 1 1 1\nAbyssinian_2 1 1 1\n"),
          file_of("\xef\xbb\xbf# a comment\r\n\r\n  a name with blanks \t\r\nb\r\n"),
          file_of("../up\n/absolute\n..\nback\\slash\n"),
          file_of(std::string_view("nul\0byte\n\xff\xfe\n", 12)),
          file_of("twice\ntwice\n"),
          file_of(std::string(4097, 'x')),
          {}};
}

std::vector<File> image_seeds() {
  std::vector<File> seeds{encode_jpeg(pattern(17, 9, 3)), encode_jpeg(pattern(8, 8, 1)),
                          turned(encode_jpeg(pattern(24, 16, 3)), 6), encode_png(pattern(9, 5, 3)),
                          encode_png(pattern(5, 9, 1))};
  for (const int depth : {1, 2, 4, 8, 16}) {
    const File row(static_cast<std::size_t>(depth == 16 ? 16 : depth), 0x5a);  // 8 pixels
    seeds.push_back(test::PngFile{8, 1, depth, 0, {}, {}, row}.bytes());
    if (depth < 16) seeds.push_back(test::PngFile{8, 1, depth, 3, File(3u << depth, 9), {7}, row}.bytes());
  }
  for (const int type : {2, 4, 6}) {
    for (const int depth : {8, 16}) {
      const int channels = type == 2 ? 3 : type == 4 ? 2 : 4;
      seeds.push_back(
          test::PngFile{2, 1, depth, type, {}, {}, File(static_cast<std::size_t>(channels * depth / 4))}.bytes());
    }
  }
  for (const char* magic : {"GIF89a", "BM", "RIFF....WEBP", "<svg", "\xff\xd8\xff"}) seeds.push_back(file_of(magic));
  return seeds;
}

std::vector<File> class_map_seeds() {
  return {file_of(R"([{"name": "sky", "value": "#8080ff", "class": 0, "background": true},
                      {"name": "r\u00e9al", "value": 7, "class": 1}, {"value": "#000000", "class": "ignore"}])"),
          file_of(R"([{"value": 0, "class": 0}, {"value": 255, "class": 1}])"),
          file_of(R"([{"name": "a", "value": 3, "class": 0}, {"name": "a", "value": 3, "class": 2}])"),
          file_of(R"([{"value": [[[[]]]], "class": -1, "background": null}])"),
          {}};
}

std::vector<File> options_seeds() {
  return {file_of("# a run\nepochs = 3\r\nlr = 2e-3 # small\noutput = \"a \\\"folder\\\"\"\nquiet = true\nseed=7"),
          file_of("\xef\xbb\xbf\noutput = 'a # b'\nshare = 0.25\ne = 12\nquiet = false\n"),
          file_of("[train]\nepochs = 3\n"),
          file_of("train.epochs = 3\n"),
          file_of(std::string_view("output = a\0b\n", 13)),
          file_of("epochs = [1, 2]\nepochs = 010\n"),
          file_of("output = \"\"\"a\n\"\"\"\n"),
          {}};
}

}  // namespace unet::fuzz
