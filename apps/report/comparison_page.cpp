#include "apps/report/comparison_page.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "apps/report/figure.h"
#include "apps/report/html.h"
#include "apps/report/metrics_table.h"
#include "apps/report/page.h"
#include "apps/run/overlay.h"
#include "engine/core/text.h"

namespace unet {
namespace {

using Runs = std::vector<LeftRun>;

std::optional<double> figure(const LeftRun& run, const std::string& column) {
  const double value = numbers_if_there(run.metrics, column)[run.best];
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

/// A difference with its sign, marked as better or worse.
std::string delta(std::optional<double> from, std::optional<double> to) {
  if (!from || !to) return "\u2013";
  const double by = *to - *from;
  const char* kind = by > 0 ? "better" : by < 0 ? "worse" : "soft";
  return element("span", fmt::format("<data value=\"{}\">{:+.4f}</data>", by, by), fmt::format(" class=\"{}\"", kind));
}

std::vector<std::string> titles(const Runs& runs) {
  std::vector<std::string> out;
  for (const LeftRun& run : runs) out.push_back(html_text(run.title));
  return out;
}

std::string figures(const Runs& runs) {
  HtmlTable table{.caption = "Validation at the best epoch of each run", .head = {"figure"}, .rows = {}, .kind = ""};
  for (const std::string& title : titles(runs)) table.head.push_back(title);
  for (const auto& [column, name] : {std::pair{"val_dice", "Dice, mean of the images"},
                                     {"val_dice_dataset", "Dice, all pixels as one image"},
                                     {"val_iou", "IoU, mean of the images"},
                                     {"val_iou_dataset", "IoU, all pixels as one image"},
                                     {"val_pixel_accuracy", "share of pixels that are right"},
                                     {"val_cross_entropy", "cross-entropy"}}) {
    std::vector<std::string> row{name};
    for (const LeftRun& run : runs) row.push_back(number(figure(run, column)));
    table.rows.push_back(std::move(row));
  }
  std::vector<std::string> epochs{"best epoch"}, seconds{"seconds of all epochs"};
  for (const LeftRun& run : runs) {
    epochs.push_back(fmt::format("{} of phase {}", *figure(run, "epoch"), *figure(run, "phase")));
    double sum = 0;
    for (const double value : numbers_of(run.metrics, "seconds")) sum += value;
    seconds.push_back(number(sum, 1));
  }
  table.rows.push_back(std::move(epochs));
  table.rows.push_back(std::move(seconds));
  return html_of(table);
}

std::string options(const Runs& runs, bool with_paths) {
  std::set<std::string> names;
  for (const LeftRun& run : runs) {
    for (const auto& [name, value] : run.options) names.insert(name);
  }
  HtmlTable table{.caption = "", .head = {"option"}, .rows = {}, .kind = "words"};
  for (const std::string& title : titles(runs)) table.head.push_back(title);
  for (const std::string& name : names) {
    std::set<std::string> values;
    std::vector<std::string> row{html_text("--" + name)};
    for (const LeftRun& run : runs) {
      const std::string value = run.options.contains(name) ? run.options.at(name) : "(not there)";
      values.insert(value);
      row.push_back(html_text(with_paths ? value : without_places(value)));
    }
    if (values.size() > 1 && name != "output") table.rows.push_back(std::move(row));
  }
  return table.rows.empty() ? block("p", "None.\n") : html_of(table);
}

std::string classes(const Runs& runs) {
  HtmlTable table{
      .caption = "Dice of each class, all images as one; of the later runs what is more or less than in the first",
      .head = {"class"},
      .rows = {},
      .kind = ""};
  for (const std::string& title : titles(runs)) table.head.push_back(title);
  for (std::size_t c = 0; c < runs.front().classes.size(); ++c) {
    const std::string column = escaped("val_dice_" + runs.front().classes[c]);
    std::vector<std::string> row{html_text(class_title(runs.front().classes, c)), number(figure(runs.front(), column))};
    for (std::size_t i = 1; i < runs.size(); ++i) {
      row.push_back(fmt::format("{} {}", number(figure(runs[i], column)),
                                delta(figure(runs.front(), column), figure(runs[i], column))));
    }
    table.rows.push_back(std::move(row));
  }
  return html_of(table);
}

std::string curves(const Runs& runs) {
  std::string out;
  std::size_t epochs = 0;
  for (const LeftRun& run : runs) epochs = std::max(epochs, run.metrics.rows.size());
  for (const auto& [column, title, reach] : {std::tuple{"val_dice", "Validation Dice", Reach{.most = 1}},
                                             {"val_loss", "Validation loss", Reach{.from_zero = true}},
                                             {"train_loss", "Training loss", Reach{.from_zero = true}}}) {
    std::vector<NamedCurve> lines;
    for (const LeftRun& run : runs) {
      lines.push_back({run.title, numbers_of(run.metrics, column), numbers_of(run.metrics, "phase")});
    }
    out +=
        epoch_figure(title, fmt::format("{} of {} runs over their epochs", title, runs.size()), epochs, lines, reach);
  }
  return block("div", out, " class=\"grid\"");
}

std::string image_by_image(const Runs& runs) {
  const LeftRun& first = runs.front();
  std::string out;
  for (std::size_t i = 1; i < runs.size() && first.review; ++i) {
    if (!runs[i].review) continue;
    std::vector<std::pair<double, double>> points;
    std::int64_t better = 0, worse = 0;
    double sum = 0;
    for (const PairedDice& pair : paired(*first.review, *runs[i].review)) {
      points.emplace_back(pair.first, pair.second);
      better += pair.second > pair.first;
      worse += pair.second < pair.first;
      sum += pair.second - pair.first;
    }
    if (points.empty()) continue;
    const std::string says =
        fmt::format("{} against {}: of {} images {} are better and {} worse, by {:+.4f} on average", runs[i].title,
                    first.title, points.size(), better, worse, sum / static_cast<double>(points.size()));
    out += unit_scatter_figure(html_text(says), "Dice of each image in two runs. " + says, html_text(first.title),
                               html_text(runs[i].title), points);
  }
  if (out.empty()) return block("p", "No two of the runs have kept the Dice of each image.\n", " class=\"soft\"");
  return block("div", out, " class=\"grid\"");
}

std::string pictures(const std::vector<Regression>& regressions, const std::string& note) {
  std::string out;
  for (const Regression& r : regressions) {
    const auto cell = [&r](const std::string& title, const std::string& uri) {
      return fmt::format("<div><span>{0}</span><img src=\"{1}\" alt=\"{0}, {2}\"/></div>\n", html_text(title), uri,
                         html_text(r.name));
    };
    out += block("figure",
                 element("h3", html_text(fmt::format("{}: Dice {:.4f}, before {:.4f}", r.run, r.second, r.first))) +
                     block("div",
                           cell("photo", r.photo) + cell("truth", r.truth) + cell("first run", r.first_prediction) +
                               cell("this run", r.second_prediction),
                           " class=\"pictures\"") +
                     element("figcaption", html_text(r.name)),
                 " class=\"card\"");
  }
  if (!note.empty()) return block("p", html_text(note) + "\n", " class=\"soft\"");
  return out.empty() ? block("p", "No image is worse than in the first run.\n")
                     : block("div", out, " class=\"grid wide\"");
}

}  // namespace

std::string comparison_page(const std::vector<LeftRun>& runs, const std::vector<Regression>& regressions,
                            const std::string& note, bool with_paths) {
  std::string names;
  for (const LeftRun& run : runs) names += (names.empty() ? "" : ", ") + run.title;
  std::string body = block("p", "unet.cpp, comparison\n", " class=\"soft\"");
  body += block("h1", html_text(names) + "\n");
  body += block("p", fmt::format("{} runs on the same data; the others are held against the first.\n", runs.size()),
                " class=\"soft\"");
  body += section("figures", "Figures", figures(runs));
  body += section("curves", "Course", curves(runs));
  body += section("classes", "Classes", classes(runs));
  body += section("images", "Image by image", image_by_image(runs));
  body += section("regressions", "Worst against the first run", pictures(regressions, note));
  body += section("options", "Options that differ", options(runs, with_paths));
  return html_page(names, body);
}

}  // namespace unet
