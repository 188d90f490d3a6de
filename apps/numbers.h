// Numbers on the command line and in TOML files: plain decimal ones within their bounds, or wrong use.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

namespace unet {

/// The smallest and the largest value that an option takes.
struct Within {
  std::int64_t low, high;
};
/// Above 0, or from 0 on, both finite; or 0 to 1, without 1, or without both.
enum class Real { positive, not_negative, share, below_one, between };

/// The number in a text. Throws CLI::ValidationError naming the option and what is expected.
std::int64_t number_of(const std::string& option, const std::string& text, Within within);
double number_of(const std::string& option, const std::string& text, Real kind);

std::string told(double value);
template <class Value>
std::string told(Value value) {
  return std::to_string(value);
}

/// Value may be an optional: no default is shown, help says what its absence means.
template <class Value, class Bounds>
CLI::Option* add_number(CLI::App& app, const std::string& name, Value& value, Bounds bounds, const std::string& help) {
  CLI::Option* option = app.add_option_function<std::string>(
      name,
      [name, bounds, &value](const std::string& text) {
        if constexpr (std::is_same_v<Value, int>) {
          value = static_cast<int>(number_of(name, text, bounds));
        } else {
          value = number_of(name, text, bounds);
        }
      },
      help);
  if constexpr (!requires { *value; }) option->default_str(told(value));
  return option->type_name(std::is_same_v<Bounds, Real> ? "X" : "N");
}
/// 0 to 2^64 - 1.
CLI::Option* add_seed(CLI::App& app, const std::string& name, std::uint64_t& value, const std::string& help);

}  // namespace unet
