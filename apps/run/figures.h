// A split's figures of merit as a person and a program read them: lines, a table of classes, JSON, CSV columns.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/io/csv.h"
#include "engine/train/metrics.h"

namespace unet {

/// What the figures were made of, where that needs a word: images that hold foreground, that count 1 because there was
/// nothing to find, that are ignored. A line each, or nothing.
std::string remarks(const SegmentationMetrics& metrics);

/// A name for each class.
using ClassNames = std::vector<std::string>;

/// A line a class: Dice, IoU, precision, recall, pixels, images; of `native`, Dice and IoU at the masks' own sizes.
std::string class_table(const SegmentationMetrics& metrics, const SegmentationMetrics& native, const ClassNames& names);

/// null where there is no figure.
nlohmann::ordered_json to_json(std::optional<double> value);
/// The same as class_table, an object a class.
nlohmann::ordered_json classes_json(const SegmentationMetrics& metrics, const SegmentationMetrics& native,
                                    const ClassNames& names);

/// An empty cell where there is no figure.
CsvCell cell(std::optional<double> value);
/// Columns of a split's classes by their names, `val_dice_sky, val_iou_sky, val_precision_sky, val_recall_sky,
/// val_dice_1, ...`, and their cells.
std::vector<std::string> class_columns(const ClassNames& names);
std::vector<CsvCell> class_cells(const SegmentationMetrics& metrics);

}  // namespace unet
