// --preset: options for a purpose, under a name.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

#include "apps/option_table.h"

namespace unet {

struct Preset {
  const char* name;
  std::vector<std::pair<const char*, const char*>> options;  // as on the command line, without dashes
};
const std::vector<Preset>& presets();
const Preset& preset_named(const std::string& name);  // one of them

/// The option itself: one of the names.
OptionKind preset(std::string& value);

/// Gives the options of the preset to those that neither the command line nor the file of options gave. Returns a line
/// that says which; nothing for the default.
std::string take_preset(CLI::App& app, const Preset& preset);

}  // namespace unet
