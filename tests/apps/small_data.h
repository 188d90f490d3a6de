// Data sets small enough that a whole training run takes a moment: a bright disc on a dark ground, as PNG.
#pragma once

#include <string>
#include <vector>

#include "tests/apps/program.h"

namespace unet::test {

/// The index-th picture, a pure function of its arguments: noise, and a disc of class 1 (with 3 classes its right half
/// is class 2).
struct SmallPicture {
  Image photo;   // [H,W,3]
  Image labels;  // [H,W,1], 0..classes-1
};
SmallPicture small_picture(std::uint64_t index, int height, int width, int classes = 2);

/// Oxford layout with trimaps; sides vary from 40 to 55 pixels. Names p000, p001, ...
void write_small_pets(const fs::path& folder, int trainval, int test);

/// images/ and masks/ (class indices) of one size, split by lists: t000.. to train, v000.. to validate.
void write_small_pairs(const fs::path& folder, int train, int val, int height, int width, int classes = 2);

/// The options of a run of a moment: 2 base channels at 32x32, one thread. Those that `words` sets are left to it.
Words small_run(const fs::path& data, const fs::path& output, const Words& words = {});

/// Trains on small pets until the disc is found (Dice about 0.9) and returns the best checkpoint.
fs::path small_checkpoint(const fs::path& data, const fs::path& output);

}  // namespace unet::test
