#include "apps/report/metrics_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace unet {

std::vector<double> numbers_of(const CsvTable& metrics, std::string_view column) {
  const std::size_t index = metrics.column(column);
  std::vector<double> values;
  for (const std::vector<std::string>& row : metrics.rows) {
    double value = std::numeric_limits<double>::quiet_NaN();
    std::from_chars(row[index].data(), row[index].data() + row[index].size(), value);
    values.push_back(value);
  }
  return values;
}

std::vector<double> numbers_if_there(const CsvTable& metrics, std::string_view column) {
  if (std::find(metrics.columns.begin(), metrics.columns.end(), column) != metrics.columns.end()) {
    return numbers_of(metrics, column);
  }
  return std::vector<double>(metrics.rows.size(), std::numeric_limits<double>::quiet_NaN());
}

std::vector<double> moving_average(const std::vector<double>& values) {
  double average = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> out;
  for (const double value : values) {
    if (std::isfinite(value)) average = std::isfinite(average) ? 0.9 * average + 0.1 * value : value;
    out.push_back(average);
  }
  return out;
}

}  // namespace unet
