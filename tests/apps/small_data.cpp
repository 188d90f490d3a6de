#include "tests/apps/small_data.h"

#include <fmt/core.h>

#include <algorithm>

#include "engine/core/rng.h"

namespace unet::test {
namespace {

std::uint64_t draw(std::uint64_t index, std::uint64_t what, std::uint64_t below) {
  return random_bits(1, Purpose::test, index, what) % below;
}

void write_list(const fs::path& path, const char* letter, int begin, int end) {
  std::string text;
  for (int i = begin; i < end; ++i) text += fmt::format("{}{:03}\n", letter, i);
  write_text(path, text);
}

}  // namespace

SmallPicture small_picture(std::uint64_t index, int height, int width, int classes) {
  SmallPicture out{Image(width, height, 3), Image(width, height, 1)};
  const auto w = static_cast<std::uint64_t>(width), h = static_cast<std::uint64_t>(height);
  const int cx = static_cast<int>(w / 4 + draw(index, 0, w / 2)), cy = static_cast<int>(h / 4 + draw(index, 1, h / 2));
  const int radius = std::min(width, height) / 5 + static_cast<int>(draw(index, 2, w / 8));
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const bool inside = (x - cx) * (x - cx) + (y - cy) * (y - cy) < radius * radius;
      out.labels.row(y)[x] = static_cast<std::uint8_t>(!inside ? 0 : classes > 2 && x > cx ? 2 : 1);
      for (int c = 0; c < 3; ++c) {
        const std::uint64_t place = static_cast<std::uint64_t>((y * width + x) * 3 + c) + 16;
        const std::uint64_t base = inside ? (out.labels.row(y)[x] == 2 && c == 0 ? 90 : 150) : 40;
        out.photo.row(y)[3 * x + c] = static_cast<std::uint8_t>(base + draw(index, place, 60));
      }
    }
  }
  return out;
}

void write_small_pets(const fs::path& folder, int trainval, int test) {
  for (int i = 0; i < trainval + test; ++i) {
    const auto index = static_cast<std::uint64_t>(i);
    SmallPicture picture =
        small_picture(index, 40 + static_cast<int>(draw(index, 3, 16)), 40 + static_cast<int>(draw(index, 4, 16)));
    for (std::uint8_t& label : picture.labels.pixels) label = label == 1 ? 1 : 2;
    Image& trimap = picture.labels;
    for (int x = 0; x < trimap.width; ++x) trimap.row(trimap.height - 1)[x] = 3;
    const std::string name = fmt::format("p{:03}.png", i);
    write_bytes(folder / "images" / name, encode_png(picture.photo));
    write_bytes(folder / "annotations" / "trimaps" / name, encode_png(trimap));
  }
  write_list(folder / "annotations" / "trainval.txt", "p", 0, trainval);
  write_list(folder / "annotations" / "test.txt", "p", trainval, trainval + test);
}

void write_small_pairs(const fs::path& folder, int train, int val, int height, int width, int classes) {
  for (int i = 0; i < train + val; ++i) {
    const SmallPicture picture = small_picture(static_cast<std::uint64_t>(i), height, width, classes);
    const std::string name = i < train ? fmt::format("t{:03}.png", i) : fmt::format("v{:03}.png", i - train);
    write_bytes(folder / "images" / name, encode_png(picture.photo));
    write_bytes(folder / "masks" / name, encode_png(picture.labels));
  }
  write_list(folder / "train.txt", "t", 0, train);
  write_list(folder / "val.txt", "v", 0, val);
}

Words small_run(const fs::path& data, const fs::path& output, const Words& words) {
  Words out;
  const auto given = [&words](const std::string& name) {
    return std::find(words.begin(), words.end(), name) != words.end();
  };
  for (const auto& [name, value] : {std::pair<std::string, std::string>{"-d", data.string()},
                                    {"-o", output.string()},
                                    {"--base-channels", "2"},
                                    {"--image-size", "32"},
                                    {"--threads", "1"},
                                    {"-b", "4"},
                                    {"-e", "1"}}) {
    const bool of_phases = name == "-e" && (given("--phase") || given("--config"));  // which say it themselves
    const bool of_crops = name == "--image-size" && given("--crop");
    if (!given(name) && !of_phases && !of_crops) out = out + Words{name, value};
  }
  return out + words;
}

fs::path small_checkpoint(const fs::path& data, const fs::path& output) {
  const ProgramResult result =
      train_unet(small_run(data, output, {"-e", "8", "--phase2-epochs", "0", "--lr", "1e-2", "--augment", "none"}));
  EXPECT_EQ(result.code, 0) << result.err;
  return output / "best.safetensors";
}

}  // namespace unet::test
