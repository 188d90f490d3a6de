// Counter-based random numbers: every value is a pure function of a seed and a position, so nothing hides a generator
// state and a resumed or re-threaded run draws the same numbers.
//
// The mixer is the finaliser of SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators",
// figure 15), applied once per key word; it passes through every 64-bit value, so distinct positions stay distinct.
#pragma once

#include <cstdint>

namespace unet {

/// What a random number is for: numbers of different purposes are independent.
enum class Purpose : std::uint64_t { init = 1, shuffle = 2, augment = 3, sample_data = 4, test = 5 };

constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// 64 random bits at the position (seed, purpose, a, b, c); for augmentation a = epoch, b = sample, c = which draw.
constexpr std::uint64_t random_bits(std::uint64_t seed, Purpose purpose, std::uint64_t a, std::uint64_t b = 0,
                                    std::uint64_t c = 0) {
  return mix64(mix64(mix64(mix64(mix64(seed) ^ static_cast<std::uint64_t>(purpose)) ^ a) ^ b) ^ c);
}

/// Uniform in [0, 1), a multiple of 2^-53.
constexpr double random_uniform(std::uint64_t seed, Purpose purpose, std::uint64_t a, std::uint64_t b = 0,
                                std::uint64_t c = 0) {
  return static_cast<double>(random_bits(seed, purpose, a, b, c) >> 11) * 0x1p-53;
}

}  // namespace unet
