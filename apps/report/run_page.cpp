#include "apps/report/run_page.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "apps/report/figure.h"
#include "apps/report/html.h"
#include "apps/report/metrics_table.h"
#include "apps/report/page.h"
#include "apps/report/review_sections.h"
#include "apps/run/overlay.h"
#include "apps/run/run_files.h"
#include "engine/core/text.h"

namespace unet {
namespace {

std::string tile(const std::string& value, const std::string& name) {
  return element("li", element("b", value) + element("span", name)) + "\n";
}

/// The row of an epoch; nothing where there is none.
std::optional<std::size_t> row_of(const CsvTable& metrics, const std::optional<Best>& best) {
  if (!best) return std::nullopt;
  const std::vector<double> phase = numbers_of(metrics, "phase"), epoch = numbers_of(metrics, "epoch");
  for (std::size_t i = 0; i < phase.size(); ++i) {
    if (phase[i] == best->phase && epoch[i] == static_cast<double>(best->epoch)) return i;
  }
  return std::nullopt;
}

/// A cell of metrics.csv.
std::optional<double> figure(const CsvTable& metrics, const std::string& column, std::size_t row) {
  const double value = numbers_if_there(metrics, column).at(row);
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

std::string column_of(const char* figure, const std::string& class_name) {
  return escaped(fmt::format("val_{}_{}", figure, class_name));
}

std::string duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole >= 3600) return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
  if (whole >= 60) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{:.1f} s", seconds);
}

std::string status(const RunFacts& facts, const CsvTable& metrics, const RunMoment& moment) {
  if (metrics.rows.empty()) return fmt::format("Begun {}; no epoch is over yet.", html_text(moment.begun));
  const auto phase = static_cast<std::size_t>(numbers_of(metrics, "phase").back());
  const auto epoch = static_cast<std::int64_t>(numbers_of(metrics, "epoch").back());
  const std::string at =
      fmt::format("epoch {}{} of phase {} of {}", epoch,
                  phase <= facts.recipe.size() ? fmt::format("/{}", facts.recipe[phase - 1].epochs) : "", phase,
                  facts.recipe.size());
  if (moment.finished) {
    return fmt::format("Finished {} after {}; begun {}.", html_text(moment.written), at, html_text(moment.begun));
  }
  return fmt::format(
      "State after {}, written {}; begun {}. While the run goes on this page is written anew after each epoch.", at,
      html_text(moment.written), html_text(moment.begun));
}

std::string head(const RunFacts& facts, const CsvTable& metrics, std::optional<std::size_t> best,
                 const RunMoment& moment) {
  std::string out = block("p", "unet.cpp, training\n", " class=\"soft\"");
  out += block("h1", html_text(facts.title) + "\n");
  out += fmt::format("{}\n{}\n</p>\n", moment.finished ? kFinishedMark : "<p id=\"status\" class=\"note\">",
                     status(facts, metrics, moment));
  out += block("p", html_text(facts.network) + "\n", " class=\"soft\"");
  if (!best) return out;
  const auto tile_of = [&](const char* column, const std::string& name) {
    return tile(number(figure(metrics, column, *best)), name);
  };
  std::string tiles = tile_of("val_dice", "validation Dice, mean of the images");
  tiles += tile(fmt::format("{}, phase {}", *figure(metrics, "epoch", *best), *figure(metrics, "phase", *best)),
                fmt::format("best epoch, by {}", html_text(facts.best_by)));
  tiles += tile_of("val_iou", "IoU, mean of the images");
  tiles += tile_of("val_dice_dataset", "Dice, all pixels as one image");
  tiles += tile_of("val_pixel_accuracy", "share of pixels that are right");
  tiles += tile_of("val_loss", "validation loss");
  return out + block("ul", tiles, " class=\"tiles\" id=\"best\"");
}

std::string curves(const RunFacts& facts, const CsvTable& metrics) {
  if (metrics.rows.empty()) return "";
  const std::vector<double> phase = numbers_of(metrics, "phase"), dice = numbers_of(metrics, "val_dice");
  const auto ends = [](const std::vector<double>& values) {
    return fmt::format("{:.4g} at first, {:.4g} at last", values.front(), values.back());
  };
  std::vector<NamedCurve> of_classes;
  for (std::size_t c = 0; c < facts.classes.size(); ++c) {
    of_classes.push_back(
        {class_title(facts.classes, c), numbers_if_there(metrics, column_of("dice", facts.classes[c])), {}});
  }
  const std::vector<double> train = numbers_of(metrics, "train_loss"), val = numbers_of(metrics, "val_loss"),
                            lr = numbers_of(metrics, "lr"), seconds = numbers_of(metrics, "seconds");
  std::string out;
  out += epoch_figure("Loss", fmt::format("Loss over the epochs: training {}; validation {}", ends(train), ends(val)),
                      phase, {{"training", train, {}}, {"validation", val, {}}}, {.from_zero = true});
  out += epoch_figure(
      "Validation Dice",
      fmt::format("Validation Dice over the epochs, mean of the images: {}, and its moving average", ends(dice)), phase,
      {{"mean of the images", dice, {}}, {"moving average (0.9)", moving_average(dice), {}}}, {.most = 1});
  out += epoch_figure("Dice of each class", "Validation Dice of each class over the epochs, all images as one", phase,
                      of_classes, {.most = 1});
  out += epoch_figure("Learning rate", fmt::format("Learning rate over the epochs: {}", ends(lr)), phase,
                      {{"learning rate", lr, {}}}, {.from_zero = true});
  out += epoch_figure("Seconds an epoch", fmt::format("Seconds of each epoch, validation included: {}", ends(seconds)),
                      phase, {{"seconds", seconds, {}}}, {.from_zero = true});
  return block("div", out, " class=\"grid\"");
}

std::string class_rows(const RunFacts& facts, const CsvTable& metrics, std::size_t row, const Review* review) {
  HtmlTable table{.caption = "All images taken as one",
                  .head = {"class", "Dice", "IoU", "precision", "recall"},
                  .rows = {},
                  .kind = ""};
  if (review != nullptr) table.head.push_back("pixels");
  for (std::size_t c = 0; c < facts.classes.size(); ++c) {
    const bool background = c == 0 && facts.background == Background::class0;
    std::vector<std::string> cells{html_text(class_title(facts.classes, c)) + (background ? " (background)" : "")};
    for (const char* name : {"dice", "iou", "precision", "recall"}) {
      cells.push_back(number(figure(metrics, column_of(name, facts.classes[c]), row)));
    }
    if (review != nullptr && c < review->classes.size()) {
      std::int64_t pixels = 0;
      for (std::size_t p = 0; p < review->classes.size(); ++p) pixels += review->pixels(c, p);
      cells.push_back(count(pixels));
    }
    table.rows.push_back(std::move(cells));
  }
  return html_of(table);
}

std::string epoch_of(const Review& review) {
  return fmt::format("Epoch {} of phase {}, the best so far.", review.epoch, review.phase);
}

std::string machine(const RunFacts& facts, const CsvTable& metrics, const RunMoment& moment) {
  NamedTexts rows = facts.machine;
  const std::vector<double> rates = numbers_of(metrics, "images_per_second"), seconds = numbers_of(metrics, "seconds");
  if (!rates.empty()) {
    rows.emplace_back("speed", fmt::format("{:.1f} images a second in the last epoch's training", rates.back()));
    rows.emplace_back(
        "time",
        fmt::format("{} in {} epochs", duration(std::accumulate(seconds.begin(), seconds.end(), 0.0)), seconds.size()));
  }
  constexpr double kMib = 1 << 20;
  rows.emplace_back(
      "memory", fmt::format("{:.0f} MiB of this process at its peak", static_cast<double>(moment.peak_bytes) / kMib));
  if (moment.device_peak_bytes > 0) {
    rows.emplace_back("memory of the device",
                      fmt::format("{:.0f} MiB at its peak", static_cast<double>(moment.device_peak_bytes) / kMib));
  }
  return pairs_table("", rows);
}

std::string phases(const RunFacts& facts) {
  HtmlTable table{
      .caption = "", .head = {"phase", "loss", "epochs", "learning rate", "begins with"}, .rows = {}, .kind = "words"};
  for (const Phase& phase : facts.recipe) {
    table.rows.push_back({std::to_string(phase.number), html_text(nn::text_of(phase.loss)),
                          std::to_string(phase.epochs), fmt::format("{:g}", phase.lr),
                          phase.number == 1          ? "the start"
                          : phase.from == From::best ? "the best of the phase before"
                                                     : "the end of the phase before"});
  }
  return html_of(table);
}

}  // namespace

