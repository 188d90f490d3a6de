#include "models/normalization.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/core/error.h"

namespace unet::models {
namespace {

/// The numbers between commas, NaN for what is none; of a list that is too long no more than shows it.
std::vector<float> numbers(std::string_view text, std::size_t expected) {
  std::vector<float> out;
  for (std::size_t end = 0; end != text.npos && out.size() <= expected;) {
    end = text.find(',');
    out.push_back(static_cast<float>(plain_real(text.substr(0, end)).value_or(std::nan(""))));
    if (end != text.npos) text.remove_prefix(end + 1);
  }
  return out;
}

}  // namespace

kernels::NormalizeSpec parse_normalization(const std::string& text, std::int64_t channels) {
  const auto C = static_cast<std::size_t>(channels);
  kernels::NormalizeSpec out;
  if (text == "unit") {
    out = {std::vector<float>(C, 0), std::vector<float>(C, 1)};
  } else if (text == "imagenet") {
    out = imagenet_normalization();
  } else if (const std::size_t slash = text.find('/'); slash != text.npos) {
    out = {numbers(text.substr(0, slash), C), numbers(text.substr(slash + 1), C)};
  }
  const auto finite = [](float value) { return std::isfinite(value); };
  if (out.mean.size() == C && out.deviation.size() == C && std::ranges::all_of(out.mean, finite) &&
      std::ranges::all_of(out.deviation, [&](float value) { return finite(value) && value > 0; })) {
    return out;
  }
  throw Error(
      "\"{}\", expected imagenet, unit (x/255) or means and deviations above 0, {} of each, such as "
      "0.5,0.5,0.5/0.25,0.25,0.25",
      printable(text), channels);
}

std::string text_of(const kernels::NormalizeSpec& spec) {
  const auto is = [&](const kernels::NormalizeSpec& other) {
    return spec.mean == other.mean && spec.deviation == other.deviation;
  };
  if (is(imagenet_normalization())) return "imagenet";
  if (is(parse_normalization("unit", static_cast<std::int64_t>(spec.mean.size())))) return "unit";
  return fmt::format("{}/{}", fmt::join(spec.mean, ","), fmt::join(spec.deviation, ","));
}

std::optional<kernels::NormalizeSpec> normalization_of(const TensorFile& file, std::int64_t channels) {
  const auto found = file.metadata().find(kNormalizationKey);
  if (found == file.metadata().end()) {
    return file.metadata().contains("image_size") ? std::optional(imagenet_normalization()) : std::nullopt;
  }
  try {
    return parse_normalization(found->second, channels);
  } catch (const Error& error) {
    throw Error("{}: metadata \"{}\" is {}", file.path().string(), kNormalizationKey, error.what());
  }
}

}  // namespace unet::models
