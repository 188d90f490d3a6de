// The course of a training run as a picture: losses above, validation Dice with its best epoch below.
#pragma once

#include <string>
#include <string_view>

#include "engine/io/csv.h"

namespace unet {

/// An SVG of 900 x 640 from the rows of metrics.csv (columns phase, train_loss, val_loss, val_dice; the others are not
/// looked at). The x axis counts the epochs of all phases, a dashed line stands at each change of phase. A value that
/// is no finite number leaves a gap. Throws unet::Error where a column is missing.
std::string curves_svg(const CsvTable& metrics, std::string_view title);

}  // namespace unet
