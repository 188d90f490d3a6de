// An overlay that is written while its labels come is the overlay.
#include "apps/run/overlay_file.h"

#include <gtest/gtest.h>

#include "apps/run/outputs.h"
#include "engine/core/rng.h"
#include "tests/support/data_support.h"

namespace unet::overlay_file_test {
namespace {

/// Blobs of four classes, some pixels ignored.
Image labels_of(int width, int height) {
  Image out(width, height, 1);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const std::uint64_t blob = random_bits(1, Purpose::test, static_cast<std::uint64_t>(x / 40 * 1000 + y / 30));
      out.row(y)[x] = static_cast<std::uint8_t>(blob % 5 == 4 ? 255 : blob % 5);
    }
  }
  return out;
}

TEST(OverlayFile, IsTheOverlayWhateverPiecesTheLabelsComeIn) {
  const test::Folder folder;
  Image photo(620, 900, 3);  // lines of 3 pixels
  for (std::size_t i = 0; i < photo.pixels.size(); ++i) photo.pixels[i] = static_cast<std::uint8_t>(i >> 3);
  const Image truth = labels_of(620, 900);
  write_picture(folder / "whole.png", tint(photo, truth.pixels.data(), Background::class0));
  for (const std::vector<int>& pieces : {std::vector<int>{900}, {1, 2, 3, 600, 898, 900}, {300, 600, 900}}) {
    Image mask(620, 900, 1);
    OverlayFile file(folder / "parts.png", photo, mask, Background::class0);
    int from = 0;
    for (const int until : pieces) {
      std::copy(truth.row(from), truth.row(from) + (until - from) * 620, mask.row(from));
      file.labels_are_there(until);
      from = until;
    }
    file.commit();
    EXPECT_EQ(read_file(folder / "parts.png"), read_file(folder / "whole.png")) << pieces.size();
    EXPECT_TRUE(is_our_picture(folder / "parts.png"));
  }
}

TEST(OverlayFile, WithoutItsLastLabelsThereIsNone) {
  const test::Folder folder;
  const Image photo(64, 64, 3), mask(64, 64, 1);
  {
    OverlayFile file(folder / "a.png", photo, mask, Background::class0);
    file.labels_are_there(40);
    test::expect_parts(test::message_of([&] { file.commit(); }), {"a.png", "bytes of its rows are missing"});
  }
  EXPECT_TRUE(test::fs::is_empty(folder.path()));
}

}  // namespace
}  // namespace unet::overlay_file_test
