// Small data sets in both layouts, made of flat pictures whose first pixel tells which one it is.
#pragma once

#include "engine/data/dataset.h"
#include "tests/support/data_support.h"

namespace unet::test {

inline Image flat_rgb(int width, int height, std::uint8_t value) {
  Image image(width, height, 3);
  image.pixels.assign(image.pixels.size(), value);
  return image;
}

inline Image flat_mask(int width, int height, std::uint8_t value) {
  Image mask(width, height, 1);
  mask.pixels.assign(mask.pixels.size(), value);
  return mask;
}

inline std::string name_at(int i) { return fmt::format("pet_{:03}", i); }

/// Oxford layout: pictures 0..trainval-1, then the test pictures; picture i has gray level i, its trimap is 1, 2 and 3.
inline void make_oxford(const fs::path& folder, int trainval, int test, int width = 12, int height = 8) {
  std::string lists[2];
  for (int i = 0; i < trainval + test; ++i) {
    Image mask = flat_mask(width, height, static_cast<std::uint8_t>(1 + i % 3));
    mask.pixels[0] = 1;
    mask.pixels[1] = 2;
    mask.pixels[2] = 3;
    write_bytes(folder / "images" / (name_at(i) + ".jpg"),
                encode_png(flat_rgb(width, height, static_cast<std::uint8_t>(i))));
    write_bytes(folder / "annotations" / "trimaps" / (name_at(i) + ".png"), encode_png(mask));
    lists[i >= trainval] += name_at(i) + " 1 1 1\n";
  }
  write_text(folder / "annotations" / "trainval.txt", lists[0]);
  write_text(folder / "annotations" / "test.txt", lists[1]);
}

/// Stem layout without lists; masks hold 0 and `other`.
inline void make_stems(const fs::path& folder, int count, std::uint8_t other = 1) {
  for (int i = 0; i < count; ++i) {
    Image mask = flat_mask(6, 4, 0);
    mask.pixels[0] = other;
    write_bytes(folder / "images" / (name_at(i) + ".png"), encode_png(flat_rgb(6, 4, static_cast<std::uint8_t>(i))));
    write_bytes(folder / "masks" / (name_at(i) + ".png"), encode_png(mask));
  }
}

inline Dataset open(const fs::path& folder, int classes = 2, Border border = Border::foreground, int threads = 2) {
  DatasetOptions options;
  options.folder = folder;
  options.classes = classes;
  options.border = border;
  options.threads = threads;
  return Dataset(options);
}

inline std::vector<std::string> names(const Dataset& data, Split split) {
  std::vector<std::string> out;
  for (const Sample& sample : data.samples(split)) out.push_back(sample.name);
  return out;
}

}  // namespace unet::test
