// The parts that charts are drawn of, as text of an SVG: axes, curves over the epochs of a run, the marks of its
// phases. Coordinates are pixels of the SVG; a value that is no finite number leaves a gap and appears nowhere.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace unet {

/// From values to pixels.
struct Axis {
  double low = 0, high = 1;  // values at its ends
  double step = 1;           // between ticks, the first at `low`
  double from = 0, to = 1;   // pixels of the ends

  double at(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

/// Colours of what is not data: hexadecimal, or a variable of the page's style.
struct ChartColours {
  std::string axis = "#94a3b8", grid = "#e2e8f0", band = "#f8fafc", phase = "#64748b";
};

struct Curve {
  std::string colour;
  std::vector<double> values;  // one an epoch
  std::string dash;            // "4 3", or empty: a whole line
};

/// How far the y axis reaches: over all values, its ends ticks. least, most: values that it does not go beyond unless
/// the data do.
struct Reach {
  bool from_zero = false;
  double most = 1e300;
};
Axis value_axis(const std::vector<Curve>& curves, const Reach& reach, double bottom, double top);
/// Epochs 1..count; each has a column of its own, so that a change of phase lies between two.
Axis epoch_axis(std::size_t count, double left, double right);

/// `content` is markup already.
std::string svg_text(double x, double y, const char* anchor, std::string_view style, std::string_view content);
/// Lines across the panel from left to right, with their values beside them.
std::string y_ticks(const Axis& y, double left, double right, const ChartColours& colours);
/// The numbers of epochs below the panel.
std::string epoch_ticks(const Axis& x, std::size_t count, double bottom, const ChartColours& colours);
/// A line through the epochs' values; it begins anew with each phase. Up to 60 epochs have dots.
std::string line_of(const Curve& curve, const std::vector<double>& phase, const Axis& x, const Axis& y);

struct Panel {
  double top, bottom;
};
/// Tints every second phase, draws a line where one begins and names them at the height `label`.
std::string phase_marks(const std::vector<double>& phase, const Axis& x, const std::vector<Panel>& panels, double label,
                        const ChartColours& colours);

}  // namespace unet
