#include "models/unet_checkpoint.h"

#include <cstdio>

#include "engine/core/error.h"

namespace unet::models {
namespace {

const TensorInfo& weight_of(const SafetensorsFile& file, const std::string& name) {
  const TensorInfo* info = file.find(name);
  if (info == nullptr || info->shape.size() != 4) {
    throw Error(
        "{}: holds no unet: {} \"{}\" {}. A checkpoint written by train_unet, or a milesial-style UNet, is expected.",
        file.path().string(), info == nullptr ? "tensor" : "the shape of", name,
        info == nullptr ? "is missing" : "is not that of a convolution");
  }
  return *info;
}

}  // namespace

UNetCheckpoint describe_unet(const SafetensorsFile& file) {
  UNetCheckpoint out;
  const TensorInfo& first = weight_of(file, "inc.double_conv.0.weight");  // [base,in,3,3]
  const TensorInfo& head = weight_of(file, "outc.conv.weight");           // [classes,base,1,1]
  out.spec.base_channels = first.shape[0];
  out.spec.in_channels = first.shape[1];
  out.spec.classes = head.shape[0];
  out.spec.bilinear = file.find("up1.up.weight") == nullptr;
  constexpr std::int64_t kMost = 1 << 16;
  for (const std::int64_t size : {out.spec.base_channels, out.spec.in_channels, out.spec.classes}) {
    if (size < 1 || size > kMost) {
      throw Error("{}: holds no unet that can be: {} base channels, {} input channels, {} classes",
                  file.path().string(), out.spec.base_channels, out.spec.in_channels, out.spec.classes);
    }
  }

  // The rest of the model grows with this tensor, which is in the file: no small file asks for a large model.
  const std::string deepest = "down4.maxpool_conv.1.double_conv.0.weight";  // [16 or, bilinear, 8 base, 8 base,3,3]
  const TensorInfo& bottom = weight_of(file, deepest);
  if (bottom.shape[1] != 8 * out.spec.base_channels || bottom.shape[0] < bottom.shape[1]) {
    throw Error("{}: holds no unet: with {} base channels \"{}\" would have {} input channels, it has {}",
                file.path().string(), out.spec.base_channels, deepest, 8 * out.spec.base_channels, bottom.shape[1]);
  }

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
  return out;
}

Metadata unet_metadata(const UNetCheckpoint& checkpoint) {
  return {{"model", "unet"},
          {"image_size", fmt::format("{}x{}", checkpoint.height, checkpoint.width)},
          {"border", checkpoint.border},
          {"exif", name_of(checkpoint.exif)},
          {"background", name_of(checkpoint.background)},
          {"group_by", checkpoint.group_by.value_or("")}};
}

}  // namespace unet::models