std::string readable_time(const std::string& t) {
  if (!is_timestamp(t)) return t;
  return fmt::format("{}-{}-{} {}:{}:{} UTC", t.substr(0, 4), t.substr(4, 2), t.substr(6, 2), t.substr(9, 2),
                     t.substr(11, 2), t.substr(13, 2));
}

std::string run_page(const RunFacts& facts, const CsvTable& metrics, const std::optional<Best>& best,
                     const Review* review, const RunMoment& moment) {
  const std::optional<std::size_t> row = row_of(metrics, best);
  std::string body = head(facts, metrics, row, moment);
  body += section("curves", "Course", curves(facts, metrics));
  if (row) {
    body += section(
        "classes", "Classes",
        element("p", fmt::format("Validation after epoch {} of phase {}, the best so far.", best->epoch, best->phase),
                " class=\"soft\"") +
            class_rows(facts, metrics, *row, review));
  }
  if (review != nullptr) {
    const std::string of = element("p", epoch_of(*review), " class=\"soft\"") + "\n";
    body += section("confusion", "Confusion", of + confusion_tables(*review));
    body += section("certainty", "Certainty and spread", of + review_charts(*review));
    body += section("pictures", "Worst, median, best of the validation", of + picture_rows(*review));
    if (!review->batch.empty()) {
      body += section("batch", "A training batch as the network saw it",
                      of + colour_legend(*review, false) + batch_pictures(*review));
    }
  }
  body += section("data", "Data", lines_block(facts.data) + warning_list(facts.warnings));
  body += section("phases", "Phases", phases(facts));
  body += section("options", "Options other than their defaults",
                  facts.options.empty() ? element("p", "None.") : pairs_table("", facts.options));
  body += section("machine", "Machine", machine(facts, metrics, moment));
  body +=
      section("commands", "Evaluate and predict", lines_block(fmt::format("{}\n{}\n", facts.evaluate, facts.predict)));
  return html_page(facts.title, body);
}

}  // namespace unet
