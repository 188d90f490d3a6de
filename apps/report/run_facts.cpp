#include "apps/report/run_facts.h"

#include <fmt/core.h>

#include <filesystem>
#include <map>

#include "apps/report/page.h"
#include "apps/run/data_options.h"
#include "apps/run/version.h"
#include "engine/core/text.h"
#include "kernels/cpu/parallel.h"
#include "models/normalization.h"

namespace unet {
namespace {

namespace fs = std::filesystem;

std::string last_part(const std::string& path) {
  const fs::path whole = fs::path(path).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

void replace_all(std::string& text, const std::string& part, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(part, at)) != text.npos; at += by.size()) text.replace(at, part.size(), by);
}

/// What the options would be if those that were given were not; what follows from another option follows it still.
TrainOptions defaults_beside(const TrainOptions& asked) {
  TrainOptions out;
  out.epochs = asked.epochs;
  out.lr = asked.lr;
  return out;
}

NamedTexts other_than_default(const TrainOptions& asked) {
  std::map<std::string, std::string> plain;
  for (const auto& [name, value] : resolved(TrainOptions())) plain[name] = value;
  for (const auto& [name, value] : resolved(defaults_beside(asked))) {
    if (name.starts_with("phase2-")) plain[name] = value;
  }
  NamedTexts out;
  for (const auto& [name, value] : resolved(asked)) {
    const auto usual = plain.find(name);
    if (name == "data" || name == "output" || (usual != plain.end() && usual->second == value)) continue;
    const std::string was = usual == plain.end() || usual->second.empty() ? "not given" : usual->second;
    out.emplace_back("--" + name, fmt::format("{} (default: {})", value.empty() ? "empty" : value, was));
  }
  return out;
}

}  // namespace

std::string without_places(std::string text, const DataOptions& data, const std::string& output) {
  for (const std::string& folder : {data.folder, output}) {
    std::error_code none;
    for (const fs::path& path : {fs::path(folder), fs::absolute(folder, none), fs::weakly_canonical(folder, none)}) {
      const std::string whole = path.string();
      if (!whole.starts_with('/') || whole.size() < 2) continue;
      replace_all(text, escaped(whole), "\u2026/" + escaped(last_part(whole)));
    }
  }
  return without_places(text);
}

RunFacts facts_of(const TrainOptions& asked, const TrainOptions& in_force, const Machine& machine,
                  const models::Segmenter& model, const Dataset& dataset) {
  const auto shown = [&](const std::string& text) {
    return asked.report_paths ? text : without_places(text, asked.data, asked.output);
  };
  RunFacts out;
  std::error_code none;
  out.title = last_part(fs::absolute(asked.output, none).string());
  const std::string normalization = models::text_of(model.spec().normalization);
  out.network = fmt::format("{}, {} parameters, base channels {}, {} classes, {} {}, normalization {}", in_force.model,
                            model.parameters().count(), in_force.base_channels, in_force.classes,
                            in_force.crop ? "crops" : "images", in_force.image_size.str(), normalization);
  out.classes = class_names(in_force);
  out.background = in_force.background;
  out.best_by = name_of(in_force.best_by);
  out.recipe = recipe_of(in_force);
  out.data = shown(dataset.report());
  for (const std::string& warning : dataset.warnings()) out.warnings.push_back(shown(warning));
  for (const std::string& warning : dataset.check_trainable()) out.warnings.push_back(shown(warning));
  out.options = other_than_default(asked);
  for (auto& [name, value] : out.options) value = shown(value);
  out.machine = {{"program", version_text("train_unet")},
                 {"device", shown(machine.text)},
                 {"arithmetic", machine.arithmetic},
                 {"threads", fmt::format("{} to compute, {} to load images", kernels::cpu::threads(), asked.workers)}};
  const bool grouped = dataset.split_by_hash() && !asked.data.group_by.empty();
  const fs::path best =
      asked.report_paths ? fs::absolute(asked.output, none) / "best.safetensors" : fs::path("best.safetensors");
  out.evaluate = shown(fmt::format("eval_unet -c {} {} --split {}{}", shell_path(best.string()), data_words(asked.data),
                                   dataset.size(Split::test) > 0 ? "test" : "val",
                                   grouped ? " --group-by=" + shell_word(asked.data.group_by) : ""));
  out.predict = fmt::format("predict_unet -c {} -o predictions photo.jpg", shell_path(best.string()));
  return out;
}

}  // namespace unet
