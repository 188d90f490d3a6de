// The words of a command line, of any program.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

namespace unet {

/// Parses. A value means: leave the program with this exit code, 0 after --help and --version, 2 for wrong use, 1 for a
/// file of options that cannot be read; all said already. Throws Error if what was asked for could not be printed.
std::optional<int> parse_words(CLI::App& app, int argc, char** argv);

/// Every long name that the app takes, dashes included: for messages that name the nearest.
std::vector<std::string> long_names(const CLI::App& app);

}  // namespace unet
