// Lays runs on the same data beside each other in a page: curves, figures, options that differ, image by image, and
// what the later ones do worse than the first.
#include <algorithm>
#include <filesystem>

#include "apps/options.h"
#include "apps/programs.h"
#include "apps/report/comparison_page.h"
#include "apps/report/pictures.h"
#include "apps/run/data_options.h"
#include "apps/run/evaluation.h"
#include "apps/run/failure.h"
#include "apps/run/outputs.h"
#include "apps/run/overlay.h"
#include "apps/run/screen.h"
#include "apps/run/weights.h"
#include "engine/core/error.h"
#include "engine/core/text.h"
#include "engine/io/durable_file.h"

namespace unet {
namespace {

constexpr std::size_t kWorst = 3;  // pictures of each run

/// A best checkpoint and its validation images, one at a time.
class Predictor {
 public:
  Predictor(const LeftRun& run, const std::string& folder, const Machine& machine, const models::Registry& registry)
      : file_(open_tensor_file(run.folder / "best.safetensors")),
        description_(describe(registry, *file_, std::nullopt)),
        dataset_(open_dataset(options_of(run, folder), description_)) {
    if (hash_text(dataset_) != run.data_hash) {
      throw Error("{}: holds other data by now than {} was trained on", dataset_.options().folder.string(), run.title);
    }
    LoaderOptions loading = evaluation_loader(options_of(run, folder), description_);
    loading.batch_size = 1;
    loader_ = std::make_unique<Loader>(dataset_, Split::val, loading);
    model_ = models::make_segmenter(registry, description_.spec, 0, models::for_inference(machine));
    load_and_say(*file_, *model_, models::OtherHead::refused, true);
  }

  struct Seen {
    Image photo;
    std::vector<std::uint8_t> truth, prediction;
  };
  Seen at(std::size_t place) {
    Seen out;
    const auto number = static_cast<std::int64_t>(place);
    evaluate(*model_, description_.background, *loader_,
             [&out](const Predicted& predicted) {
               const Tensor prediction = predicted.labels.to(Device());
               out.photo = photo_of(predicted.batch, 0);
               out.truth = predicted.batch.labels;
               out.prediction.assign(prediction.data<std::uint8_t>(),
                                     prediction.data<std::uint8_t>() + prediction.size());
             },
             {number, number + 1});
    return out;
  }
  Background background() const { return description_.background; }

 private:
  static EvalOptions options_of(const LeftRun& run, const std::string& folder) {
    EvalOptions out;
    out.checkpoint = (run.folder / "best.safetensors").string();
    out.data = data_of(run);
    if (!folder.empty()) out.data.folder = folder;
    out.split = "val";
    out.workers = 0;
    return out;
  }

  std::unique_ptr<TensorFile> file_;
  models::Description description_;
  Dataset dataset_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<models::Segmenter> model_;
};

/// The images that each later run does worst against the first, looked at anew.
std::vector<Regression> regressions_of(const std::vector<LeftRun>& runs, const CompareOptions& options,
                                       const models::Registry& registry) {
  std::vector<Regression> out;
  const Machine machine = machine_of(options.machine);
  std::unique_ptr<Predictor> first;
  for (std::size_t i = 1; i < runs.size() && runs.front().review; ++i) {
    if (!runs[i].review) continue;
    std::vector<PairedDice> pairs = paired(*runs.front().review, *runs[i].review);
    std::erase_if(pairs, [](const PairedDice& pair) { return pair.second >= pair.first; });
    std::stable_sort(pairs.begin(), pairs.end(),
                     [](const PairedDice& a, const PairedDice& b) { return a.second - a.first < b.second - b.first; });
    pairs.resize(std::min(pairs.size(), kWorst));
    if (pairs.empty()) continue;
    if (!first) first = std::make_unique<Predictor>(runs.front(), options.data, machine, registry);
    Predictor second(runs[i], options.data, machine, registry);
    for (const PairedDice& pair : pairs) {
      const Predictor::Seen a = first->at(pair.place), b = second.at(pair.place);
      const auto tinted = [](const Predictor::Seen& seen, const std::vector<std::uint8_t>& labels,
                             Background background) {
        return picture_uri(tint(photo_in_page(seen.photo), labels_in_page(labels, seen.photo).data(), background));
      };
      out.push_back({.name = pair.name,
                     .run = runs[i].title,
                     .first = pair.first,
                     .second = pair.second,
                     .photo = picture_uri(photo_in_page(a.photo)),
                     .truth = tinted(a, a.truth, first->background()),
                     .first_prediction = tinted(a, a.prediction, first->background()),
                     .second_prediction = tinted(b, b.prediction, second.background())});
    }
  }
  return out;
}

void require_same_data(const std::vector<LeftRun>& runs) {
  std::string list;
  for (std::size_t i = 1; i < runs.size(); ++i) {
    for (const std::string& line : differences_of_data(runs.front(), runs[i])) {
      list += "\n  " + escaped(fmt::format("{} and {}: {}", runs.front().title, runs[i].title, line));
    }
  }
  if (list.empty()) return;
  throw Error("the runs were not validated on the same data, so their figures do not compare:" + list +
              "\nName runs on one data set, or evaluate their checkpoints on one with eval_unet --report");
}

void run(const CompareOptions& options, const models::Registry& registry) {
  std::vector<LeftRun> runs;
  for (const std::string& folder : options.runs) {
    runs.push_back(left_run(folder));
    const auto same = std::count_if(runs.begin(), runs.end() - 1, [&](const LeftRun& other) {
      return other.folder.filename() == runs.back().folder.filename();
    });
    if (same > 0) runs.back().title += fmt::format(" ({})", same + 1);
  }
  for (const LeftRun& left : runs) require_no_input("-o", options.output, {left.folder});
  require_same_data(runs);
  std::vector<Regression> regressions;
  std::string note;
  try {
    regressions = regressions_of(runs, options, registry);
  } catch (const Error& error) {
    note = fmt::format("There are no pictures: {}.", error.what());
    warn("compare_runs: warning: no pictures of what became worse: {}; name the data's folder with -d\n", error.what());
    if (!options.report_paths) note = "There are no pictures: data or checkpoints of the runs could not be read.";
  }
  write_file_durably(options.output, comparison_page(runs, regressions, note, options.report_paths));
  say("{} runs compared: {}\n", runs.size(), options.output);
}

}  // namespace

int compare_runs(int argc, char** argv, const models::Registry& registry) {
  begin_program();
  CompareOptions options;
  try {
    if (const std::optional<int> code = parse(argc, argv, options)) return *code;
    run(options, registry);
    check_screen();
  } catch (const std::exception& error) {
    return fail("compare_runs", error);
  }
  return 0;
}

}  // namespace unet
