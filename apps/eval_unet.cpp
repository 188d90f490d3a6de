// Loads a checkpoint, runs a split, reports cross-entropy, Dice and their kin, each with its meaning: at the network's
// size and at the masks' own, per class and over all.
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "apps/options.h"
#include "apps/programs.h"
#include "apps/report/eval_page.h"
#include "apps/report/reviewer.h"
#include "apps/run/data_options.h"
#include "apps/run/evaluation.h"
#include "apps/run/failure.h"
#include "apps/run/figures.h"
#include "apps/run/full_size.h"
#include "apps/run/inference.h"
#include "apps/run/memory.h"
#include "apps/run/outputs.h"
#include "apps/run/overlay.h"
#include "apps/run/plan_cache.h"
#include "apps/run/screen.h"
#include "apps/run/version.h"
#include "apps/run/weights.h"
#include "engine/core/error.h"
#include "engine/core/text.h"
#include "engine/io/csv.h"
#include "engine/io/durable_file.h"
#include "kernels/cpu/parallel.h"

namespace unet {
namespace {

std::filesystem::path overlay_of(const std::string& folder, const std::string& name) {
  return std::filesystem::path(folder) / (name + ".png");
}

/// Nothing that is read is written over. Throws Error.
void check_outputs(const EvalOptions& options) {
  std::vector<std::filesystem::path> inputs = inputs_of_data(options.data);
  inputs.emplace_back(options.checkpoint);
  if (!options.machine.plans.empty()) inputs.emplace_back(options.machine.plans);
  for (const auto& [option, output] : {std::pair{"--json", options.json},
                                       {"--per-image", options.per_image},
                                       {"--overlays", options.overlays},
                                       {"--report", options.report}}) {
    if (!output.empty() && !is_standard_output(output)) require_no_input(option, output, inputs);
  }
}

/// The list's places with the K lowest Dice, lowest first; equal ones in list order, images without a score left out.
std::vector<std::size_t> worst_of(const std::vector<Scores>& per_image, std::size_t k) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < per_image.size(); ++i) {
    if (per_image[i].dice) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return per_image[a].dice < per_image[b].dice; });
  order.resize(std::min(k, order.size()));
  return order;
}

/// What the page tells besides figures.
EvalFacts facts_of(const EvalOptions& options, const Machine& machine, const Dataset& dataset, const Loader& loader) {
  const auto shown = [&](const std::string& text) {
    return options.report_paths ? text : without_places(text, options.data, options.checkpoint);
  };
  EvalFacts out;
  out.title = fmt::format("{} on {}", shown(options.checkpoint), options.split);
  const bool tiled = loader.options().frame == Frame::own;
  out.subtitle = fmt::format("{} images of {} {} {}x{}", loader.images(), shown(options.data.folder),
                             tiled ? "in tiles of" : "at", loader.options().height, loader.options().width);
  out.data = shown(dataset.report());
  for (const std::string& warning : dataset.warnings()) out.warnings.push_back(shown(warning));
  out.machine = {{"program", version_text("eval_unet")},
                 {"device", shown(machine.text)},
                 {"arithmetic", machine.arithmetic},
                 {"threads", std::to_string(kernels::cpu::threads())}};
  out.command = shown(fmt::format("eval_unet -c {} {} --split {}", shell_path(options.checkpoint),
                                  data_words(options.data), options.split));
  return out;
}

/// Scores each mask at its own size: probabilities brought there as predict_unet does.
void add_native(const Predicted& predicted, std::vector<float> logits, SegmentationMetrics& metrics) {
  const std::vector<float> p = softmax(std::move(logits), metrics.classes());
  const Batch& batch = predicted.batch;
  const MapShape map{batch.H, batch.W, metrics.classes()};
  const std::int64_t values = map.height * map.width * map.classes;
  std::vector<kernels::ClassCounts> counts(static_cast<std::size_t>(batch.N * map.classes));
  kernels::cpu::parallel_for(batch.N, [&](std::int64_t n) {
    const Image& truth = batch.full_labels[static_cast<std::size_t>(n)];
    const std::vector<std::uint8_t> labels =
        labels_at_size(p.data() + n * values, map, truth.height, truth.width, std::nullopt);
    kernels::ClassCounts* of_image = counts.data() + n * map.classes;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const std::uint8_t claimed = labels[i], true_label = truth.pixels[i];
      if (true_label == kIgnoredLabel) continue;
      ++of_image[claimed].predicted;
      ++of_image[true_label].truth;
      of_image[claimed].both += claimed == true_label;
    }
  });
  metrics.add(counts);
}

