// What the values in the files of masks mean; see MaskKind in dataset.h.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <vector>

#include "engine/data/data_scan.h"

namespace unet {

/// The label of each code of a mask: a class, kIgnoredLabel, or -1 where it is not allowed.
using LabelTable = std::array<std::int16_t, 256>;

struct MaskMeaning {
  MaskKind kind = MaskKind::indices;
  LabelTable labels{};
};

/// As MaskKind says. Throws Error where 0 and 255 are two classes among more, where a few masks hold other values,
/// where a class map does not name a value, and naming the first mask with a value that is not allowed.
MaskMeaning meaning_of(const Scan& scan, const DatasetOptions& options, bool trimaps);

/// 255 and nothing but 0 besides: with two classes most likely the foreground, and ignored in an index mask.
bool holds_0_and_255_alone(const std::bitset<256>& values);

/// The classes (and kIgnoredLabel) that a mask of these values has.
std::bitset<256> labels_of(const std::bitset<256>& values, const LabelTable& labels);

}  // namespace unet
