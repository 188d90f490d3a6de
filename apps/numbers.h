// Numbers on the command line and in TOML files: plain decimal ones within their bounds, or wrong use.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

namespace unet {

/// The smallest and the largest value that an option takes.
struct Within {
  std::int64_t low, high;
};
/// Above 0, or from 0 on, both finite; or 0 to 1.
enum class Real { positive, not_negative, share };

CLI::Option* add_number(CLI::App& app, const std::string& name, std::int64_t& value, Within within,
                        const std::string& help);
CLI::Option* add_number(CLI::App& app, const std::string& name, int& value, Within within, const std::string& help);
/// No default is shown: help says what its absence means.
CLI::Option* add_number(CLI::App& app, const std::string& name, std::optional<std::int64_t>& value, Within within,
                        const std::string& help);
CLI::Option* add_number(CLI::App& app, const std::string& name, double& value, Real kind, const std::string& help);
CLI::Option* add_number(CLI::App& app, const std::string& name, std::optional<double>& value, Real kind,
                        const std::string& help);
/// 0 to 2^64 - 1.
CLI::Option* add_seed(CLI::App& app, const std::string& name, std::uint64_t& value, const std::string& help);

}  // namespace unet