/// photo | truth | prediction | comparison of the chosen places of the list, as PNG.
void write_overlays(const std::string& folder, models::Segmenter& model, Background background, Loader& loader,
                    const Views& views, const std::vector<Sample>& samples, const std::vector<std::size_t>& chosen,
                    const ClassNames& class_names) {
  make_folder(folder);
  std::vector<bool> wanted(samples.size(), false);
  for (const std::size_t place : chosen) wanted[place] = true;
  std::size_t place = 0;
  const auto visit = [&](const Predicted& predicted) {
    const Batch& batch = predicted.batch;
    const Tensor prediction = predicted.labels.to(Device());
    const std::size_t pixels = static_cast<std::size_t>(batch.H * batch.W);
    for (std::size_t n = 0; n < static_cast<std::size_t>(batch.N); ++n, ++place) {
      if (!wanted[place]) continue;
      const Image photo = photo_of(batch, static_cast<std::int64_t>(n));
      write_picture(overlay_of(folder, samples[place].name),
                    judgement(photo, batch.labels.data() + n * pixels, prediction.data<std::uint8_t>() + n * pixels,
                              background, class_names));
    }
  };
  evaluate(model, background, loader, visit, {}, {}, views);
}

/// The figures of each image, a row an image.
void write_per_image(const std::string& path, const std::vector<Sample>& samples, const std::vector<Scores>& per_image,
                     const std::vector<kernels::ClassCounts>& counts, const ClassNames& names) {
  const std::size_t classes = names.size();
  std::vector<std::string> columns{"name", "dice", "iou", "pixel_accuracy"};
  for (const std::string& name : names) columns.push_back("dice_" + name);
  CsvFile csv = is_standard_output(path) ? CsvFile::on_standard_output(columns) : CsvFile::create(path, columns);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const Scores& s = per_image[i];
    std::vector<CsvCell> row{samples[i].name, cell(s.dice), cell(s.iou), cell(s.pixel_accuracy)};
    for (std::size_t c = 0; c < classes; ++c) row.push_back(cell(class_scores(counts[i * classes + c]).dice));
    csv.row(row);
  }
  csv.close();
}

