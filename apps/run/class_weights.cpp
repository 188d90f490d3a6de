#include "apps/run/class_weights.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/core/error.h"
#include "engine/core/nearest.h"
#include "engine/core/text.h"

namespace unet {
namespace {

const std::vector<std::string> kWords{"none", "inverse", "median-frequency"};  // by Kind

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

}  // namespace

ClassWeights parse_class_weights(const std::string& text) {
  const auto word = std::find(kWords.begin(), kWords.end(), text);
  if (word != kWords.end()) return {static_cast<ClassWeights::Kind>(word - kWords.begin()), {}};
  ClassWeights out{ClassWeights::Kind::given, {}};
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::optional<double> weight = plain_real(text.substr(begin, end - begin));
    if (!weight || !(*weight >= 0) || !std::isfinite(*weight)) {
      throw Error("\"{}\" are no class weights, expected {} or numbers from 0 on, W,W,..., one for each class{}",
                  printable(text), fmt::join(kWords, ", "), nearest_text(text, kWords));
    }
    out.given.push_back(*weight);
    begin = end + 1;
  }
  if (*std::max_element(out.given.begin(), out.given.end()) == 0) {
    throw Error("the class weights {} leave nothing to learn, expected one above 0", printable(text));
  }
  return out;
}

std::string text_of(const ClassWeights& weights) {
  if (weights.kind == ClassWeights::Kind::given) return fmt::format("{}", fmt::join(weights.given, ","));
  return kWords[static_cast<std::size_t>(weights.kind)];
}

std::vector<double> weights_of(const ClassWeights& weights, const std::vector<ClassShare>& classes) {
  if (weights.kind == ClassWeights::Kind::none || weights.kind == ClassWeights::Kind::given) return weights.given;
  double pixels = 0, present = 0;
  std::vector<double> frequencies;
  for (const ClassShare& of_class : classes) {
    if (of_class.pixels == 0) continue;
    pixels += static_cast<double>(of_class.pixels);
    ++present;
    frequencies.push_back(static_cast<double>(of_class.pixels) / static_cast<double>(of_class.pixels_around));
  }
  std::vector<double> out(classes.size());
  for (std::size_t c = 0; c < classes.size(); ++c) {
    const auto of_class = static_cast<double>(classes[c].pixels);
    if (of_class == 0) continue;
    out[c] = weights.kind == ClassWeights::Kind::inverse
                 ? pixels / (present * of_class)
                 : median(frequencies) * static_cast<double>(classes[c].pixels_around) / of_class;
  }
  return out;
}

}  // namespace unet
