#include "apps/run/data_options.h"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "engine/core/text.h"
#include "kernels/cpu/parallel.h"

namespace unet {
namespace {

Dataset open(DatasetOptions options) {
  options.threads = kernels::cpu::threads();
  return Dataset(options);
}

LoaderOptions loader(std::int64_t batch_size, std::int64_t height, std::int64_t width, int workers) {
  LoaderOptions out;
  out.batch_size = batch_size;
  out.height = height;
  out.width = width;
  out.workers = workers;
  return out;
}

}  // namespace

Dataset open_dataset(const TrainOptions& options) {
  DatasetOptions out;
  out.folder = options.data;
  out.classes = static_cast<int>(options.classes);
  out.border = parse_border(options.border);
  out.on_corrupt = options.on_corrupt == "skip" ? OnCorrupt::skip : OnCorrupt::stop;
  out.exif = options.exif;
  out.group_by = options.group_by;
  out.height = options.image_size.height;
  out.width = options.image_size.width;
  return open(out);
}

Dataset open_dataset(const EvalOptions& options, const models::Description& checkpoint) {
  const LoaderOptions loading = evaluation_loader(options, checkpoint);
  DatasetOptions out;
  out.folder = options.data;
  out.classes = static_cast<int>(checkpoint.spec.classes);
  out.border = parse_border(checkpoint.border);
  out.exif = options.exif.value_or(checkpoint.exif);
  out.group_by = options.group_by;
  out.height = loading.height;
  out.width = loading.width;
  Dataset dataset = open(out);
  // A checkpoint may be hostile: its pattern is compared but never matched, which could take for ever.
  const std::optional<std::string>& trained = checkpoint.group_by;
  if (dataset.split_by_hash() && options.split != "all" && trained && *trained != options.group_by) {
    throw Error("{}: was trained {}; {} has no lists, so its splits follow from the groups: {}, or take --split all",
                options.checkpoint,
                trained->empty() ? "without --group-by" : "with --group-by=" + shell_word(printable(*trained)),
                options.data, trained->empty() ? "leave --group-by out" : "give the same --group-by");
  }
  return dataset;
}

LoaderOptions training_loader(const TrainOptions& options) {
  LoaderOptions out = evaluation_loader(options);
  out.augment = parse_augment(options.augment);
  out.shuffle = !options.no_shuffle;
  out.seed = options.seed;
  return out;
}

LoaderOptions evaluation_loader(const TrainOptions& options) {
  LoaderOptions out = loader(options.batch_size, options.image_size.height, options.image_size.width, options.workers);
  out.cache_bytes = static_cast<std::size_t>(options.cache_mb) << 20;
  return out;
}

LoaderOptions evaluation_loader(const EvalOptions& options, const models::Description& checkpoint) {
  return loader(options.batch_size, options.image_size ? options.image_size->height : checkpoint.height,
                options.image_size ? options.image_size->width : checkpoint.width, options.workers);
}

std::string hash_text(const Dataset& dataset) { return fmt::format("{:016x}", dataset.hash()); }

nlohmann::json summary(const Dataset& dataset) {
  nlohmann::json out;
  out["folder"] = escaped(dataset.options().folder.string());
  for (const Split split : {Split::train, Split::val, Split::test}) {
    out["images"][std::string(name_of(split))] = dataset.size(split);
  }
  out["masks"]["kind"] = name_of(dataset.masks().kind);
  for (std::size_t value = 0; value < 256; ++value) {
    if (const std::int64_t pixels = dataset.masks().pixels[value]; pixels > 0) {
      out["masks"]["pixels"][std::to_string(value)] = pixels;
    }
  }
  out["hash"] = hash_text(dataset);
  out["warnings"] = dataset.warnings();
  out["skipped"] = nlohmann::json::array();
  for (const SkippedSample& skipped : dataset.skipped()) {
    out["skipped"].push_back({{"name", escaped(skipped.name)}, {"reason", escaped(skipped.reason)}});
  }
  return out;
}

}  // namespace unet
