#include "apps/report/curves_svg.h"

#include <cmath>
#include <vector>

#include "apps/report/chart.h"
#include "apps/report/html.h"
#include "apps/report/metrics_table.h"
#include "engine/core/error.h"

namespace unet {
namespace {

// Pixels. Both panels share the x axis; the text above a panel is its title and legend.
constexpr double kWidth = 900, kHeight = 640, kLeft = 68, kRight = 872;
constexpr Panel kLoss{104, 322}, kDice{378, 580};
constexpr const char* kTrainColour = "#2563eb";
constexpr const char* kValidationColour = "#ea580c";
constexpr const char* kDiceColour = "#059669";

struct LegendEntry {
  const char* colour;
  const char* mark;
  std::string label;
};

// Right-aligned on the line of the panel's title. The marks are characters of the text, so that they stand right in any
// font.
std::string legend(const Panel& panel, const std::vector<LegendEntry>& entries) {
  std::string content;
  for (const auto& [colour, mark, label] : entries) {
    if (!content.empty()) content += "\u00a0\u00a0\u00a0 ";
    content += fmt::format("<tspan fill=\"{}\" font-weight=\"700\">{}</tspan>\u00a0{}", colour, mark, label);
  }
  return svg_text(kRight, panel.top - 12, "end", "class=\"legend\"", content);
}

std::string best_mark(const Curve& dice, const std::vector<double>& phase, const Axis& x_axis, const Axis& y_axis) {
  std::size_t best = dice.values.size();
  for (std::size_t i = 0; i < dice.values.size(); ++i) {
    if (std::isfinite(dice.values[i]) && (best == dice.values.size() || dice.values[i] > dice.values[best])) best = i;
  }
  if (best == dice.values.size()) return svg_text(kRight, kDice.top - 12, "end", "class=\"legend\"", "no epoch yet");
  const double x = x_axis.at(static_cast<double>(best + 1)), y = y_axis.at(dice.values[best]);
  const std::string label = fmt::format("best {:.4f}, epoch {} (phase {:g})", dice.values[best], best + 1, phase[best]);
  return fmt::format(
             "<line x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{0:.1f}\" y2=\"{2}\" stroke=\"{3}\" "
             "stroke-dasharray=\"2 3\"/>\n<circle cx=\"{0:.1f}\" cy=\"{1:.1f}\" r=\"5.5\" fill=\"#ffffff\" "
             "stroke=\"{3}\" stroke-width=\"2.5\"/>\n",
             x, y, kDice.bottom, kDiceColour) +
         legend(kDice, {{kDiceColour, "\u25cb", label}});
}

}  // namespace

std::string curves_svg(const CsvTable& metrics, std::string_view title) {
  const std::vector<double> phase = numbers_of(metrics, "phase");
  const std::vector<Curve> losses = {{kTrainColour, numbers_of(metrics, "train_loss"), ""},
                                     {kValidationColour, numbers_of(metrics, "val_loss"), ""}};
  const Curve dice = {kDiceColour, numbers_of(metrics, "val_dice"), ""};
  const ChartColours colours;
  const std::size_t epochs = metrics.rows.size();
  const Axis x = epoch_axis(epochs, kLeft, kRight);
  const Axis of_loss = value_axis(losses, {.from_zero = true}, kLoss.bottom, kLoss.top);
  const Axis of_dice = value_axis({dice}, {.most = 1}, kDice.bottom, kDice.top);

  std::string out = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"Inter, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif\">\n"
      "<title>{2}</title>\n"
      "<style>.title {{ font-size: 18px; font-weight: 600; fill: #0f172a; }} .panel {{ font-size: 14px; font-weight: "
      "600; fill: #1e293b; }} .legend {{ font-size: 12.5px; fill: #334155; }} .tick {{ font-size: 12px; fill: #64748b; "
      "}} .phase {{ font-size: 12px; fill: #64748b; letter-spacing: 0.04em; }}</style>\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n",
      kWidth, kHeight, html_text(title));
  out += svg_text(kLeft, 38, "start", "class=\"title\"", html_text(title));
  out += phase_marks(phase, x, {kLoss, kDice}, kLoss.top - 36, colours);
  out += svg_text(kLeft, kLoss.top - 12, "start", "class=\"panel\"", "Loss");
  out += legend(kLoss, {{kTrainColour, "\u25cf", "training"}, {kValidationColour, "\u25cf", "validation"}});
  out += y_ticks(of_loss, kLeft, kRight, colours) + epoch_ticks(x, epochs, kLoss.bottom, colours);
  for (const Curve& curve : losses) out += line_of(curve, phase, x, of_loss);
  out += svg_text(kLeft, kDice.top - 12, "start", "class=\"panel\"", "Validation Dice");
  out += y_ticks(of_dice, kLeft, kRight, colours) + epoch_ticks(x, epochs, kDice.bottom, colours);
  out += line_of(dice, phase, x, of_dice);
  out += best_mark(dice, phase, x, of_dice);
  out += svg_text((kLeft + kRight) / 2, kDice.bottom + 44, "middle", "class=\"legend\"", "epoch");
  return out + "</svg>\n";
}

}  // namespace unet
