#include "apps/report/review_sections.h"

#include <fmt/core.h>

#include <algorithm>

#include "apps/report/figure.h"
#include "apps/report/html.h"
#include "apps/run/overlay.h"

namespace unet {
namespace {

constexpr std::size_t kMostInMatrix = 24, kMostMistakes = 40, kMostCurves = 36;

std::string percent(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? "\u2013" : fmt::format("{:.1f}", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

/// The cell of a share, tinted as deep as that is.
std::string heat(double share, const std::string& content) {
  return fmt::format("<td style=\"--v:{:.3f}\">{}</td>", share, content);
}

std::string matrix(const Review& review, const std::vector<std::int64_t>& truth, bool shares) {
  const std::size_t C = review.classes.size();
  std::string head = element("th", "truth \\ prediction", " scope=\"col\""), body;
  for (std::size_t c = 0; c < C; ++c) head += element("th", html_text(title_of_class(review, c)), " scope=\"col\"");
  for (std::size_t t = 0; t < C; ++t) {
    std::string row = element("th", html_text(title_of_class(review, t)), " scope=\"row\"");
    for (std::size_t p = 0; p < C; ++p) {
      const std::int64_t pixels = review.pixels(t, p);
      const double share = truth[t] == 0 ? 0 : static_cast<double>(pixels) / static_cast<double>(truth[t]);
      row += heat(share, shares ? percent(pixels, truth[t]) : count(pixels));
    }
    body += element("tr", row) + "\n";
  }
  const std::string caption = element("caption", shares ? "Percent of the true class" : "Pixels");
  return scrolled(
      element("table", caption + block("thead", element("tr", head)) + block("tbody", body), " class=\"heat\""));
}

std::string largest_mistakes(const Review& review, const std::vector<std::int64_t>& truth) {
  struct Mistake {
    std::size_t truth, claimed;
    std::int64_t pixels;
  };
  std::vector<Mistake> all;
  for (std::size_t t = 0; t < review.classes.size(); ++t) {
    for (std::size_t p = 0; p < review.classes.size(); ++p) {
      if (t != p && review.pixels(t, p) > 0) all.push_back({t, p, review.pixels(t, p)});
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const Mistake& a, const Mistake& b) { return a.pixels > b.pixels; });
  all.resize(std::min(all.size(), kMostMistakes));
  HtmlTable table{.caption = fmt::format("The {} largest mistakes of {} classes", all.size(), review.classes.size()),
                  .head = {"truth", "taken for", "pixels", "% of the true class"},
                  .rows = {},
                  .kind = ""};
  for (const Mistake& m : all) {
    table.rows.push_back({html_text(title_of_class(review, m.truth)), html_text(title_of_class(review, m.claimed)),
                          count(m.pixels), percent(m.pixels, truth[m.truth])});
  }
  return html_of(table);
}

std::string dice_text(const std::optional<double>& dice) {
  return dice ? fmt::format("Dice {:.4f}", *dice) : "no Dice";
}

std::string picture(const std::string& title, const std::string& uri, const std::string& alt) {
  return fmt::format("<div><span>{}</span><img src=\"{}\" alt=\"{}\"/></div>\n", title, uri, html_text(alt));
}

std::string swatch(const Rgb& colour, const std::string& name) {
  return fmt::format("<li><i style=\"background:#{:02x}{:02x}{:02x}\"></i>{}</li>\n", colour[0], colour[1], colour[2],
                     html_text(name));
}

}  // namespace

std::string title_of_class(const Review& review, std::size_t c) { return class_title(review.classes, c); }

std::string confusion_tables(const Review& review) {
  std::vector<std::int64_t> truth(review.classes.size());
  for (std::size_t t = 0; t < truth.size(); ++t) {
    for (std::size_t p = 0; p < truth.size(); ++p) truth[t] += review.pixels(t, p);
  }
  if (truth.size() > kMostInMatrix) return largest_mistakes(review, truth);
  const std::string tables = matrix(review, truth, false) + matrix(review, truth, true);
  return truth.size() <= 4 ? element("div", tables, " class=\"grid\"") : tables;
}

std::string review_charts(const Review& review) {
  std::vector<NamedPoints> lines;
  for (std::size_t c = review.background == Background::class0 && review.classes.size() > 1 ? 1 : 0;
       c < review.classes.size() && lines.size() < kMostCurves; ++c) {
    const std::vector<RecallPoint> curve = recall_curve(review, c);
    if (curve.empty()) continue;
    NamedPoints line{fmt::format("{} (average precision {:.4f})", title_of_class(review, c), average_precision(curve)),
                     {}};
    for (const RecallPoint& point : curve) line.points.emplace_back(point.recall, point.precision);
    lines.push_back(std::move(line));
  }
  std::vector<double> dice;
  for (const ReviewedImage& image : review.images) {
    if (image.dice) dice.push_back(*image.dice);
  }
  std::sort(dice.begin(), dice.end());
  const std::string spread = dice.empty() ? "no image has a Dice"
                                          : fmt::format("lowest {:.4f}, median {:.4f}, highest {:.4f}", dice.front(),
                                                        dice[dice.size() / 2], dice.back());
  const std::string curves =
      unit_lines_figure("Precision over recall",
                        "Precision over recall of each class as the threshold of its probability falls from 0.99 to 0",
                        "recall", "precision", lines);
  const std::string histogram = unit_histogram_figure(
      fmt::format("Dice of the {} images", dice.size()),
      fmt::format("Histogram of the Dice of {} images: {}", dice.size(), spread), "Dice of an image", dice, spread);
  return block("div", curves + histogram, " class=\"grid\"");
}

std::string picture_rows(const Review& review) {
  std::string out;
  for (const ReviewedPicture& p : review.pictures) {
    const std::string name = html_text(p.name), dice = dice_text(p.dice);
    const std::string row = picture("photo", p.photo, "photo of " + p.name) +
                            picture("truth", p.truth, "true classes of " + p.name) +
                            picture("prediction", p.prediction, "predicted classes of " + p.name) +
                            picture("errors", p.errors, fmt::format("hits and errors of {}, {}", p.name, dice));
    out += block("figure",
                 element("h3", fmt::format("{}: {}", p.role, dice)) + block("div", row, " class=\"pictures\"") +
                     element("figcaption", name),
                 " class=\"card\"");
  }
  return out.empty() ? "" : colour_legend(review, true) + block("div", out, " class=\"grid wide\"");
}

std::string batch_pictures(const Review& review) {
  std::string out;
  for (std::size_t i = 0; i < review.batch.size(); ++i) {
    out += fmt::format("<img src=\"{}\" alt=\"training image {} with its classes tinted\"/>\n", review.batch[i], i + 1);
  }
  return out.empty() ? "" : block("div", out, " class=\"batch\"");
}

std::string colour_legend(const Review& review, bool errors) {
  std::string out;
  for (std::size_t c = review.background == Background::class0 ? 1 : 0; c < review.classes.size() && c < 64; ++c) {
    out += swatch(class_colour(static_cast<int>(c)), title_of_class(review, c));
  }
  out = block("ul", out, " class=\"legend\"");
  if (!errors) return out;
  auto colours = comparison_colours(review.background);
  if (review.background == Background::class0 && review.classes.size() == 2) colours.pop_back();  // no wrong class
  std::string meanings = block("li", "in the picture of errors:");  // where some classes' colours mean something else
  for (const auto& [colour, name] : colours) meanings += swatch(colour, name);
  return out + block("ul", meanings, " class=\"legend\"");
}

}  // namespace unet
