#include <array>

#include "apps/command_line.h"
#include "apps/option_table.h"
#include "apps/run/outputs.h"
#include "apps/run/screen.h"
#include "apps/run/version.h"

namespace unet {
namespace {

constexpr const char* kOfCheckpoint = "the checkpoint's";

/// What eval_unet and predict_unet share: the network's size or that of tiles, views, the photographs' turning and
/// normalization, else as in training.
template <class Options>
OptionTable image_rows(Options& o) {
  return {
      {"", "--image-size,--imgsz", extent("--image-size", o.image_size, kOfCheckpoint), kExtentHelp},
      {"", "--tile", extent("--tile", o.tile, "the crop of a checkpoint of crops, else off"),
       "Instead of shrinking images, make overlapping tiles of N or HxW pixels of them, at their own scale"},
      {"", "--tta", choice(o.tta, {Tta::none, Tta::flip, Tta::flip_scale}),
       "Average the probabilities of an image and its mirror image; flip+scale: at 0.75, 1 and 1.25 times the size"},
      {"", "--exif", by_default(choice(o.exif, kExif), kOfCheckpoint), kExifHelp},
      {"", "--normalization", by_default(normalization(o.normalization), kOfCheckpoint), kNormalizationHelp}};
}

OptionTable joined(std::initializer_list<OptionTable> tables) {
  OptionTable out;
  for (const OptionTable& table : tables) out.insert(out.end(), table.begin(), table.end());
  return out;
}

/// What is wrong with these options together, or nothing.
template <class Options>
std::string wrong_together(const Options& o) {
  if (!o.image_size || !o.tile) return {};
  return fmt::format("--tile {} takes images as they are, and --image-size {} would shrink them: leave one of them out",
                     o.tile->str(), o.image_size->str());
}

OptionTable ungrouped(OptionTable table) {
  for (OptionRow& row : table) row.group.clear();
  return table;
}

}  // namespace

std::optional<int> parse(int argc, char** argv, EvalOptions& o) {
  CLI::App app("Evaluates a checkpoint on a split of a data set: cross-entropy, Dice, IoU, pixel accuracy.",
               "eval_unet");
  app.set_version_flag("--version", version_text("eval_unet"));
  add_options(app,
              joined({{{"", "-c,--checkpoint", required(name(o.checkpoint, "FILE")), "Checkpoint (.safetensors, .pth)"},
                       {"", "--split", words(o.split, {"train", "val", "trainval", "test", "all"}),
                        "Which images; all: whatever the lists name, or every pair where there are none"}},
                      data_rows(o.data, ""),
                      image_rows(o),
                      {{"", "-b,--batch-size,--batch", number(o.batch_size, kBatch), "Images in a pass"},
                       {"", "-j,--workers", number(o.workers, Within{0, 256}), "Threads that load images"}},
                      ungrouped(machine_rows(o.machine)),
                      {{"", "--json", name(o.json, "FILE"), "Write the figures here as JSON; -: to standard output"},
                       {"", "--per-image", name(o.per_image, "FILE"),
                        "Write each image's figures here as CSV; -: to standard output"},
                       {"", "--overlays", name(o.overlays, "DIR"),
                        "Write pictures here: photo | truth | prediction | comparison"},
                       {"", "--report", name(o.report, "FILE"),
                        "Write a page to look at here: figures, classes, confusion, certainty, pictures (HTML)"},
                       {"", "--report-paths", flag(o.report_paths), "Whole paths in that page"},
                       {"", "--worst", number(o.worst, Within{1, kMostOf}),
                        "Overlays of the K images with the lowest Dice only; names them"}}}));
  const std::optional<int> code = parse_words(app, argc, argv);
  // Absolute first: of a name that is not there yet nothing else is brought to one form.
  const auto whole = [](const std::string& path) {
    return std::filesystem::weakly_canonical(std::filesystem::absolute(path));
  };
  const auto one_file = [&whole](const std::string& a, const std::string& b) {
    return is_standard_output(a) ? is_standard_output(b) : whole(a) == whole(b);
  };
  if (code) return code;
  for (const std::string& wrong : {resolve(o.data), wrong_together(o)}) {
    if (wrong.empty()) continue;
    warn("eval_unet: {}\n", wrong);
    return 2;
  }
  const std::array<std::pair<const char*, const std::string*>, 3> files{
      {{"--json", &o.json}, {"--per-image", &o.per_image}, {"--report", &o.report}}};
  for (std::size_t a = 0; a < files.size(); ++a) {
    for (std::size_t b = a + 1; b < files.size(); ++b) {
      if (files[a].second->empty() || files[b].second->empty() || !one_file(*files[a].second, *files[b].second))
        continue;
      warn("eval_unet: {} and {} name one file; name two\n", files[a].first, files[b].first);
      return 2;
    }
  }
  return std::nullopt;
}

std::optional<int> parse(int argc, char** argv, PredictOptions& o) {
  CLI::App app(
      "Segments photographs: a mask PNG (0/255, or a palette of classes) and an overlay of each, at its own size.",
      "predict_unet");
  app.set_version_flag("--version", version_text("predict_unet"));
  const auto pictures = [&o](CLI::App& to, const std::string& names, const std::string& help) {
    return to.add_option(names, o.inputs, help)->required()->type_name("IMAGE_OR_FOLDER...");
  };
  add_options(
      app,
      joined({{{"", "-c,--checkpoint", required(name(o.checkpoint, "FILE")), "Checkpoint (.safetensors, .pth)"},
               {"", "inputs", {pictures, {}}, "Images, or folders of images, sub-folders included"},
               {"", "-o,--output,--output-dir", required(name(o.output, "DIR")),
                "Folder for NAME_mask.png and NAME_overlay.png"}},
              image_rows(o),
              {{"", "--threshold", number(o.threshold, Real::share),
                "Foreground where its probability (1 - that of class 0) is at least this [the most probable class]"},
               {"", "!--no-overlay", flag(o.overlay), "Write no overlays"},
               {"", "--probabilities", flag(o.probabilities),
                "Also write NAME_prob_<class>.png for each class: 16 bits, 65535 is certain"}},
              ungrouped(machine_rows(o.machine))}));
  const std::optional<int> code = parse_words(app, argc, argv);
  if (code) return code;
  if (const std::string wrong = wrong_together(o); !wrong.empty()) {
    warn("predict_unet: {}\n", wrong);
    return 2;
  }
  return std::nullopt;
}

std::optional<int> parse(int argc, char** argv, CompareOptions& o) {
  CLI::App app("Compares runs on the same data in a page: curves, figures, options, image by image.", "compare_runs");
  app.set_version_flag("--version", version_text("compare_runs"));
  const auto folders = [&o](CLI::App& to, const std::string& names, const std::string& help) {
    return to.add_option(names, o.runs, help)->required()->expected(2, 9)->type_name("RUN...");
  };
  add_options(app,
              joined({{{"", "runs", {folders, {}}, "Folders of two to nine runs; the first is held against the others"},
                       {"", "-o,--output", required(name(o.output, "FILE")), "The page (HTML)"},
                       {"", "-d,--data", name(o.data, "DIR"), "Where the data lie now [where the runs found them]"},
                       {"", "--report-paths", flag(o.report_paths), "Whole paths in the page"}},
                      ungrouped(machine_rows(o.machine))}));
  return parse_words(app, argc, argv);
}

}  // namespace unet