void run(const EvalOptions& options, const models::Registry& registry) {
  check_outputs(options);
  if (is_standard_output(options.json) || is_standard_output(options.per_image)) say_on_stderr();
  const Machine machine = machine_of(options.machine);
  say("device: {}, {}\n", machine.text, machine.arithmetic);
  const std::unique_ptr<TensorFile> file = open_tensor_file(options.checkpoint);
  const models::Description checkpoint = describe(registry, *file, options.normalization);
  if (checkpoint.spec.in_channels != 3) {
    throw Error("{}: the network takes {} input channels; data sets here are RGB, so 3 are expected",
                options.checkpoint, checkpoint.spec.in_channels);
  }
  const Split split = parse_split(options.split);
  const Dataset dataset = open_dataset(options, checkpoint);
  say_text(dataset.report());
  for (const std::string& warning : dataset.warnings()) warn("eval_unet: warning: {}\n", warning);
  LoaderOptions loading = evaluation_loader(options, checkpoint);
  const bool tiled = loading.frame == Frame::own;
  require_memory(options.checkpoint, registry, checkpoint.spec, machine,
                 std::min(loading.batch_size, dataset.size(split)), {loading.height, loading.width},
                 tiled ? "--tile" : "--image-size");
  loading.full_labels = !tiled;
  Loader loader(dataset, split, loading);
  const std::vector<Sample>& samples = dataset.samples(split);
  if (!options.overlays.empty()) {
    for (const Sample& sample : samples) require_replaceable(overlay_of(options.overlays, sample.name));
  }
  const auto owned = models::make_segmenter(registry, checkpoint.spec, 0, models::for_inference(machine));
  models::Segmenter& model = *owned;
  load_and_say(*file, model);

  const int classes = static_cast<int>(checkpoint.spec.classes);
  const auto C = static_cast<std::size_t>(classes);
  Reviewer reviewer(loader, dataset.class_names(), checkpoint.background, model.device());
  SegmentationMetrics native(classes, checkpoint.background);
  FiniteCheck check(model, options.checkpoint);
  const auto count = [&](const Tensor& logits, const Tensor& labels) { reviewer.count(logits, labels); };
  const Views views{options.tta, &check};
  const auto visit = [&](const Predicted& predicted) {
    reviewer.see(predicted);
    if (tiled) return;
    std::vector<float> logits = host_values(predicted.logits);
    if (options.tta == Tta::none) {
      check(predicted.images, logits, fmt::format("the batch of {}", loader.sample(predicted.batch.indices[0]).name));
    }
    add_native(predicted, std::move(logits), native);
  };
  const Evaluation result =
      evaluate(model, checkpoint.background, loader, visit, {}, {}, {views.tta, views.check, count});
  keep_plans();
  reviewer.finish();
  const SegmentationMetrics& m = result.metrics;
  if (tiled) native = m;
  const double rate = static_cast<double>(m.images()) / result.seconds;
  say("{} on {} images ({} of {}) {} {}x{}{}\n", options.checkpoint, m.images(), options.split, options.data.folder,
      tiled ? "at their own sizes, in tiles of" : "at", loading.height, loading.width,
      options.tta == Tta::none ? std::string() : fmt::format(", views: {}", name_of(options.tta)));
  std::vector<Figure> figures = m.figures();
  figures.insert(figures.begin(), {"cross_entropy", result.cross_entropy,
                                   "mean over pixels of -log p(true class), ignored pixels excluded"});
  figures.push_back({"dice_native", native.dice(), "dice at the masks' own sizes, probabilities brought there"});
  figures.push_back({"iou_native", native.iou(), "iou likewise"});
  for (const auto& [key, value, meaning] : figures) {
    say("{:<16}{:>6}  {}\n", key, figure_text(value), meaning);
  }
  say("{:<16}{:>6.1f}  loading and both sizes included\n", "images/s", rate);
  say_text(remarks(m) + "\n" + class_table(m, native, dataset.class_names()));

  if (!options.json.empty()) {
    nlohmann::ordered_json json;
    for (const auto& [key, value, meaning] : figures) json[key] = to_json(value);
    json["images"] = m.images();
    json["images_nonempty"] = m.nonempty();
    json["images_nothing_to_find"] = m.nothing_to_find();
    json["images_ignored"] = m.ignored();
    json["images_per_second"] = rate;
    json["background"] = name_of(checkpoint.background);
    json["classes"] = classes_json(m, native, dataset.class_names());
    for (std::size_t truth = 0; truth < C; ++truth) {  // a row of it: the pixels of one true class by prediction
      const auto row = reviewer.confusion().begin() + static_cast<std::ptrdiff_t>(truth * C);
      json["confusion"].push_back(std::vector<std::int64_t>(row, row + classes));
    }
    const std::string text = json.dump(2) + "\n";
    is_standard_output(options.json) ? put_text(text) : write_file_durably(options.json, text);
  }
  if (!options.report.empty()) {
    EvalFacts facts = facts_of(options, machine, dataset, loader);
    facts.figures = figures;
    facts.remarks = remarks(m);
    facts.machine.emplace_back("speed", fmt::format("{:.1f} images a second, loading and both sizes included", rate));
    write_file_durably(options.report, eval_page(facts, m, native, reviewer.review()));
    say("report: {}\n", options.report);
  }
  std::vector<Scores> per_image;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    per_image.push_back(scores(std::span(result.counts).subspan(i * C, C), checkpoint.background));
  }
  if (!options.per_image.empty()) {
    write_per_image(options.per_image, samples, per_image, result.counts, dataset.class_names());
  }
  std::vector<std::size_t> chosen;
  if (options.worst > 0) {
    chosen = worst_of(per_image, static_cast<std::size_t>(options.worst));
    say("lowest Dice:\n");
    for (const std::size_t i : chosen) say("  {}  {}\n", figure_text(per_image[i].dice), samples[i].name);
  } else {
    chosen.resize(samples.size());
    std::iota(chosen.begin(), chosen.end(), std::size_t{0});
  }
  if (!options.overlays.empty()) {
    write_overlays(options.overlays, model, checkpoint.background, loader, views, samples, chosen,
                   dataset.class_names());
    say("overlays (photo | truth | prediction | comparison) of {} images: {}\n", chosen.size(), options.overlays);
  }
}

}  // namespace

int eval_unet(int argc, char** argv, const models::Registry& registry) {
  begin_program();
  EvalOptions options;
  try {
    if (const std::optional<int> code = parse(argc, argv, options)) return *code;
    run(options, registry);
    check_screen();
  } catch (const std::exception& error) {
    return fail("eval_unet", error);
  }
  return 0;
}

}  // namespace unet
