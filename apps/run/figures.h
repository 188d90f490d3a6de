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

/// A line a class: Dice, IoU, precision, recall, pixels, images; of `native`, Dice and IoU at the masks' own sizes.
std::string class_table(const SegmentationMetrics& metrics, const SegmentationMetrics& native);

/// null where there is no figure.
nlohmann::ordered_json to_json(std::optional<double> value);
/// The same as class_table, an object a class.
nlohmann::ordered_json classes_json(const SegmentationMetrics& metrics, const SegmentationMetrics& native);

/// An empty cell where there is no figure.
CsvCell cell(std::optional<double> value);
/// Columns of a split's classes, `val_dice_0, val_iou_0, val_precision_0, val_recall_0, val_dice_1, ...`, and their
/// cells.
std::vector<std::string> class_columns(int classes);
std::vector<CsvCell> class_cells(const SegmentationMetrics& metrics);

}  // namespace unet
