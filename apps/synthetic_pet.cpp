#include "apps/synthetic_pet.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/core/rng.h"

namespace unet {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kRing = 2.5;  // half width of the trimap's ring, in pixels

struct Colour {
  double r = 0, g = 0, b = 0;
};
Colour mix(const Colour& a, const Colour& b, double t) {
  return {a.r + (b.r - a.r) * t, a.g + (b.g - a.g) * t, a.b + (b.b - a.b) * t};
}

/// The draws of one picture, in order.
class Dice {
 public:
  Dice(std::uint64_t seed, std::uint64_t index) : seed_(seed), index_(index) {}
  double between(double low, double high) {
    return low + (high - low) * random_uniform(seed_, Purpose::sample_data, index_, count_++);
  }
  bool chance(double p) { return between(0, 1) < p; }
  std::uint64_t bits() { return random_bits(seed_, Purpose::sample_data, index_, count_++); }

 private:
  std::uint64_t seed_, index_, count_ = 0;
};

/// Smooth noise in [0, 1]: random values on a grid, blended; three octaves.
double noise(std::uint64_t key, double x, double y) {
  double sum = 0, weight = 0.5;
  for (int octave = 0; octave < 3; ++octave, weight /= 2, x *= 2, y *= 2) {
    const double fx = std::floor(x), fy = std::floor(y);
    const auto corner = [&](int dx, int dy) {
      const auto ix = static_cast<std::uint64_t>(static_cast<std::int64_t>(fx) + dx);
      const auto iy = static_cast<std::uint64_t>(static_cast<std::int64_t>(fy) + dy);
      return static_cast<double>(mix64(key ^ mix64(ix * 0x10001 + iy + static_cast<std::uint64_t>(octave) * 977)) >>
                                 11) *
             0x1p-53;
    };
    const double tx = (x - fx) * (x - fx) * (3 - 2 * (x - fx)), ty = (y - fy) * (y - fy) * (3 - 2 * (y - fy));
    const double top = corner(0, 0) + (corner(1, 0) - corner(0, 0)) * tx;
    const double bottom = corner(0, 1) + (corner(1, 1) - corner(0, 1)) * tx;
    sum += weight * (top + (bottom - top) * ty);
  }
  return sum / 0.875;
}

/// A surface: two colours blended by noise, stripes or spots.
struct Texture {
  Colour a, b;
  std::uint64_t key = 0;
  double grain = 20;   // pixels
  double stripes = 0;  // strength
  double direction = 0;

  Colour at(double x, double y) const {
    double t = noise(key, x / grain, y / grain);
    if (stripes > 0) {
      const double along = (x * std::cos(direction) + y * std::sin(direction)) / grain;
      t += stripes * std::sin(2 * kPi * (along + 1.5 * t));
    }
    const double fine = noise(key + 1, x / 2.0, y / 2.0) - 0.5;
    return mix(a, b, std::clamp(t + 0.35 * fine, 0.0, 1.0));
  }
};

/// An ellipse in the animal's own frame (units of its size), or with `sharp` a triangle standing on its base.
struct Part {
  double x, y, rx, ry, turn;
  bool sharp = false;
};

/// Roughly the distance inside the part's outline, in units of the animal's size; negative outside.
double depth(const Part& part, double x, double y) {
  const double c = std::cos(part.turn), s = std::sin(part.turn);
  const double u = ((x - part.x) * c + (y - part.y) * s) / part.rx, v = ((y - part.y) * c - (x - part.x) * s) / part.ry;
  if (part.sharp) return std::min(1 - v, (v + 1) / 2 - std::abs(u)) * 0.5 * std::min(part.rx, part.ry);
  return (1 - std::hypot(u, v)) * std::min(part.rx, part.ry);
}

std::vector<Part> animal(Dice& dice, bool cat) {
  const double body = dice.between(0.42, 0.6), tall = dice.between(0.24, 0.34);
  const double head = dice.between(0.19, 0.26), reach = body * dice.between(0.8, 1.0);
  const double head_y = -tall * dice.between(0.7, 1.3);
  std::vector<Part> parts{{0, 0, body, tall, dice.between(-0.15, 0.15)}, {reach, head_y, head, head * 0.92, 0}};
  const double leg = dice.between(0.3, 0.42);
  for (const double place : {-0.75, -0.45, 0.4, 0.7}) {
    parts.push_back({place * body, tall * 0.6 + leg / 2, 0.07, leg / 2 + 0.08, dice.between(-0.2, 0.2)});
  }
  const double lift = dice.between(-0.9, 0.9);
  parts.push_back({-0.9 * body - 0.22 * std::cos(lift), -0.06 - 0.22 * std::sin(lift), 0.26, 0.055, lift});
  const double neck_x = 0.6 * body, neck = std::hypot(reach - neck_x, head_y);
  parts.push_back({(neck_x + reach) / 2, head_y / 2, neck / 2 + 0.08, 0.62 * head, std::atan2(head_y, reach - neck_x)});
  if (cat) {
    for (const double side : {-0.6, 0.5}) {
      parts.push_back({reach + side * head, head_y - head * 0.95, head * 0.42, head * 0.45, 0.15 * side, true});
    }
  } else {
    for (const double side : {-0.85, 0.75}) {
      parts.push_back({reach + side * head, head_y + head * 0.15, head * 0.3, head * 0.7, 0.25 * side});
    }
    parts.push_back({reach + head * 0.9, head_y + head * 0.25, head * 0.5, head * 0.33, 0});
  }
  return parts;
}

Texture ground(Dice& dice) {
  static const std::array<std::pair<Colour, Colour>, 5> kinds{{{{70, 110, 45}, {140, 170, 80}},
                                                               {{150, 130, 100}, {205, 190, 160}},
                                                               {{90, 95, 110}, {165, 170, 185}},
                                                               {{120, 70, 50}, {180, 130, 95}},
                                                               {{60, 80, 120}, {150, 170, 200}}}};
  const auto& [a, b] = kinds[dice.bits() % kinds.size()];
  Texture out{a, b, dice.bits(), dice.between(8, 45), 0, dice.between(0, kPi)};
  if (dice.chance(0.35)) out.stripes = dice.between(0.1, 0.5);
  return out;
}

Texture fur(Dice& dice) {
  static const std::array<std::pair<Colour, Colour>, 5> kinds{{{{60, 45, 35}, {120, 90, 65}},
                                                               {{190, 120, 55}, {240, 185, 115}},
                                                               {{215, 210, 200}, {250, 248, 240}},
                                                               {{25, 25, 30}, {75, 75, 85}},
                                                               {{130, 125, 120}, {190, 185, 180}}}};
  const auto& [a, b] = kinds[dice.bits() % kinds.size()];
  Texture out{a, b, dice.bits(), dice.between(6, 18), 0, dice.between(0, kPi)};
  if (dice.chance(0.5)) out.stripes = dice.between(0.3, 0.7);
  return out;
}

std::uint8_t byte(double value) { return static_cast<std::uint8_t>(std::clamp(value + 0.5, 0.0, 255.0)); }

}  // namespace

