#include "apps/run/curves_svg.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/text.h"

namespace unet {
namespace {

// Pixels. Both panels share the x axis; the text above a panel is its title and legend.
constexpr double kWidth = 900, kHeight = 640, kLeft = 68, kRight = 872;
constexpr double kLossTop = 104, kLossBottom = 322, kDiceTop = 378, kDiceBottom = 580;
constexpr const char* kTrainColour = "#2563eb";
constexpr const char* kValidationColour = "#ea580c";
constexpr const char* kDiceColour = "#059669";

struct Curve {
  const char* colour;
  std::vector<double> values;  // one an epoch; not finite: a gap
};

struct LegendEntry {
  const char* colour;
  const char* mark;
  std::string label;
};

struct Panel {
  double top, bottom;
  double low, high, step;  // of the y axis

  double y(double value) const { return bottom - (value - low) / (high - low) * (bottom - top); }
};

std::string xml_text(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::vector<double> column(const CsvTable& table, std::string_view name) {
  const std::size_t index = table.column(name);
  std::vector<double> values;
  for (const auto& row : table.rows) {
    double value = std::numeric_limits<double>::quiet_NaN();
    std::from_chars(row[index].data(), row[index].data() + row[index].size(), value);
    values.push_back(value);
  }
  return values;
}

// The smallest of 1, 2, 2.5, 5 times a power of ten that makes at most `count` steps of `range`.
double nice_step(double range, int count) {
  const double raw = range / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 2.5, 5.0}) {
    if (factor * power >= raw * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

// An axis over all finite values whose ends are ticks.
Panel make_panel(double top, double bottom, const std::vector<Curve>& curves, bool from_zero, double most) {
  double low = from_zero ? 0 : std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  for (const Curve& curve : curves) {
    for (const double value : curve.values) {
      if (!std::isfinite(value)) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  if (!(high > -std::numeric_limits<double>::infinity())) low = 0, high = 1;
  // A flat curve still gets an axis.
  constexpr double kLeast = 0.02;
  if (high - low < kLeast && !from_zero) low = std::max(0.0, high - kLeast);
  if (high - low < 1e-6) high = low + kLeast;
  const double step = nice_step(high - low, 5);
  return {top, bottom, std::floor(low / step + 1e-9) * step,
          std::min(std::ceil(high / step - 1e-9) * step, std::max(most, high)), step};
}

// The x axis: each epoch has a column of its own, so that a change of phase lies between two.
struct Columns {
  std::size_t count;
  // Left edge of the column of the 0-based epoch.
  double edge(std::size_t index) const {
    return kLeft + (kRight - kLeft) * static_cast<double>(index) / static_cast<double>(std::max<std::size_t>(count, 1));
  }
  double middle(std::size_t index) const { return (edge(index) + edge(index + 1)) / 2; }
};

std::string text(double x, double y, const char* anchor, std::string_view style, std::string_view content) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" {}>{}</text>\n", x, y, anchor, style, content);
}

std::string axes(const Panel& panel, const Columns& columns) {
  const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(panel.step) - 1e-9)), 0, 6);
  // A step of 2.5, 0.25, ... needs one digit more than its power of ten.
  const bool quarter = std::fabs(panel.step / std::pow(10, std::floor(std::log10(panel.step) + 1e-9)) - 2.5) < 1e-6;
  std::string out;
  for (int i = 0; i <= 12; ++i) {
    const double value = panel.low + i * panel.step;
    if (value > panel.high + 1e-6 * panel.step) break;
    const double y = panel.y(value);
    out += fmt::format("<line x1=\"{}\" y1=\"{:.1f}\" x2=\"{}\" y2=\"{:.1f}\" stroke=\"{}\"/>\n", kLeft, y, kRight, y,
                       i == 0 ? "#94a3b8" : "#e2e8f0");
    out += text(
        kLeft - 10, y + 4, "end", "class=\"tick\"",
        panel.high < 1e5 ? fmt::format("{:.{}f}", value, decimals + (quarter ? 1 : 0)) : fmt::format("{:.3g}", value));
  }
  const std::size_t step =
      std::max<std::size_t>(1, static_cast<std::size_t>(nice_step(static_cast<double>(columns.count), 12) + 0.5));
  for (std::size_t epoch = 1; epoch <= columns.count; ++epoch) {
    if (epoch != 1 && epoch % step != 0) continue;
    const double x = columns.middle(epoch - 1);
    out += fmt::format("<line x1=\"{0:.1f}\" y1=\"{1}\" x2=\"{0:.1f}\" y2=\"{2}\" stroke=\"#94a3b8\"/>\n", x,
                       panel.bottom, panel.bottom + 4);
    // Epoch 1 is named unless the first multiple of a wide step is too near to it.
    if (epoch == 1 && step > 1 && columns.middle(step - 1) - x < 24) continue;
    out += text(x, panel.bottom + 18, "middle", "class=\"tick\"", fmt::format("{}", epoch));
  }
  return out;
}

// A new phase starts from the best weights of the one before and may have another loss: the line begins anew.
std::string line(const Curve& curve, const std::vector<double>& phase, const Panel& panel, const Columns& columns) {
  std::string path, dots;
  bool pen_down = false;
  for (std::size_t i = 0; i < curve.values.size(); ++i) {
    const double value = curve.values[i];
    pen_down = pen_down && std::isfinite(value) && phase[i] == phase[i - 1];
    if (!std::isfinite(value)) continue;
    const double x = columns.middle(i), y = panel.y(value);
    path += fmt::format("{}{:.1f} {:.1f}", pen_down ? " L" : path.empty() ? "M" : " M", x, y);
    pen_down = true;
    // Dots tell the epochs apart as long as there is room for them.
    if (columns.count <= 60) {
      dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.6\" fill=\"{}\"/>\n", x, y, curve.colour);
    }
  }
  if (path.empty()) return "";
  return fmt::format(
             "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-linejoin=\"round\" "
             "stroke-linecap=\"round\"/>\n",
             path, curve.colour) +
         dots;
}

