#include "apps/preset.h"

#include <fmt/core.h>

#include <algorithm>

namespace unet {

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all{
      {"default", {}},
      // No option that was tried gained more than its standard error over seeds (bench/README.md).
      {"from-scratch", {}},
      {"pretrained", {}},
      {"small-data", {}},
  };
  return all;
}

OptionKind preset(std::string& value) {
  std::vector<std::string> names;
  for (const Preset& one : presets()) names.push_back(one.name);
  return words(value, names);
}

const Preset& preset_named(const std::string& name) {
  return *std::find_if(presets().begin(), presets().end(), [&](const Preset& one) { return one.name == name; });
}

std::string take_preset(CLI::App& app, const Preset& preset) {
  std::string taken, given;
  for (const auto& [option_name, value] : preset.options) {
    CLI::Option* const option = app.get_option(fmt::format("--{}", option_name));
    if (option->count() > 0) {
      given += fmt::format("{}--{}", given.empty() ? "" : ", ", option_name);
      continue;
    }
    option->add_result(value);
    option->run_callback();
    taken += fmt::format(" --{}={}", option_name, value);
  }
  if (preset.options.empty()) {
    return preset.name == std::string("default") ? "" : fmt::format("preset {}: the defaults", preset.name);
  }
  return fmt::format("preset {}:{}{}", preset.name, taken.empty() ? " nothing" : taken,
                     given.empty() ? "" : fmt::format(" (given otherwise: {})", given));
}

}  // namespace unet
