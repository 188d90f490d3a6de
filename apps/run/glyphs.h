// Plain text in a picture, by a font of 5x7 pixels: small letters (capitals look like them), digits and a few signs.
#pragma once

#include <string_view>

#include "engine/io/image.h"

namespace unet {

inline constexpr int kTextRows = 9;  ///< seven on the line, two below it

struct Box {
  int left, top, width, height;
};

/// All of these draw into an RGB image; what lies outside of it is left out.
void fill_box(Image& image, Box box, Rgb colour);
/// A pixel of the font becomes scale x scale pixels; a character without a glyph is a box.
void draw_text(Image& image, int left, int top, std::string_view text, int scale, Rgb colour);
/// In pixels.
int text_width(std::string_view text, int scale);

}  // namespace unet