// Right-aligned on the line of the panel's title. The marks are characters of the text, so that they stand right in any
// font.
std::string legend(const Panel& panel, const std::vector<LegendEntry>& entries) {
  std::string content;
  for (const auto& [colour, mark, label] : entries) {
    if (!content.empty()) content += "\u00a0\u00a0\u00a0 ";
    content += fmt::format("<tspan fill=\"{}\" font-weight=\"700\">{}</tspan>\u00a0{}", colour, mark, label);
  }
  return text(kRight, panel.top - 12, "end", "class=\"legend\"", content);
}

// Tints every second phase, draws the line at its start and names the phases below the title.
std::string phases(const std::vector<double>& phase, const Columns& columns) {
  std::string out;
  for (std::size_t begin = 0, end = 0, number = 0; begin < phase.size(); begin = end, ++number) {
    while (end < phase.size() && phase[end] == phase[begin]) ++end;
    if (end == begin) ++end;
    const double x = columns.edge(begin), width = columns.edge(end) - x;
    for (const auto& [top, bottom] : {std::pair(kLossTop, kLossBottom), std::pair(kDiceTop, kDiceBottom)}) {
      if (number % 2 == 1) {
        out += fmt::format("<rect x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\" fill=\"#f8fafc\"/>\n", x, top,
                           width, bottom - top);
      }
      if (begin > 0) {
        out += fmt::format(
            "<line x1=\"{0:.1f}\" y1=\"{1}\" x2=\"{0:.1f}\" y2=\"{2}\" stroke=\"#64748b\" "
            "stroke-dasharray=\"4 4\"/>\n",
            x, top, bottom);
      }
    }
    if (std::isfinite(phase[begin])) {
      out += text(x + width / 2, kLossTop - 36, "middle", "class=\"phase\"",
                  fmt::format("{}{:g}", width < 60 ? "" : "phase ", phase[begin]));
    }
  }
  return out;
}

std::string best_mark(const Curve& dice, const std::vector<double>& phase, const Panel& panel, const Columns& columns) {
  std::size_t best = dice.values.size();
  for (std::size_t i = 0; i < dice.values.size(); ++i) {
    if (std::isfinite(dice.values[i]) && (best == dice.values.size() || dice.values[i] > dice.values[best])) best = i;
  }
  if (best == dice.values.size()) return text(kRight, panel.top - 12, "end", "class=\"legend\"", "no epoch yet");
  const double x = columns.middle(best), y = panel.y(dice.values[best]);
  const std::string label = fmt::format("best {:.4f}, epoch {} (phase {:g})", dice.values[best], best + 1, phase[best]);
  return fmt::format(
             "<line x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{0:.1f}\" y2=\"{2}\" stroke=\"{3}\" "
             "stroke-dasharray=\"2 3\"/>\n<circle cx=\"{0:.1f}\" cy=\"{1:.1f}\" r=\"5.5\" fill=\"#ffffff\" "
             "stroke=\"{3}\" stroke-width=\"2.5\"/>\n",
             x, y, panel.bottom, kDiceColour) +
         legend(panel, {{kDiceColour, "\u25cb", label}});
}

}  // namespace

std::string curves_svg(const CsvTable& metrics, std::string_view title) {
  const std::vector<double> phase = column(metrics, "phase");
  const std::vector<Curve> losses = {{kTrainColour, column(metrics, "train_loss")},
                                     {kValidationColour, column(metrics, "val_loss")}};
  const Curve dice = {kDiceColour, column(metrics, "val_dice")};
  const Columns columns{metrics.rows.size()};
  const Panel loss_panel = make_panel(kLossTop, kLossBottom, losses, true, std::numeric_limits<double>::infinity());
  const Panel dice_panel = make_panel(kDiceTop, kDiceBottom, {dice}, false, 1);

  std::string out = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"Inter, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif\">\n"
      "<title>{2}</title>\n"
      "<style>.title {{ font-size: 18px; font-weight: 600; fill: #0f172a; }} .panel {{ font-size: 14px; font-weight: "
      "600; fill: #1e293b; }} .legend {{ font-size: 12.5px; fill: #334155; }} .tick {{ font-size: 12px; fill: #64748b; "
      "}} .phase {{ font-size: 12px; fill: #64748b; letter-spacing: 0.04em; }}</style>\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n",
      kWidth, kHeight, xml_text(title));
  out += text(kLeft, 38, "start", "class=\"title\"", xml_text(title));
  out += phases(phase, columns);
  out += text(kLeft, kLossTop - 12, "start", "class=\"panel\"", "Loss");
  out += legend(loss_panel, {{kTrainColour, "\u25cf", "training"}, {kValidationColour, "\u25cf", "validation"}});
  out += axes(loss_panel, columns);
  for (const Curve& curve : losses) out += line(curve, phase, loss_panel, columns);
  out += text(kLeft, kDiceTop - 12, "start", "class=\"panel\"", "Validation Dice");
  out += axes(dice_panel, columns);
  out += line(dice, phase, dice_panel, columns);
  out += best_mark(dice, phase, dice_panel, columns);
  out += text((kLeft + kRight) / 2, kDiceBottom + 44, "middle", "class=\"legend\"", "epoch");
  return out + "</svg>\n";
}

}  // namespace unet
