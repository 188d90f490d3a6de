// The charts of a page, each an inline SVG in a card with its legend below.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "apps/report/chart.h"

namespace unet {

struct NamedCurve {
  std::string name;  // text of others
  std::vector<double> values;
  std::vector<double> phase;  // of the epochs; empty: the chart's
};

/// Curves over the epochs of a run, its phases marked. title: markup; what: what a reader who cannot see it is told.
std::string epoch_figure(const std::string& title, const std::string& what, const std::vector<double>& phase,
                         const std::vector<NamedCurve>& curves, const Reach& reach);
/// The same of several runs, each with phases of its own, over so many epochs.
std::string epoch_figure(const std::string& title, const std::string& what, std::size_t epochs,
                         const std::vector<NamedCurve>& curves, const Reach& reach);

/// Lines through points (x, y), both from 0 to 1.
struct NamedPoints {
  std::string name;
  std::vector<std::pair<double, double>> points;
};
std::string unit_lines_figure(const std::string& title, const std::string& what, const std::string& x_name,
                              const std::string& y_name, const std::vector<NamedPoints>& lines);
/// The points alone, with the line on which both are equal.
std::string unit_scatter_figure(const std::string& title, const std::string& what, const std::string& x_name,
                                const std::string& y_name, const std::vector<std::pair<double, double>>& points);

/// How many values lie in each twentieth of 0 to 1; note: markup below.
std::string unit_histogram_figure(const std::string& title, const std::string& what, const std::string& x_name,
                                  const std::vector<double>& values, const std::string& note);

}  // namespace unet
