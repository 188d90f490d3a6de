#include "apps/run/overlay_file.h"

#include <algorithm>

#include "apps/run/outputs.h"

namespace unet {

OverlayFile::OverlayFile(const std::filesystem::path& path, const Image& photo, const Image& mask,
                         Background background)
    : photo_(photo),
      mask_(mask),
      background_(background),
      file_(path, {photo.width, photo.height}, 3, 8, picture_options()) {}

void OverlayFile::write_until(int end) {
  constexpr int kRows = 256;
  for (; next_ < end; next_ = std::min(end, next_ + kRows)) {
    file_.rows(tint_rows(photo_, mask_.pixels.data(), background_, next_, std::min(kRows, end - next_)).pixels);
  }
}

void OverlayFile::labels_are_there(int rows) {
  if (writing_.valid()) writing_.get();
  const int end = rows == photo_.height ? rows : rows - tint_reach(photo_);
  writing_ = std::async(std::launch::async, [this, end] { write_until(end); });
}

void OverlayFile::commit() {
  if (writing_.valid()) writing_.get();
  file_.commit();
}

}  // namespace unet
