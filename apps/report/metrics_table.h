// The rows of metrics.csv as numbers.
#pragma once

#include <string_view>
#include <vector>

#include "engine/io/csv.h"

namespace unet {

/// A column, one value a row; NaN for a cell that holds no number. Throws Error where the column is missing.
std::vector<double> numbers_of(const CsvTable& metrics, std::string_view column);
/// NaN for every row where the column is missing: figures of a later version.
std::vector<double> numbers_if_there(const CsvTable& metrics, std::string_view column);

/// e(0) = v(0), e(i) = 0.9 e(i-1) + 0.1 v(i), begun anew nowhere: the moving average that nnU-Net draws. What is no
/// number leaves it as it was.
std::vector<double> moving_average(const std::vector<double>& values);

}  // namespace unet
