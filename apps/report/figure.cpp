#include "apps/report/figure.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "apps/report/html.h"
#include "apps/report/style.h"

namespace unet {
namespace {

// Pixels of the SVG, which is as wide as its card: texts stay readable on a phone.
constexpr double kWidth = 400, kHeight = 236, kLeft = 48, kRight = 390, kTop = 24, kBottom = 196;

const ChartColours& page_colours() {
  static const ChartColours colours{"var(--axis)", "var(--line)", "var(--band)", "var(--axis)"};
  return colours;
}

std::string frame(const std::string& title, const std::string& what, const std::string& drawing,
                  const std::string& legend) {
  return fmt::format(
      "<figure class=\"card\">\n<h3>{}</h3>\n<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 {} "
      "{}\">\n"
      "<title>{}</title>\n{}</svg>\n{}</figure>\n",
      title, kWidth, kHeight, html_text(what), drawing, legend);
}

std::string legend_of(const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string dash = series_dash(i).empty() ? "" : fmt::format(" stroke-dasharray=\"{}\"", series_dash(i));
    out += fmt::format(
        "<li><svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 26 10\" aria-hidden=\"true\"><path d=\"M1 5 L25 "
        "5\" "
        "stroke=\"{}\" stroke-width=\"2.5\"{}/></svg>{}</li>\n",
        series_colour(i), dash, html_text(names[i]));
  }
  return block("ul", out, " class=\"legend\"");
}

std::string axis_name(const std::string& x_name) {
  return svg_text((kLeft + kRight) / 2, kBottom + 36, "middle", "class=\"tick\"", x_name);
}

/// Both axes from 0 to 1, named.
struct UnitPlot {
  Axis x{0, 1, 0.2, kLeft, kRight}, y{0, 1, 0.2, kBottom, kTop};

  std::string axes(const std::string& x_name, const std::string& y_name) const {
    std::string out = y_ticks(y, kLeft, kRight, page_colours()) + x_ticks();
    return out + axis_name(x_name) + svg_text(kLeft, kTop - 10, "start", "class=\"tick\"", y_name);
  }
  std::string x_ticks() const {
    std::string out;
    for (int i = 0; i <= 5; ++i) {
      const double at = x.at(0.2 * i);
      out += fmt::format("<line x1=\"{0:.1f}\" y1=\"{1}\" x2=\"{0:.1f}\" y2=\"{2}\" stroke=\"var(--axis)\"/>\n", at,
                         kBottom, kBottom + 4);
      out += svg_text(at, kBottom + 18, "middle", "class=\"tick\"", fmt::format("{:.1f}", 0.2 * i));
    }
    return out;
  }
};

/// phase: marked, if there is any.
std::string curves_figure(const std::string& title, const std::string& what, std::size_t epochs,
                          const std::vector<double>& phase, const std::vector<NamedCurve>& curves, const Reach& reach) {
  std::vector<Curve> drawn;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < curves.size(); ++i) {
    drawn.push_back({series_colour(i), curves[i].values, series_dash(i)});
    names.push_back(curves[i].name);
  }
  const Axis x = epoch_axis(epochs, kLeft, kRight), y = value_axis(drawn, reach, kBottom, kTop);
  std::string out = phase_marks(phase, x, {{kTop, kBottom}}, kTop - 9, page_colours());
  out += y_ticks(y, kLeft, kRight, page_colours()) + epoch_ticks(x, epochs, kBottom, page_colours());
  for (std::size_t i = 0; i < curves.size(); ++i) {
    out += line_of(drawn[i], curves[i].phase.empty() ? phase : curves[i].phase, x, y);
  }
  return frame(title, what, out + axis_name("epoch"), names.size() > 1 ? legend_of(names) : "");
}

}  // namespace

std::string epoch_figure(const std::string& title, const std::string& what, const std::vector<double>& phase,
                         const std::vector<NamedCurve>& curves, const Reach& reach) {
  return curves_figure(title, what, phase.size(), phase, curves, reach);
}

std::string epoch_figure(const std::string& title, const std::string& what, std::size_t epochs,
                         const std::vector<NamedCurve>& curves, const Reach& reach) {
  return curves_figure(title, what, epochs, {}, curves, reach);
}

std::string unit_lines_figure(const std::string& title, const std::string& what, const std::string& x_name,
                              const std::string& y_name, const std::vector<NamedPoints>& lines) {
  const UnitPlot plot;
  std::string out = plot.axes(x_name, y_name);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    names.push_back(lines[i].name);
    std::string path;
    for (const auto& [x, y] : lines[i].points) {
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : " L", plot.x.at(x), plot.y.at(y));
    }
    if (path.empty()) continue;
    const std::string dash = series_dash(i).empty() ? "" : fmt::format(" stroke-dasharray=\"{}\"", series_dash(i));
    out += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-linejoin=\"round\"{}/>\n",
                       path, series_colour(i), dash);
  }
  return frame(title, what, out, legend_of(names));
}

std::string unit_scatter_figure(const std::string& title, const std::string& what, const std::string& x_name,
                                const std::string& y_name, const std::vector<std::pair<double, double>>& points) {
  const UnitPlot plot;
  std::string out = plot.axes(x_name, y_name);
  out += fmt::format("<path d=\"M{} {} L{} {}\" stroke=\"var(--axis)\" stroke-dasharray=\"4 4\" fill=\"none\"/>\n",
                     kLeft, kBottom, kRight, kTop);
  for (const auto& [x, y] : points) {
    out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\" fill-opacity=\"0.7\"/>\n", plot.x.at(x),
                       plot.y.at(y), series_colour(0));
  }
  return frame(title, what, out, "");
}

std::string unit_histogram_figure(const std::string& title, const std::string& what, const std::string& x_name,
                                  const std::vector<double>& values, const std::string& note) {
  constexpr std::size_t kBars = 20;
  std::vector<double> bars(kBars);
  for (const double value : values) {
    ++bars[std::min(kBars - 1, static_cast<std::size_t>(std::max(0.0, value) * static_cast<double>(kBars) + 1e-9))];
  }
  const UnitPlot plot;
  Axis y = value_axis({{"", bars, ""}}, {.from_zero = true}, kBottom, kTop);
  if (y.step < 1) y = {0, std::max(1.0, *std::max_element(bars.begin(), bars.end())), 1, kBottom, kTop};
  std::string out = y_ticks(y, kLeft, kRight, page_colours()) + plot.x_ticks();
  for (std::size_t i = 0; i < kBars; ++i) {
    if (bars[i] == 0) continue;
    const double left = plot.x.at(static_cast<double>(i) / kBars),
                 right = plot.x.at(static_cast<double>(i + 1) / kBars);
    out += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"/>\n", left + 1,
                       y.at(bars[i]), right - left - 2, kBottom - y.at(bars[i]), series_colour(0));
  }
  out += axis_name(x_name) + svg_text(kLeft, kTop - 10, "start", "class=\"tick\"", "images");
  return frame(title, what, out, block("figcaption", note + "\n"));
}

}  // namespace unet
