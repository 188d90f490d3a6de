#include "apps/preset.h"

#include <fmt/core.h>

#include <algorithm>

namespace unet {

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all{
      {"default", {}},
      // No option that was tried gained more than its standard error over seeds (bench/README.md).
      {"from-scratch", {}},
      // Of a network that has an encoder.
      {"pretrained", {{"freeze-encoder", "1"}, {"encoder-lr-scale", "0.1"}}},
      {"small-data", {}},
  };
  return all;
}

OptionKind preset(std::string& value) {
  std::vector<std::string> names;
  for (const Preset& one : presets()) names.push_back(one.name);
  return words(value, names);
}

std::string take_preset(CLI::App& app, const std::string& name) {
  const auto found =
      std::find_if(presets().begin(), presets().end(), [&](const Preset& one) { return one.name == name; });
  std::string taken, given;
  for (const auto& [option_name, value] : found->options) {
    CLI::Option* const option = app.get_option(fmt::format("--{}", option_name));
    if (option->count() > 0) {
      given += fmt::format("{}--{}", given.empty() ? "" : ", ", option_name);
      continue;
    }
    option->add_result(value);
    option->run_callback();
    taken += fmt::format(" --{}={}", option_name, value);
  }
  if (found->options.empty()) return name == presets().front().name ? "" : fmt::format("preset {}: the defaults", name);
  return fmt::format("preset {}:{}{}", name, taken.empty() ? " nothing" : taken,
                     given.empty() ? "" : fmt::format(" (given otherwise: {})", given));
}

}  // namespace unet