SyntheticPet draw_synthetic_pet(std::uint64_t seed, std::uint64_t index) {
  Dice dice(seed, index);
  SyntheticPet out;
  out.cat = dice.chance(0.5);
  const int width = static_cast<int>(dice.between(160, 289)), height = static_cast<int>(dice.between(160, 289));
  out.photo = Image(width, height, 3);
  out.trimap = Image(width, height, 1);

  const std::vector<Part> parts = animal(dice, out.cat);
  const Texture floor = ground(dice), wall = ground(dice), coat = fur(dice);
  const double horizon = height * dice.between(0.15, 0.65);
  const double size = std::min(width, height) * dice.between(0.3, 0.58);  // pixels of one unit
  const double cx = width * dice.between(0.38, 0.62), cy = height * dice.between(0.42, 0.62);
  const double turn = dice.between(-0.25, 0.25), mirror = dice.chance(0.5) ? -1 : 1;
  const double light = dice.between(0, 2 * kPi), contrast = dice.between(0.1, 0.35), gain = dice.between(0.75, 1.15);
  const bool grass = dice.chance(0.35);
  const std::uint64_t blades = dice.bits();
  const double grass_top = cy + size * dice.between(0.25, 0.6);

  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double dx = mirror * (x - cx) / size, dy = (y - cy) / size;
      const double u = dx * std::cos(turn) + dy * std::sin(turn), v = dy * std::cos(turn) - dx * std::sin(turn);
      double inside = -10;
      for (const Part& part : parts) inside = std::max(inside, depth(part, u, v));
      inside *= size;                // pixels
      if (grass && y > grass_top) {  // blades stand in front of the legs: they belong to the ground
        const double blade = noise(blades, x / 3.5, 0.5) * size * 0.5;
        if (y - grass_top > blade * 0.4 && noise(blades + 7, x / 2.2, y / 30.0) > 0.62) inside = -10;
      }

      Colour colour = y < horizon ? wall.at(x, y) : floor.at(x, y * 1.6);
      const double shadow = std::hypot(u / 0.75, (v - 0.62) / 0.16);
      if (shadow < 1) colour = mix(colour, {20, 20, 25}, 0.45 * (1 - shadow));
      if (inside > -1) {
        const double relief = std::clamp(inside / (0.12 * size), 0.0, 1.0);
        const Colour skin = mix({15, 12, 10}, coat.at(u * size, v * size), 0.55 + 0.45 * relief);
        colour = mix(colour, skin, std::clamp(inside + 0.5, 0.0, 1.0));  // one pixel of antialiasing
      }
      const double shade = gain * (1 + contrast * (std::cos(light) * (x - width / 2.0) / width +
                                                   std::sin(light) * (y - height / 2.0) / height));
      std::uint8_t* pixel = out.photo.row(y) + 3 * x;
      pixel[0] = byte(colour.r * shade);
      pixel[1] = byte(colour.g * shade);
      pixel[2] = byte(colour.b * shade);
      out.trimap.row(y)[x] = inside > kRing ? 1 : inside < -kRing ? 2 : 3;
    }
  }
  return out;
}

}  // namespace unet
