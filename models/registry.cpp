#include "models/registry.h"

#include "engine/core/error.h"
#include "models/resnet34_unet.h"
#include "models/unet.h"

namespace unet::models {

const Registry& registry() {
  static const Registry rows{
      {"unet", make<UNet>, recognize_unet, unet_inference_bytes, "unit"},
      {"resnet34_unet", make<ResNet34UNet>, recognize_resnet34_unet, resnet34_unet_inference_bytes, "imagenet"},
  };
  return rows;
}

std::vector<std::string> names_of(const Registry& registry) {
  std::vector<std::string> out;
  for (const ModelRow& row : registry) out.emplace_back(row.name);
  return out;
}

std::string names_text(const Registry& registry) {
  std::string out;
  for (const ModelRow& row : registry) out += fmt::format("{}{}", out.empty() ? "" : ", ", row.name);
  return out;
}

const ModelRow& row_of(const Registry& registry, const std::string& name) {
  for (const ModelRow& row : registry) {
    if (row.name == name) return row;
  }
  throw Error("there is no network \"{}\"; there are: {}", printable(name), names_text(registry));
}

std::unique_ptr<Segmenter> make_segmenter(const Registry& registry, const SegmenterSpec& spec, std::uint64_t seed,
                                          const Placement& placement) {
  return row_of(registry, spec.model).make(spec, seed, placement);
}

}  // namespace unet::models
