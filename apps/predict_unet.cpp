// Segments photographs: for each a mask PNG and an overlay, at the photograph's own size.
#include <algorithm>
#include <filesystem>
#include <set>

#include "apps/failure.h"
#include "apps/full_size.h"
#include "apps/memory.h"
#include "apps/options.h"
#include "apps/overlay.h"
#include "apps/screen.h"
#include "engine/core/error.h"
#include "engine/data/image.h"
#include "engine/data/resize.h"
#include "models/unet_checkpoint.h"

using namespace unet;
namespace fs = std::filesystem;

namespace {

bool looks_like_image(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return ending == ".jpg" || ending == ".jpeg" || ending == ".png";
}

/// The images named, folders replaced by the images in them (sorted, hidden files left out).
std::vector<fs::path> images_of(const std::vector<std::string>& inputs) {
  std::vector<fs::path> out;
  for (const std::string& input : inputs) {
    if (!fs::exists(input)) throw Error("{}: there is no such image or folder", input);
    if (!fs::is_directory(input)) {
      out.emplace_back(input);
      continue;
    }
    std::vector<fs::path> found;
    for (const fs::directory_entry& entry : fs::directory_iterator(input)) {
      const std::string name = entry.path().filename().string();
      if (entry.is_regular_file() && !name.starts_with('.') && looks_like_image(entry.path()))
        found.push_back(entry.path());
    }
    if (found.empty()) throw Error("{}: the folder holds no .jpg, .jpeg or .png", input);
    std::sort(found.begin(), found.end());
    out.insert(out.end(), found.begin(), found.end());
  }
  return out;
}

void run(const PredictOptions& options) {
  const Machine machine = machine_of(options.machine);
  say("device: {}\n", machine.text);
  const SafetensorsFile file(options.checkpoint);
  const models::UNetCheckpoint checkpoint = models::describe_unet(file);
  const std::int64_t C = checkpoint.spec.classes;
  if (checkpoint.spec.in_channels != 3 || C > 255) {
    throw Error("{}: the network takes {} input channels and has {} classes; 3 and at most 255 are expected",
                options.checkpoint, checkpoint.spec.in_channels, C);
  }
  if (options.threshold && checkpoint.background == Background::none) {
    throw Error("--threshold asks for a background, and {} was trained with --background none; leave --threshold out",
                options.checkpoint);
  }
  const std::int64_t height = options.image_size ? options.image_size->height : checkpoint.height;
  const std::int64_t width = options.image_size ? options.image_size->width : checkpoint.width;
  require_memory(options.checkpoint, checkpoint.spec, machine, 1, {height, width});
  const std::vector<fs::path> images = images_of(options.inputs);
  std::set<std::string> stems;
  for (const fs::path& image : images) {
    if (!stems.insert(image.stem().string()).second) {
      throw Error(
          "two of the images are named \"{}\"; their masks would overwrite each other. Predict them into two folders.",
          image.stem().string());
    }
  }
  models::UNet model(checkpoint.spec, 0, Dtype::f32, machine.device, machine.bf16_copies);
  load_model(file, model.parameters());
  std::error_code error;
  fs::create_directories(options.output, error);
  if (error || !fs::is_directory(options.output)) {
    throw Error("cannot make the folder {}: {}", options.output, error ? error.message() : "it is not a folder");
  }

  for (const fs::path& path : images) {
    const Image photo = to_rgb(load_image(path, options.exif.value_or(checkpoint.exif)));
    const Image small = resize_bilinear(photo, static_cast<int>(width), static_cast<int>(height));
    Tape tape(Tape::Mode::inference);
    const Tensor pixels = Tensor::copy_of({1, height, width, 3}, Dtype::u8, small.pixels.data(), machine.device);
    const Var logits = model.forward(tape, normalize_images(tape, pixels, imagenet_normalization(),
                                                            image_channels(3, machine.device), machine.activations));
    const std::vector<std::uint8_t> labels =
        labels_at_size(softmax(logits.value).data(), {height, width, C}, photo.height, photo.width, options.threshold);

    Image mask(photo.width, photo.height, 1);
    // Two classes: 0 and 255, as viewers show it; more: the class indices.
    std::transform(labels.begin(), labels.end(), mask.pixels.begin(),
                   [&](std::uint8_t label) { return C <= 2 ? static_cast<std::uint8_t>(255 * label) : label; });
    const auto foreground = std::count_if(labels.begin(), labels.end(), [](std::uint8_t label) { return label != 0; });
    const fs::path base = fs::path(options.output) / path.stem();
    write_file(base.string() + "_mask.png", encode_png(mask));
    write_file(base.string() + "_overlay.png", encode_png(tint(photo, labels.data())));
    say("{}: {:.1f} % foreground -> {}_mask.png, {}_overlay.png\n", path.string(),
        100.0 * static_cast<double>(foreground) / static_cast<double>(labels.size()), base.string(), base.string());
  }
}

}  // namespace

int main(int argc, char** argv) {
  begin_program();
  PredictOptions options;
  try {
    if (const std::optional<int> code = parse(argc, argv, options)) return *code;
    run(options);
    check_screen();
  } catch (const std::exception& error) {
    return fail("predict_unet", error);
  }
  return 0;
}
