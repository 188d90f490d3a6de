#include "apps/data_options.h"

#include <fmt/core.h>

#include "engine/core/error.h"
#include "engine/core/text.h"
#include "kernels/cpu/parallel.h"

namespace unet {
namespace {

Dataset open(const std::string& folder, std::int64_t classes, const std::string& border, const std::string& group_by,
             OnCorrupt on_corrupt) {
  DatasetOptions options;
  options.folder = folder;
  options.classes = static_cast<int>(classes);
  options.border = parse_border(border);
  options.group_by = group_by;
  options.on_corrupt = on_corrupt;
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
  return open(options.data, options.classes, options.border, options.group_by,
              options.on_corrupt == "skip" ? OnCorrupt::skip : OnCorrupt::stop);
}

Dataset open_dataset(const EvalOptions& options, const models::UNetCheckpoint& checkpoint) {
  Dataset dataset = open(options.data, checkpoint.spec.classes, checkpoint.border, options.group_by, OnCorrupt::stop);
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

LoaderOptions evaluation_loader(const EvalOptions& options, const models::UNetCheckpoint& checkpoint) {
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
  out["skipped"] = nlohmann::json::array();
  for (const SkippedSample& skipped : dataset.skipped()) {
    out["skipped"].push_back({{"name", escaped(skipped.name)}, {"reason", escaped(skipped.reason)}});
  }
  return out;
}

}  // namespace unet
