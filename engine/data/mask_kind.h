// What the values in the files of masks mean; see MaskKind in dataset.h.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <vector>

#include "engine/data/data_scan.h"

namespace unet {

/// The label of each value: a class, kIgnoredLabel, or -1 where the value is not allowed.
using LabelTable = std::array<std::int16_t, 256>;
LabelTable label_table(MaskKind kind, int classes, Border border);

/// Binary or indices, as the masks of images/ and masks/ are. Throws Error where 0 and 255 are two classes among more,
/// or where a few masks hold other values, naming these.
MaskKind kind_of(const std::vector<Finding>& findings, const DatasetOptions& options);

/// 255 and nothing but 0 besides: with two classes most likely the foreground, and ignored in an index mask.
bool holds_0_and_255_alone(const std::bitset<256>& values);

/// The classes (and kIgnoredLabel) that a mask of these values has.
std::bitset<256> labels_of(const std::bitset<256>& values, const LabelTable& labels);

/// Throws Error naming the first mask with a value that is not allowed.
void check_values(const std::vector<Finding>& findings, MaskKind kind, int classes, const LabelTable& labels);

}  // namespace unet
