#include "apps/run/overlay.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <cmath>

#include "apps/run/glyphs.h"
#include "engine/data/crop.h"
#include "engine/data/resize.h"

namespace unet {
namespace {

constexpr std::uint8_t kIgnored = 255;
constexpr Rgb kPaper{255, 255, 255}, kInk{32, 32, 32}, kDark{0, 0, 0};
constexpr Rgb kHit{0, 158, 115}, kMiss{213, 60, 0}, kFalseAlarm{240, 228, 66}, kWrongClass{0, 114, 178};

/// Told apart by colour-blind readers too, and class 1 is a colour that few animals and tissues have.
constexpr std::array<Rgb, 16> kColours{{{0, 0, 0},
                                        {204, 51, 204},
                                        {0, 158, 115},
                                        {240, 228, 66},
                                        {0, 114, 178},
                                        {230, 110, 0},
                                        {86, 200, 233},
                                        {170, 30, 30},
                                        {255, 160, 190},
                                        {110, 70, 30},
                                        {150, 230, 60},
                                        {120, 120, 255},
                                        {0, 90, 60},
                                        {250, 200, 150},
                                        {90, 40, 140},
                                        {0, 220, 180}}};

Rgb mix(Rgb a, Rgb b, int percent_b) {
  Rgb out;
  for (std::size_t c = 0; c < 3; ++c) {
    out[c] = static_cast<std::uint8_t>((a[c] * (100 - percent_b) + b[c] * percent_b + 50) / 100);
  }
  return out;
}

Rgb pixel(const Image& image, std::size_t i) {
  return {image.pixels[3 * i], image.pixels[3 * i + 1], image.pixels[3 * i + 2]};
}

void set_pixel(Image& image, std::size_t i, Rgb colour) {
  std::copy(colour.begin(), colour.end(), image.pixels.begin() + static_cast<std::ptrdiff_t>(3 * i));
}

std::size_t pixels_of(const Image& image) { return static_cast<std::size_t>(image.width) * image.height; }

/// The smallest and the largest of the values at most `radius` away along rows (step 1) or columns (step width).
struct Range {
  std::vector<std::uint8_t> low, high;
};
Range around(const Range& of, int width, int height, int radius, bool columns) {
  Range out = of;
  const std::ptrdiff_t step = columns ? width : 1;
  for (int y = 0; y < height; ++y) {
    for (int d = -radius; d <= radius; ++d) {  // a row at once for each distance
      if (columns && (y + d < 0 || y + d >= height)) continue;
      const int begin = columns ? 0 : std::max(0, -d), end = columns ? width : width - std::max(0, d);
      const auto row = static_cast<std::ptrdiff_t>(y) * width;
      const std::uint8_t *low = of.low.data() + row + d * step, *high = of.high.data() + row + d * step;
      std::uint8_t *to_low = out.low.data() + row, *to_high = out.high.data() + row;
      for (int x = begin; x < end; ++x) {
        to_low[x] = std::min(to_low[x], low[x]);
        to_high[x] = std::max(to_high[x], high[x]);
      }
    }
  }
  return out;
}

/// Of a line of an outline, in pixels: 1 up to 300 a side.
int line_width(const Image& image) { return 1 + (std::min(image.width, image.height) - 1) / 300; }

Image enlarged(const Image& image, int factor) {
  return resize_nearest(image, image.width * factor, image.height * factor);
}

Image gray_of(const Image& photo) {
  Image out = photo;
  for (std::size_t i = 0; i < pixels_of(out); ++i) {
    const Rgb c = pixel(photo, i);
    const auto light = static_cast<std::uint8_t>((299 * c[0] + 587 * c[1] + 114 * c[2]) / 1000);
    set_pixel(out, i, {light, light, light});
  }
  return out;
}

struct Entry {
  Rgb colour;
  std::string text;
};

/// What the colours of a comparison mean; a wrong class only where there is one.
std::vector<Entry> entries_of_comparison(Labels truth, Labels prediction, std::size_t pixels, Background background) {
  std::vector<Entry> out{{kHit, "hit"}};
  if (background == Background::class0) {
    out.push_back({kMiss, "miss"});
    out.push_back({kFalseAlarm, "false alarm"});
  }
  for (std::size_t i = 0; i < pixels; ++i) {
    const bool both = background == Background::none || (truth[i] != 0 && prediction[i] != 0);
    if (truth[i] == kIgnored || !both || truth[i] == prediction[i]) continue;
    out.push_back({kWrongClass, "wrong class"});
    break;
  }
  return out;
}

/// The classes that truth or prediction hold.
std::vector<Entry> entries_of(Labels truth, Labels prediction, std::size_t pixels, Background background,
                              const std::vector<std::string>& class_names) {
  std::bitset<256> there;
  for (std::size_t i = 0; i < pixels; ++i) {
    there.set(truth[i]);
    there.set(prediction[i]);
  }
  std::vector<Entry> out;
  for (std::size_t label = background == Background::none ? 0 : 1; label < class_names.size(); ++label) {
    if (there[label]) out.push_back({class_colour(static_cast<int>(label)), class_title(class_names, label)});
  }
  if (there[kIgnored]) out.push_back({{128, 128, 128}, "ignored"});
  return out;
}

/// Entries beside each other, a new line where the width ends; 0 and less draws nothing and tells the height.
int draw_legend(Image* image, int top, int width, const std::vector<Entry>& entries, int scale) {
  const int side = 7 * scale, gap = 4 * scale, line = (kTextRows + 4) * scale;
  int left = gap;
  for (const Entry& entry : entries) {
    const int needed = side + gap + text_width(entry.text, scale) + 2 * gap;
    if (left > gap && left + needed > width) {
      left = gap;
      top += line;
    }
    if (image != nullptr) {
      fill_box(*image, {left, top, side, side}, kInk);
      fill_box(*image, {left + 1, top + 1, side - 2, side - 2}, entry.colour);
      draw_text(*image, left + side + gap, top, entry.text, scale, kInk);
    }
    left += needed;
  }
  return top + line;
}

Image paper(int width, int height) {
  Image out(width, height, 3);
  std::fill(out.pixels.begin(), out.pixels.end(), kPaper[0]);
  return out;
}

void paste(Image& onto, int left, int top, const Image& picture) {
  for (int y = 0; y < picture.height; ++y) {
    std::copy_n(picture.row(y), static_cast<std::size_t>(picture.width) * 3, onto.row(top + y) + 3 * left);
  }
}

struct Panel {
  std::string title;
  Image picture;
};

/// Panels of one size side by side, each under its title, and the legend below.
Image sheet(const std::vector<Panel>& panels, const std::vector<Entry>& entries) {
  constexpr int gap = 4, scale = 2;
  const int w = panels.front().picture.width, h = panels.front().picture.height;
  int widest = w;
  for (const Panel& panel : panels) widest = std::max(widest, text_width(panel.title, scale) + 2 * gap);
  const auto count = static_cast<int>(panels.size());
  const int width = count * widest + (count - 1) * gap, head = (kTextRows + 4) * scale;
  const int below = head + h + 3 * scale;
  Image out = paper(width, draw_legend(nullptr, below, width, entries, scale));
  int left = 0;
  for (const Panel& panel : panels) {
    const int middle = left + widest / 2;
    draw_text(out, middle - text_width(panel.title, scale) / 2, 2 * scale, panel.title, scale, kInk);
    paste(out, middle - w / 2, head, panel.picture);
    left += widest + gap;
  }
  draw_legend(&out, below, width, entries, scale);
  return out;
}

}  // namespace

Rgb class_colour(int label) {
  if (label < static_cast<int>(kColours.size())) return kColours[static_cast<std::size_t>(label)];
  // Steps of the golden ratio around the circle of hues never come near an earlier one for long.
  const double hue = 6 * std::fmod(0.618033988749895 * label, 1.0), light = label % 2 == 0 ? 235 : 165;
  Rgb out;
  for (std::size_t c = 0; c < 3; ++c) {
    const double distance = std::abs(std::fmod(hue + 6 - 2.0 * static_cast<double>(c), 6.0) - 3);
    out[c] = static_cast<std::uint8_t>(light * (0.15 + 0.85 * std::clamp(distance - 1, 0.0, 1.0)));
  }
  return out;
}

std::vector<Rgb> class_palette(int classes) {
  std::vector<Rgb> out;
  for (int label = 0; label < classes; ++label) out.push_back(class_colour(label));
  return out;
}

int tint_reach(const Image& photo) { return line_width(photo); }

Image tint_rows(const Image& photo, Labels labels, Background background, int top, int count) {
  const int radius = line_width(photo);
  const int first = std::max(0, top - radius), end = std::min(photo.height, top + count + radius);  // outlines' reach
  const auto width = static_cast<std::size_t>(photo.width);
  std::vector<std::uint8_t> shown(labels + static_cast<std::size_t>(first) * width,
                                  labels + static_cast<std::size_t>(end) * width);
  std::replace(shown.begin(), shown.end(), kIgnored, std::uint8_t{0});
  const Range near =
      around(around({shown, shown}, photo.width, end - first, radius, false), photo.width, end - first, radius, true);
  Image out = cut(photo, {top, 0, count, photo.width});
  for (std::size_t i = 0; i < pixels_of(out); ++i) {
    const auto x = i % width, y = static_cast<std::size_t>(top) + i / width;
    const std::size_t at = y * width + x, seen = at - static_cast<std::size_t>(first) * width;
    const Rgb under = pixel(out, i), colour = class_colour(shown[seen]);
    if (labels[at] == kIgnored) {
      set_pixel(out, i, mix(under, (x + y) / static_cast<std::size_t>(2 * radius) % 2 == 0 ? kPaper : kDark, 50));
    } else if (near.low[seen] < shown[seen]) {
      set_pixel(out, i, mix(colour, kPaper, 55));
    } else if (near.high[seen] > shown[seen]) {
      set_pixel(out, i, kDark);
    } else if (shown[seen] != 0 || background == Background::none) {
      set_pixel(out, i, mix(under, colour, 40));
    }
  }
  return out;
}

Image tint(const Image& photo, Labels labels, Background background) {
  return tint_rows(photo, labels, background, 0, photo.height);
}

Image comparison(const Image& photo, Labels truth, Labels prediction, Background background) {
  Image out = gray_of(photo);
  for (std::size_t i = 0; i < pixels_of(out); ++i) {
    if (truth[i] == kIgnored) {
      set_pixel(out, i, mix(pixel(out, i), kPaper, 60));
      continue;
    }
    const bool to_find = truth[i] != 0 || background == Background::none;
    const bool claimed = prediction[i] != 0 || background == Background::none;
    if (!to_find && !claimed) continue;
    const bool wrong = to_find && claimed && truth[i] != prediction[i];
    set_pixel(out, i, mix(pixel(out, i), wrong ? kWrongClass : !claimed ? kMiss : !to_find ? kFalseAlarm : kHit, 65));
  }
  return out;
}

std::vector<std::pair<Rgb, std::string>> comparison_colours(Background background) {
  if (background == Background::none) return {{kHit, "hit"}, {kWrongClass, "wrong class"}};
  return {{kHit, "hit"}, {kMiss, "miss"}, {kFalseAlarm, "false alarm"}, {kWrongClass, "wrong class"}};
}

Image judgement(const Image& photo, Labels truth, Labels prediction, Background background,
                const std::vector<std::string>& class_names) {
  constexpr int least = 256, most = 2048;  // pixels a side
  const int factor =
      std::max(1, std::min((least + std::min(photo.width, photo.height) - 1) / std::min(photo.width, photo.height),
                           most / std::max(photo.width, photo.height)));
  const auto large = [&](Labels labels) {
    Image out(photo.width, photo.height, 1);
    std::copy_n(labels, out.pixels.size(), out.pixels.begin());
    return enlarged(out, factor);
  };
  const Image picture = enlarged(photo, factor), large_truth = large(truth), large_prediction = large(prediction);
  Labels t = large_truth.pixels.data(), p = large_prediction.pixels.data();
  std::vector<Entry> entries = entries_of(truth, prediction, pixels_of(photo), background, class_names);
  for (Entry& entry : entries_of_comparison(truth, prediction, pixels_of(photo), background)) {
    entries.push_back(std::move(entry));
  }
  return sheet({{"photo", picture},
                {"truth", tint(picture, t, background)},
                {"prediction", tint(picture, p, background)},
                {"comparison", comparison(picture, t, p, background)}},
               entries);
}

std::string class_title(const std::vector<std::string>& class_names, std::size_t label) {
  const std::string& name = class_names[label];
  return name == std::to_string(label) ? "class " + name : name;
}

Image legend_of(const std::vector<std::string>& class_names, Background background) {
  std::vector<Entry> entries;
  for (std::size_t label = background == Background::none ? 0 : 1; label < class_names.size(); ++label) {
    entries.push_back({class_colour(static_cast<int>(label)), class_title(class_names, label)});
  }
  constexpr int width = 512, scale = 2, top = 4 * scale;
  Image out = paper(width, draw_legend(nullptr, top, width, entries, scale));
  draw_legend(&out, top, width, entries, scale);
  return out;
}

}  // namespace unet
