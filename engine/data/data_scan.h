// One pass over all pairs before the first step: every mask is decoded, of every photograph the head is read.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/data/mask_reader.h"

namespace unet {

/// What one pair holds; of a broken one only the sample and the reason are there.
struct Finding {
  Sample sample;
  std::string corrupt;                ///< the reason, if it is
  std::bitset<256> values;            ///< codes in the mask (mask_reader.h)
  std::vector<std::int64_t> pixels;   ///< of each of `values`, in their order
  std::bitset<256> kept;              ///< those left at the network's size
  std::uint64_t contents = 0;         ///< a hash of the mask's size and pixels
  std::uint64_t palette = 0;          ///< a hash of the mask's palette; 0: it has none
  std::vector<std::uint32_t> colors;  ///< 0xRRGGBB that the palette gives to `values`, in their order
  std::int64_t changed = 0;           ///< pixels that --binarize changed
  ImageHead photograph;
  std::uint64_t photograph_bytes = 0;  ///< of the file
  bool looked_into = false;            ///< decoded, for what follows
  bool transparent = false;            ///< pixels of alpha 0
  bool narrow = false;                 ///< 16 bits of which less than a sixteenth of the range is used
};

/// A value that no class map names, in all masks.
struct UnknownInAll {
  UnknownValue value;  ///< pixels of all masks, place in the first
  std::size_t first;   ///< sample that holds it
};

struct Scan {
  std::vector<Finding> findings;              ///< in the order of the samples
  std::array<std::int64_t, 256> pixels{};     ///< of all masks by code
  std::map<MaskValue, UnknownInAll> unknown;  ///< as many as of one mask
};

/// Photographs with alpha or 16 bits are looked into: decoding is slow, so of many the first few hundred are.
inline constexpr std::size_t kMostLookedInto = 200;

/// Throws Error as Dataset says; the same one whatever the timing of the threads.
Scan scan_pairs(const std::vector<Sample>& samples, const DatasetOptions& options);

/// Throws Error, ending with the hint, if the photograph, seen so large, and its mask are not of one size.
void check_sizes(const Sample& sample, ImageSize seen, const Image& mask, const char* hint = "");

}  // namespace unet
