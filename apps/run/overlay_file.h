// The overlay of a large photograph, tinted and written while its labels come from the top: of it only some rows are in
// memory, and whoever makes the labels does not wait.
#pragma once

#include <future>

#include "apps/run/overlay.h"
#include "engine/io/png_writer.h"

namespace unet {

class OverlayFile {
 public:
  /// photo [H,W,3] and mask [H,W,1], labels, outlive this and stay where they are.
  OverlayFile(const std::filesystem::path& path, const Image& photo, const Image& mask, Background background);

  /// The labels of the first `rows` rows are there and will not change. Throws Error as writing does, perhaps later.
  void labels_are_there(int rows);
  /// After the last label.
  void commit();

 private:
  void write_until(int end);

  const Image &photo_, &mask_;
  const Background background_;
  PngWriter file_;
  int next_ = 0;
  std::future<void> writing_;  // behind all that it uses: it is waited for first
};

}  // namespace unet
