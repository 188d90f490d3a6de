#include "apps/numbers.h"

#include <fmt/core.h>

#include <cmath>
#include <functional>

#include "engine/core/text.h"

namespace unet {
namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& text, const std::string& expected) {
  const std::size_t comma = name.find(',');
  throw CLI::ValidationError(comma == name.npos ? name : name.substr(comma + 1),
                             fmt::format("\"{}\" is not {}", text, expected));
}

std::int64_t whole_number(const std::string& name, const std::string& text, Within within) {
  const std::optional<std::int64_t> value = plain_number(text);
  if (!value || *value < within.low || *value > within.high) {
    refuse(name, text, fmt::format("a whole number from {} to {}", within.low, within.high));
  }
  return *value;
}

double real_number(const std::string& name, const std::string& text, Real kind) {
  const std::optional<double> value = plain_real(text);
  const bool fits = value && *value >= 0 && std::isfinite(*value) && (kind != Real::positive || *value > 0) &&
                    (kind != Real::share || *value <= 1);
  if (!fits) {
    refuse(name, text,
           kind == Real::positive ? "a number above 0"
           : kind == Real::share  ? "a number from 0 to 1"
                                  : "a number from 0 on");
  }
  return *value;
}

CLI::Option* add(CLI::App& app, const std::string& name, const std::string& help, const char* type,
                 std::function<void(const std::string&)> set) {
  return app.add_option_function<std::string>(name, std::move(set), help)->type_name(type);
}

}  // namespace

CLI::Option* add_number(CLI::App& app, const std::string& name, std::int64_t& value, Within within,
                        const std::string& help) {
  return add(app, name, help, "N",
             [name, within, &value](const std::string& text) { value = whole_number(name, text, within); })
      ->default_str(std::to_string(value));
}

CLI::Option* add_number(CLI::App& app, const std::string& name, int& value, Within within, const std::string& help) {
  return add(app, name, help, "N",
             [name, within, &value](const std::string& text) {
               value = static_cast<int>(whole_number(name, text, within));
             })
      ->default_str(std::to_string(value));
}

CLI::Option* add_number(CLI::App& app, const std::string& name, std::optional<std::int64_t>& value, Within within,
                        const std::string& help) {
  return add(app, name, help, "N",
             [name, within, &value](const std::string& text) { value = whole_number(name, text, within); });
}

CLI::Option* add_number(CLI::App& app, const std::string& name, double& value, Real kind, const std::string& help) {
  return add(app, name, help, "X",
             [name, kind, &value](const std::string& text) { value = real_number(name, text, kind); })
      ->default_str(fmt::format("{}", value));
}

CLI::Option* add_number(CLI::App& app, const std::string& name, std::optional<double>& value, Real kind,
                        const std::string& help) {
  return add(app, name, help, "X",
             [name, kind, &value](const std::string& text) { value = real_number(name, text, kind); });
}

CLI::Option* add_seed(CLI::App& app, const std::string& name, std::uint64_t& value, const std::string& help) {
  return add(app, name, help, "N",
             [name, &value](const std::string& text) {
               const std::optional<std::uint64_t> seed = plain_unsigned(text);
               if (!seed) refuse(name, text, "a whole number from 0 to 18446744073709551615");
               value = *seed;
             })
      ->default_str(std::to_string(value));
}

}  // namespace unet
