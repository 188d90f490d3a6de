#include "models/description.h"

#include <algorithm>
#include <cstdio>

#include "engine/core/error.h"

namespace unet::models {
namespace {

SegmenterSpec recognize(const Registry& registry, const TensorFile& file) {
  const auto said = file.metadata().find("model");
  const bool says = said != file.metadata().end();
  for (const bool as_said : {true, false}) {  // a file of another program may call its network what it likes
    for (const std::string& prefix : prefixes_of(file)) {
      for (const ModelRow& row : registry) {
        if (as_said && (!says || said->second != row.name)) continue;
        if (std::optional<SegmenterSpec> spec = row.recognize({file, prefix})) return *std::move(spec);
      }
    }
  }
  throw Error(
      "{}: holds no network that this program knows ({}): {} tensors, the first \"{}\"{}. A checkpoint written by "
      "train_unet, or a file with the tensors of one of these, is expected",
      file.path().string(), names_text(registry), file.tensors().size(),
      file.tensors().empty() ? "" : printable(file.tensors().front().name),
      says ? fmt::format("; its metadata say \"{}\"", printable(said->second)) : "");
}

}  // namespace

Description describe(const Registry& registry, const TensorFile& file) {
  Description out;
  out.spec = recognize(registry, file);
  out.spec.classes = std::max<std::int64_t>(2, out.spec.classes);
  const std::int64_t channels = out.spec.in_channels;
  const std::optional<kernels::NormalizeSpec> normalization = normalization_of(file, channels);
  out.says_normalization = normalization.has_value();
  out.spec.normalization = normalization
                               ? *normalization
                               : parse_normalization(row_of(registry, out.spec.model).foreign_normalization, channels);
  const Metadata& metadata = file.metadata();
  if (const auto found = metadata.find("image_size"); found != metadata.end()) {
    long long height = 0, width = 0;
    char tail = 0;
    if (std::sscanf(found->second.c_str(), "%lldx%lld%c", &height, &width, &tail) != 2 || height < 16 || width < 16 ||
        height > 16384 || width > 16384) {
      throw Error("{}: metadata \"image_size\" is \"{}\", expected HEIGHTxWIDTH with sides of 16 to 16384",
                  file.path().string(), printable(found->second));
    }
    out.height = height;
    out.width = width;
  }
  if (const auto found = metadata.find("crop"); found != metadata.end()) {
    const std::string size = fmt::format("{}x{}", out.height, out.width);
    if (found->second != size) {
      throw Error("{}: metadata \"crop\" is \"{}\", expected the size of the network's images, {}",
                  file.path().string(), printable(found->second), size);
    }
    out.crops = true;
  }
  if (const auto found = metadata.find("border"); found != metadata.end()) {
    if (found->second != "foreground" && found->second != "background" && found->second != "ignore") {
      throw Error("{}: metadata \"border\" is \"{}\", expected foreground, background or ignore", file.path().string(),
                  printable(found->second));
    }
    out.border = found->second;
  }
  if (const auto found = metadata.find("exif"); found != metadata.end()) {
    if (found->second != name_of(Exif::apply) && found->second != name_of(Exif::ignore)) {
      throw Error("{}: metadata \"exif\" is \"{}\", expected apply or ignore", file.path().string(),
                  printable(found->second));
    }
    if (found->second == name_of(Exif::ignore)) out.exif = Exif::ignore;
  }
  if (const auto found = metadata.find("background"); found != metadata.end()) {
    if (found->second != "0" && found->second != "none") {
      throw Error("{}: metadata \"background\" is \"{}\", expected 0 or none", file.path().string(),
                  printable(found->second));
    }
    if (found->second == "none") out.background = Background::none;
  }
  if (const auto found = metadata.find("group_by"); found != metadata.end()) out.group_by = found->second;
  if (const auto found = metadata.find("class_map"); found != metadata.end()) {
    const std::string where = file.path().string() + ": metadata \"class_map\"";
    out.class_map = parse_class_map(found->second, where);
    if (out.class_map->classes != out.spec.classes) {
      throw Error("{}: names {} classes, the network has {}", where, out.class_map->classes, out.spec.classes);
    }
  }
  if (const auto found = metadata.find("binarize"); found != metadata.end()) {
    const std::optional<std::int64_t> gray = plain_number(found->second);
    if (!gray || *gray < 1 || *gray > 255 || out.class_map || out.spec.classes != 2) {
      throw Error("{}: metadata \"binarize\" is \"{}\", expected 1 to 255, two classes and no class map",
                  file.path().string(), printable(found->second));
    }
    out.binarize = static_cast<int>(*gray);
  }
  return out;
}

Metadata metadata_of(const Description& description) {
  Metadata out{{"model", description.spec.model},
               {"image_size", fmt::format("{}x{}", description.height, description.width)},
               {"border", description.border},
               {"exif", name_of(description.exif)},
               {"background", name_of(description.background)},
               {"group_by", description.group_by.value_or("")},
               {kNormalizationKey, text_of(description.spec.normalization)}};
  if (description.crops) out["crop"] = out.at("image_size");
  if (description.class_map) out["class_map"] = text_of(*description.class_map);
  if (description.binarize > 0) out["binarize"] = std::to_string(description.binarize);
  return out;
}

}  // namespace unet::models
