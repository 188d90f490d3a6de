#include "apps/report/eval_page.h"

#include "apps/report/html.h"
#include "apps/report/page.h"
#include "apps/report/review_sections.h"

namespace unet {
namespace {

std::string figure_table(const std::vector<Figure>& figures) {
  HtmlTable table{.caption = "", .head = {"figure", "value", "meaning"}, .rows = {}, .kind = "words"};
  for (const Figure& f : figures) table.rows.push_back({f.key, number(f.value), html_text(f.meaning)});
  return html_of(table);
}

std::string class_rows(const SegmentationMetrics& metrics, const SegmentationMetrics& native, const Review& review) {
  HtmlTable table{.caption = "All images taken as one",
                  .head = {"class", "Dice", "IoU", "precision", "recall", "pixels", "images", "Dice at the masks' size",
                           "IoU at the masks' size"},
                  .rows = {},
                  .kind = ""};
  for (int c = 0; c < metrics.classes(); ++c) {
    const ClassScores s = metrics.of_class(c), full = native.of_class(c);
    const std::string title = html_text(title_of_class(review, static_cast<std::size_t>(c)));
    table.rows.push_back({metrics.is_scored(c) ? title : title + " (background)", number(s.dice), number(s.iou),
                          number(s.precision), number(s.recall), count(metrics.pixels(c)),
                          count(metrics.images_with(c)), number(full.dice), number(full.iou)});
  }
  return html_of(table);
}

}  // namespace

std::string eval_page(const EvalFacts& facts, const SegmentationMetrics& metrics, const SegmentationMetrics& native,
                      const Review& review) {
  std::string body = block("p", "unet.cpp, evaluation\n", " class=\"soft\"");
  body += block("h1", html_text(facts.title) + "\n");
  body += block("p", html_text(facts.subtitle) + "\n", " class=\"soft\"");
  body += section("figures", "Figures", figure_table(facts.figures) + lines_block(facts.remarks));
  body += section("classes", "Classes", class_rows(metrics, native, review));
  body += section("confusion", "Confusion", confusion_tables(review));
  body += section("certainty", "Certainty and spread", review_charts(review));
  body += section("pictures", "Worst, median, best", picture_rows(review));
  body += section("data", "Data", lines_block(facts.data) + warning_list(facts.warnings));
  body += section("machine", "Machine", pairs_table("", facts.machine));
  body += section("commands", "The command", lines_block(facts.command));
  return html_page(facts.title, body);
}

}  // namespace unet
