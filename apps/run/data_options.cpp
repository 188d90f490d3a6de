#include "apps/run/data_options.h"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "apps/run/outputs.h"
#include "apps/run/screen.h"
#include "engine/core/error.h"
#include "engine/core/text.h"
#include "engine/data/class_map_proposal.h"
#include "engine/data/layout_kind.h"
#include "engine/io/durable_file.h"
#include "kernels/cpu/parallel.h"

namespace unet {
namespace {

/// What both programs say of their data.
DatasetOptions told(const DataOptions& options) {
  DatasetOptions out;
  out.folder = options.folder;
  out.images = options.images;
  out.masks = options.masks;
  out.mask_suffix = options.mask_suffix;
  out.lists = {options.train_list, options.val_list, options.test_list};
  out.follow_links = options.follow_links;
  out.group_by = options.group_by;
  out.class_map = options.map;
  out.binarize = static_cast<int>(options.binarize);
  if (options.ignore_index) out.ignored_value = static_cast<int>(*options.ignore_index);
  out.threads = kernels::cpu::threads();
  return out;
}

LoaderOptions loader(std::int64_t batch_size, std::int64_t height, std::int64_t width, int workers) {
  LoaderOptions out;
  out.batch_size = batch_size;
  out.height = height;
  out.width = width;
  out.workers = workers;
  return out;
}

/// What training sees, before it is shuffled and augmented.
LoaderOptions whole_or_cropped(const TrainOptions& options) {
  LoaderOptions out = loader(options.batch_size, options.image_size.height, options.image_size.width, options.workers);
  out.cache_bytes = static_cast<std::size_t>(options.cache_mb) << 20;
  if (options.crop) out.frame = Frame::crop;
  out.crops_per_image = options.crops_per_image;
  return out;
}

/// Pictures one by one at their own sizes, one read ahead: they may be large.
LoaderOptions for_tiles(LoaderOptions out) {
  out.batch_size = 1;
  out.frame = Frame::own;
  out.crops_per_image = 1;
  out.prefetch = 1;
  return out;
}

}  // namespace

DatasetOptions dataset_options(const TrainOptions& options) {
  DatasetOptions out = told(options.data);
  out.classes = static_cast<int>(options.classes);
  out.border = parse_border(options.border);
  out.on_corrupt = options.on_corrupt == "skip" ? OnCorrupt::skip : OnCorrupt::stop;
  out.exif = options.exif;
  if (options.crop) return out;  // nothing vanishes
  out.height = options.image_size.height;
  out.width = options.image_size.width;
  return out;
}

Dataset open_dataset(const EvalOptions& options, const models::Description& checkpoint) {
  const LoaderOptions loading = evaluation_loader(options, checkpoint);
  DatasetOptions out = told(options.data);
  if (!out.class_map && out.binarize == 0) {
    out.class_map = checkpoint.class_map;
    out.binarize = checkpoint.binarize;
  }
  out.classes = static_cast<int>(checkpoint.spec.classes);
  out.border = parse_border(checkpoint.border);
  out.exif = options.exif.value_or(checkpoint.exif);
  if (loading.frame == Frame::whole) {
    out.height = loading.height;
    out.width = loading.width;
  }
  Dataset dataset(out);
  // A checkpoint may be hostile: its pattern is compared but never matched, which could take for ever.
  const std::optional<std::string>& trained = checkpoint.group_by;
  if (dataset.split_by_hash() && options.split != "all" && trained && *trained != options.data.group_by) {
    throw Error("{}: was trained {}; {} has no lists, so its splits follow from the groups: {}, or take --split all",
                options.checkpoint,
                trained->empty() ? "without --group-by" : "with --group-by=" + shell_word(printable(*trained)),
                options.data.folder, trained->empty() ? "leave --group-by out" : "give the same --group-by");
  }
  return dataset;
}

std::vector<std::filesystem::path> inputs_of_data(const DataOptions& options) {
  const std::filesystem::path folder = options.folder;
  const LayoutKind layout = recognise_layout(told(options));
  std::vector<std::filesystem::path> out{folder / options.train_list, folder / options.val_list,
                                         folder / options.test_list, options.class_map};
  std::erase_if(out, [&](const auto& path) { return path.empty() || path == folder / ""; });
  for (const PairPlace& place : layout.places) {
    out.push_back(folder / place.images);
    out.push_back(folder / place.masks);
  }
  if (!layout.lists.empty()) out.push_back(folder / layout.lists);
  for (const std::filesystem::directory_entry& entry : std::filesystem::directory_iterator(folder)) {
    const std::string ending = entry.path().extension().string();
    if (ending == ".txt" || ending == ".toml") out.push_back(entry.path());
  }
  return out;
}

std::string data_words(const DataOptions& options) {
  std::string out = fmt::format("-d {}", shell_path(options.folder));
  for (const auto& [option, value] : {std::pair{"images", &options.images},
                                      {"masks", &options.masks},
                                      {"mask-suffix", &options.mask_suffix},
                                      {"train-list", &options.train_list},
                                      {"val-list", &options.val_list},
                                      {"test-list", &options.test_list}}) {
    if (!value->empty()) out += fmt::format(" --{}={}", option, shell_word(*value));
  }
  if (options.ignore_index) out += fmt::format(" --ignore-index={}", *options.ignore_index);
  return out + (options.follow_links ? " --follow-links" : "");
}

void write_class_map(const TrainOptions& options) {
  const std::filesystem::path path = options.write_class_map;
  if (std::filesystem::exists(path)) {
    throw Error("{}: is there, a class map is proposed into a new file: give --write-class-map another name",
                path.string());
  }
  const ClassMapProposal proposal = propose_class_map(dataset_options(options));
  write_file_durably(path, text_of(proposal.map));
  say_text(proposal.report);
  say("{}: look it over, give the classes their names, then train with --class-map {}\n", path.string(),
      shell_path(path.string()));
}

LoaderOptions training_loader(const TrainOptions& options) {
  LoaderOptions out = whole_or_cropped(options);
  out.augment = parse_augment(options.augment);
  out.shuffle = !options.no_shuffle;
  out.seed = options.seed;
  return out;
}

LoaderOptions evaluation_loader(const TrainOptions& options) {
  const LoaderOptions out = whole_or_cropped(options);
  return options.crop ? for_tiles(out) : out;
}

LoaderOptions evaluation_loader(const EvalOptions& options, const models::Description& checkpoint) {
  if (const std::optional<ImageExtent> tile = tile_of(options, checkpoint)) {
    return for_tiles(loader(1, tile->height, tile->width, options.workers));
  }
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
  out["classes"] = dataset.class_names();
  out["hash"] = hash_text(dataset);
  out["warnings"] = dataset.warnings();
  out["skipped"] = nlohmann::json::array();
  for (const SkippedSample& skipped : dataset.skipped()) {
    out["skipped"].push_back({{"name", escaped(skipped.name)}, {"reason", escaped(skipped.reason)}});
  }
  return out;
}

}  // namespace unet
