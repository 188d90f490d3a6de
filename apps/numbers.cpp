#include "apps/numbers.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "engine/core/text.h"

namespace unet {
namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& text, const std::string& expected) {
  const std::size_t begin = std::min(name.find("--"), name.size());  // of the first long name
  throw CLI::ValidationError(name.substr(begin, name.find(',', begin) - begin),
                             fmt::format("\"{}\" is not {}", text, expected));
}

std::string expected(Real kind) {
  switch (kind) {
    case Real::positive:
      return "a number above 0";
    case Real::not_negative:
      return "a number from 0 on";
    case Real::share:
      return "a number from 0 to 1";
    case Real::below_one:
      return "a number from 0 on and below 1";
    case Real::between:
      return "a number above 0 and below 1";
  }
  return "a number";
}

}  // namespace

std::int64_t number_of(const std::string& option, const std::string& text, Within within) {
  const std::optional<std::int64_t> value = plain_number(text);
  if (!value || *value < within.low || *value > within.high) {
    refuse(option, text, fmt::format("a whole number from {} to {}", within.low, within.high));
  }
  return *value;
}

double number_of(const std::string& option, const std::string& text, Real kind) {
  const std::optional<double> value = plain_real(text);
  const bool above_0 = kind == Real::positive || kind == Real::between;
  const bool below_1 = kind == Real::below_one || kind == Real::between;
  const bool fits = value && (above_0 ? *value > 0 : *value >= 0) && std::isfinite(*value) &&
                    (kind != Real::share || *value <= 1) && (!below_1 || *value < 1);
  if (!fits) refuse(option, text, expected(kind));
  return *value;
}

std::string told(double value) { return fmt::format("{}", value); }

CLI::Option* add_seed(CLI::App& app, const std::string& name, std::uint64_t& value, const std::string& help) {
  return app
      .add_option_function<std::string>(
          name,
          [name, &value](const std::string& text) {
            const std::optional<std::uint64_t> seed = plain_unsigned(text);
            if (!seed) refuse(name, text, "a whole number from 0 to 18446744073709551615");
            value = *seed;
          },
          help)
      ->type_name("N")
      ->default_str(std::to_string(value));
}

}  // namespace unet
