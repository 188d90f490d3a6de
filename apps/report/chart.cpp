#include "apps/report/chart.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace unet {
namespace {

// The smallest of 1, 2, 2.5, 5 times a power of ten that makes at most `count` steps of `range`.
double nice_step(double range, int count) {
  const double raw = range / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 2.5, 5.0}) {
    if (factor * power >= raw * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

std::string tick_text(double value, const Axis& axis) {
  if (axis.high >= 1e5) return fmt::format("{:.3g}", value);
  const double digits = -std::log10(axis.step);
  // A step of 2.5, 0.25, ... needs one digit more than its power of ten.
  const bool quarter = std::fabs(axis.step / std::pow(10, std::floor(std::log10(axis.step) + 1e-9)) - 2.5) < 1e-6;
  if (digits > 4 - 1e-9) return value == 0 ? "0" : fmt::format("{:.3g}", value);
  const int decimals = static_cast<int>(std::ceil(digits - 1e-9)) + (quarter ? 1 : 0);
  return fmt::format("{:.{}f}", value, std::clamp(decimals, 0, 6));
}

}  // namespace

Axis value_axis(const std::vector<Curve>& curves, const Reach& reach, double bottom, double top) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double low = reach.from_zero ? 0 : kInfinity, high = -kInfinity;
  for (const Curve& curve : curves) {
    for (const double value : curve.values) {
      if (!std::isfinite(value)) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  if (!(high > -kInfinity)) low = 0, high = 1;
  // A flat curve still gets an axis.
  constexpr double kLeast = 0.02;
  if (high - low < kLeast && !reach.from_zero) low = std::max(0.0, high - kLeast);
  if (high - low < 1e-12) high = low + kLeast;
  const double step = nice_step(high - low, 5);
  return {std::floor(low / step + 1e-9) * step,
          std::min(std::ceil(high / step - 1e-9) * step, std::max(reach.most, high)), step, bottom, top};
}

Axis epoch_axis(std::size_t count, double left, double right) {
  return {0.5, static_cast<double>(std::max<std::size_t>(count, 1)) + 0.5, 1, left, right};
}

std::string svg_text(double x, double y, const char* anchor, std::string_view style, std::string_view content) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" {}>{}</text>\n", x, y, anchor, style, content);
}

std::string y_ticks(const Axis& axis, double left, double right, const ChartColours& colours) {
  std::string out;
  for (int i = 0; i <= 12; ++i) {
    const double value = axis.low + i * axis.step;
    if (value > axis.high + 1e-6 * axis.step) break;
    const double y = axis.at(value);
    out += fmt::format("<line x1=\"{}\" y1=\"{:.1f}\" x2=\"{}\" y2=\"{:.1f}\" stroke=\"{}\"/>\n", left, y, right, y,
                       i == 0 ? colours.axis : colours.grid);
    out += svg_text(left - 8, y + 4, "end", "class=\"tick\"", tick_text(value, axis));
  }
  return out;
}

std::string epoch_ticks(const Axis& axis, std::size_t count, double bottom, const ChartColours& colours) {
  std::string out;
  const int most = std::max(2, static_cast<int>((axis.to - axis.from) / 60));
  const auto step =
      std::max<std::size_t>(1, static_cast<std::size_t>(nice_step(static_cast<double>(count), most) + 0.5));
  for (std::size_t epoch = 1; epoch <= count; ++epoch) {
    if (epoch != 1 && epoch % step != 0) continue;
    const double x = axis.at(static_cast<double>(epoch));
    out += fmt::format("<line x1=\"{0:.1f}\" y1=\"{1}\" x2=\"{0:.1f}\" y2=\"{2}\" stroke=\"{3}\"/>\n", x, bottom,
                       bottom + 4, colours.axis);
    // Epoch 1 is named unless the first multiple of a wide step is too near to it.
    if (epoch == 1 && step > 1 && axis.at(static_cast<double>(step)) - x < 24) continue;
    out += svg_text(x, bottom + 18, "middle", "class=\"tick\"", fmt::format("{}", epoch));
  }
  return out;
}

// A new phase starts from the best weights of the one before and may have another loss: the line begins anew.
std::string line_of(const Curve& curve, const std::vector<double>& phase, const Axis& x_axis, const Axis& y_axis) {
  std::string path, dots;
  bool pen_down = false;
  for (std::size_t i = 0; i < curve.values.size(); ++i) {
    const double value = curve.values[i];
    pen_down = pen_down && std::isfinite(value) && phase[i] == phase[i - 1];
    if (!std::isfinite(value)) continue;
    const double x = x_axis.at(static_cast<double>(i + 1)), y = y_axis.at(value);
    path += fmt::format("{}{:.1f} {:.1f}", pen_down ? " L" : path.empty() ? "M" : " M", x, y);
    pen_down = true;
    // Dots tell the epochs apart as long as there is room for them.
    if (curve.values.size() <= 60 && curve.dash.empty()) {
      dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.6\" fill=\"{}\"/>\n", x, y, curve.colour);
    }
  }
  if (path.empty()) return "";
  const std::string dash = curve.dash.empty() ? "" : fmt::format(" stroke-dasharray=\"{}\"", curve.dash);
  return fmt::format(
             "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-linejoin=\"round\" "
             "stroke-linecap=\"round\"{}/>\n",
             path, curve.colour, dash) +
         dots;
}

std::string phase_marks(const std::vector<double>& phase, const Axis& x_axis, const std::vector<Panel>& panels,
                        double label, const ChartColours& colours) {
  std::string out;
  for (std::size_t begin = 0, end = 0, number = 0; begin < phase.size(); begin = end, ++number) {
    while (end < phase.size() && phase[end] == phase[begin]) ++end;
    if (end == begin) ++end;
    const double x = x_axis.at(static_cast<double>(begin) + 0.5), width = x_axis.at(static_cast<double>(end) + 0.5) - x;
    for (const auto& [top, bottom] : panels) {
      if (number % 2 == 1) {
        out += fmt::format("<rect x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\" fill=\"{}\"/>\n", x, top, width,
                           bottom - top, colours.band);
      }
      if (begin > 0) {
        out += fmt::format(
            "<line x1=\"{0:.1f}\" y1=\"{1}\" x2=\"{0:.1f}\" y2=\"{2}\" stroke=\"{3}\" stroke-dasharray=\"4 4\"/>\n", x,
            top, bottom, colours.phase);
      }
    }
    if (std::isfinite(phase[begin])) {
      out += svg_text(x + width / 2, label, "middle", "class=\"phase\"",
                      fmt::format("{}{:g}", width < 60 ? "" : "phase ", phase[begin]));
    }
  }
  return out;
}

}  // namespace unet
