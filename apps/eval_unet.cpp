// Loads a checkpoint, runs a split, reports cross-entropy and Dice (and IoU and pixel accuracy), each with its meaning.
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "apps/data_options.h"
#include "apps/evaluation.h"
#include "apps/failure.h"
#include "apps/options.h"
#include "apps/overlay.h"
#include "engine/core/error.h"
#include "engine/train/csv.h"
#include "engine/train/durable_file.h"
#include "models/unet_checkpoint.h"

using namespace unet;

namespace {

/// File names in a flat folder: path separators of a sample's name become underscores.
std::string flat(std::string name) {
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

void make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error || !std::filesystem::is_directory(path)) {
    throw Error("cannot make the folder {}: {}", path, error ? error.message() : "it is not a folder");
  }
}

/// The list's places with the K lowest Dice, lowest first; equal ones in list order.
std::vector<std::size_t> worst_of(const std::vector<Scores>& per_image, std::size_t k) {
  std::vector<std::size_t> order(per_image.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return per_image[a].dice < per_image[b].dice; });
  order.resize(std::min(k, order.size()));
  return order;
}

/// photo | truth | prediction of the chosen places of the list, as PNG.
void write_overlays(const std::string& folder, models::UNet& model, const Machine& machine, Loader& loader,
                    const std::vector<Sample>& samples, const std::vector<std::size_t>& chosen) {
  make_folder(folder);
  std::vector<bool> wanted(samples.size(), false);
  for (const std::size_t place : chosen) wanted[place] = true;
  std::size_t place = 0;
  evaluate(model, machine, loader, [&](const Batch& batch, const Tensor& prediction) {
    const std::size_t pixels = static_cast<std::size_t>(batch.H * batch.W);
    for (std::size_t n = 0; n < static_cast<std::size_t>(batch.N); ++n, ++place) {
      if (!wanted[place]) continue;
      Image photo(static_cast<int>(batch.W), static_cast<int>(batch.H), 3);
      std::copy_n(batch.images.begin() + static_cast<std::ptrdiff_t>(n * pixels * 3), pixels * 3, photo.pixels.begin());
      const Image picture = side_by_side({photo, tint(photo, batch.labels.data() + n * pixels),
                                          tint(photo, prediction.data<std::uint8_t>() + n * pixels)});
      write_file(std::filesystem::path(folder) / (flat(samples[place].name) + ".png"), encode_png(picture));
    }
  });
}

void run(const EvalOptions& options) {
  const Machine machine = machine_of(options.machine);
  fmt::print("device: {}\n", machine.text);
  const SafetensorsFile file(options.checkpoint);
  const models::UNetCheckpoint checkpoint = models::describe_unet(file);
  if (checkpoint.spec.in_channels != 3) {
    throw Error("{}: the network takes {} input channels; data sets here are RGB, so 3 are expected",
                options.checkpoint, checkpoint.spec.in_channels);
  }
  const Split split = parse_split(options.split);
  const Dataset dataset = open_dataset(options, checkpoint);
  const LoaderOptions loading = evaluation_loader(options, checkpoint);
  Loader loader(dataset, split, loading);
  models::UNet model(checkpoint.spec, 0, Dtype::f32, machine.device, machine.bf16_copies);
  load_model(file, model.parameters());

  const Evaluation result = evaluate(model, machine, loader);
  const SegmentationMetrics& m = result.metrics;
  const double rate = static_cast<double>(m.images()) / result.seconds;
  fmt::print("{} on {} images ({} of {}) at {}x{}\n", options.checkpoint, m.images(), options.split, options.data,
             loading.height, loading.width);
  fmt::print("{:<16}{:.4f}  mean over pixels of -log p(true class), ignored pixels excluded\n", "cross_entropy",
             result.cross_entropy);
  const std::pair<MetricMeaning, double> figures[] = {{dice_meaning, m.dice()},
                                                      {dice_dataset_meaning, m.dataset().dice},
                                                      {iou_meaning, m.iou()},
                                                      {iou_dataset_meaning, m.dataset().iou},
                                                      {pixel_accuracy_meaning, m.pixel_accuracy()}};
  for (const auto& [meaning, value] : figures) fmt::print("{:<16}{:.4f}  {}\n", meaning.key, value, meaning.meaning);
  fmt::print("{:<16}{:.1f}  loading included\n", "images/s", rate);

  if (!options.json.empty()) {
    nlohmann::ordered_json json;
    json["cross_entropy"] = result.cross_entropy;
    for (const auto& [meaning, value] : figures) json[meaning.key] = value;
    json["images"] = m.images();
    json["images_per_second"] = rate;
    write_file_durably(options.json, json.dump(2) + "\n");
  }
  const std::vector<Sample>& samples = dataset.samples(split);
  if (!options.per_image.empty()) {
    CsvFile csv = CsvFile::create(options.per_image, {"name", "dice", "iou", "pixel_accuracy"});
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const Scores& s = result.per_image[i];
      csv.row({samples[i].name, s.dice, s.iou, s.pixel_accuracy});
    }
    csv.close();
  }
  std::vector<std::size_t> chosen;
  if (options.worst > 0) {
    chosen = worst_of(result.per_image, static_cast<std::size_t>(options.worst));
    fmt::print("lowest Dice:\n");
    for (const std::size_t i : chosen) fmt::print("  {:.4f}  {}\n", result.per_image[i].dice, samples[i].name);
  } else {
    chosen.resize(samples.size());
    std::iota(chosen.begin(), chosen.end(), std::size_t{0});
  }
  if (!options.overlays.empty()) {
    write_overlays(options.overlays, model, machine, loader, samples, chosen);
    fmt::print("overlays (photo | truth | prediction) of {} images: {}\n", chosen.size(), options.overlays);
  }
}

}  // namespace

int main(int argc, char** argv) {
  EvalOptions options;
  try {
    if (const std::optional<int> code = parse(argc, argv, options)) return *code;
    run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "eval_unet: {}\n", failure_text(error));
    return 1;
  }
  return 0;
}
