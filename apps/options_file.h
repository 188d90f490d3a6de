// Options from a file: flat TOML.
#pragma once

#include <CLI/CLI.hpp>

namespace unet {

/// Adds --config FILE: a `name = value` a line, the names of the app's options without dashes, the values strings,
/// numbers, true or false; what stands on the command line wins. Behind them, where the app has --phase, sections
/// [[phase]] of `loss`, `epochs`, `lr`, `from`. Other sections, lists, unknown names and names given twice are wrong
/// use (CLI::ConfigError with file and line): nothing is passed over. At most 1 MiB is read.
void add_options_file(CLI::App& app);

}  // namespace unet
