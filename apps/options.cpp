#include "apps/options.h"

#include "apps/command_line.h"
#include "apps/numbers.h"
#include "apps/options_file.h"
#include "apps/run/outputs.h"
#include "apps/run/screen.h"
#include "apps/run/version.h"
#include "engine/core/error.h"
#include "engine/data/grouping.h"
#include "engine/ops/conv_plans.h"
#include "kernels/cpu/parallel.h"

namespace unet {
namespace {

constexpr std::int64_t kMinSide = 16;
constexpr std::int64_t kMaxSide = 16384;
constexpr std::int64_t kMostOf = std::int64_t{1} << 30;  // of anything that is counted
constexpr Within kBatch{1, 65536};

/// "256" or "192x256" (height x width).
ImageExtent extent_of(const std::string& text) {
  const std::size_t cross = text.find('x');
  const std::optional<std::int64_t> height = plain_number(text.substr(0, cross));
  const std::optional<std::int64_t> width = cross == text.npos ? height : plain_number(text.substr(cross + 1));
  if (!height || !width) {
    throw CLI::ValidationError("--image-size", fmt::format("\"{}\" is not N or HxW, e.g. 256 or 192x256", text));
  }
  if (std::min(*height, *width) < kMinSide || std::max(*height, *width) > kMaxSide) {
    throw CLI::ValidationError("--image-size",
                               fmt::format("{} is outside {}..{} pixels a side", text, kMinSide, kMaxSide));
  }
  return {*height, *width};
}

const std::map<std::string, LossKind> kLosses{{"cross_entropy", LossKind::cross_entropy}, {"dice", LossKind::dice}};
const std::map<std::string, Exif> kExif{{"apply", Exif::apply}, {"ignore", Exif::ignore}};
const std::map<std::string, Background> kBackgrounds{{"0", Background::class0}, {"none", Background::none}};
const std::map<std::string, BestBy> kBestBy{{"dice", BestBy::dice},
                                            {"dice_nonempty", BestBy::dice_nonempty},
                                            {"dice_dataset", BestBy::dice_dataset},
                                            {"iou_dataset", BestBy::iou_dataset}};
const std::map<std::string, ScheduleKind> kSchedules{
    {"constant", ScheduleKind::constant}, {"cosine", ScheduleKind::cosine}, {"plateau", ScheduleKind::plateau}};

/// Value is Kind, or an optional of it.
template <class Value, class Kind>
CLI::Option* add_choice(CLI::App& app, const std::string& name, Value& value, const std::map<std::string, Kind>& kinds,
                        const std::string& help) {
  std::string chosen;
  for (const auto& [word, kind] : kinds) {
    if (kind == value) chosen = word;
  }
  return app
      .add_option_function<std::string>(
          name, [&value, kinds](const std::string& word) { value = kinds.at(word); }, help)
      ->check(CLI::IsMember([&kinds] {
        std::vector<std::string> list;
        for (const auto& [word, kind] : kinds) list.push_back(word);
        return list;
      }()))
      ->type_name("WORD")
      ->default_str(chosen);
}

CLI::Option* add_words(CLI::App& app, const std::string& name, std::string& value,
                       const std::vector<std::string>& words, const std::string& help) {
  return app.add_option(name, value, help)->check(CLI::IsMember(words))->type_name("WORD")->capture_default_str();
}

/// The name of a file or folder. An empty one is what an unset variable of a shell leaves, and no wish to do without.
CLI::Option* add_name(CLI::App& app, const std::string& name, std::string& value, const std::string& type,
                      const std::string& help) {
  static const CLI::Validator filled(
      [](const std::string& text) { return text.empty() ? std::string("is empty, expected a name") : std::string(); },
      "");
  CLI::Option* option = app.add_option(name, value, help)->check(filled)->type_name(type);
  return value.empty() ? option : option->capture_default_str();
}

void add_extent(CLI::App& app, std::function<void(ImageExtent)> set, const std::string& default_text) {
  app.add_option_function<std::string>(
         "--image-size", [set](const std::string& text) { set(extent_of(text)); },
         "Network resolution: N or HxW (height x width), at least 16 a side")
      ->type_name("SIZE")
      ->default_str(default_text);
}

/// Wrong use is told here; what the names in the folder make of the pattern, when it is opened.
void add_group_by(CLI::App& app, std::string& value, const std::string& help) {
  app.add_option_function<std::string>(
         "--group-by",
         [&value](const std::string& pattern) {
           try {
             if (pattern.empty()) throw Error("is empty, expected a pattern");
             group_by(pattern);
           } catch (const Error& error) {
             throw CLI::ValidationError("--group-by", error.what());
           }
           value = pattern;
         },
         help)
      ->type_name("REGEX");
}

template <class Value>
CLI::Option* add_exif(CLI::App& app, Value& value) {
  return add_choice(app, "--exif", value, kExif, "Turn photographs upright as their EXIF orientation asks, or not");
}

void add_machine(CLI::App& app, MachineOptions& o) {
  add_words(app, "--device", o.device, {"auto", "cpu", "cuda"}, "Where to compute; auto: CUDA where it works");
  add_words(app, "--precision", o.precision, {"fp32", "tf32", "bf16"}, "Arithmetic");
  add_words(app, "--conv", o.conv, {"auto", "direct", "onednn", "own"}, "Who provides convolutions on the CPU");
  app.add_flag("--autotune", o.autotune,
               "Time every convolution's candidates once, at its first use, and keep the best");
  add_name(app, "--plans", o.plans, "FILE", "Choices of convolutions to repeat: a run's plans.json");
  add_number(app, "--threads", o.threads, {0, 4096}, "Threads for computing; 0: all that the affinity mask allows");
}

/// Gives all options added since the last call to one group of --help.
void group(CLI::App& app, std::size_t& done, const std::string& name) {
  const std::vector<CLI::Option*> options = app.get_options();
  for (; done < options.size(); ++done) options[done]->group(name);
}

std::string plain(double value) { return fmt::format("{}", value); }

}  // namespace

std::string ImageExtent::str() const {
  return height == width ? std::to_string(height) : fmt::format("{}x{}", height, width);
}

const char* name_of(LossKind loss) { return loss == LossKind::dice ? "dice" : "cross_entropy"; }

std::vector<std::pair<std::string, std::string>> TrainOptions::resolved() const {
  const std::vector<Phase> phases = phases_of(*this);
  return {{"data", escaped(data)},
          {"model", model},
          {"base-channels", std::to_string(base_channels)},
          {"bilinear", bilinear ? "true" : "false"},
          {"classes", std::to_string(classes)},
          {"epochs", std::to_string(epochs)},
          {"phase2-epochs", std::to_string(phases.size() > 1 ? phases[1].epochs : 0)},
          {"batch-size", std::to_string(batch_size)},
          {"accumulate", std::to_string(accumulate)},
          {"lr", plain(lr)},
          {"phase2-lr", plain(phase2_lr.value_or(lr / 10))},
          {"phase1-loss", name_of(phase1_loss)},
          {"phase2-loss", name_of(phase2_loss)},
          {"weight-decay", plain(weight_decay)},
          {"decay-all", decay_all ? "true" : "false"},
          {"schedule", name_of(schedule)},
          {"warmup", std::to_string(warmup)},
          {"clip-norm", clip_norm > 0 ? plain(clip_norm) : "off"},
          {"image-size", image_size.str()},
          {"augment", augment},
          {"border", border},
          {"exif", name_of(exif)},
          {"background", name_of(background)},
          {"best-by", name_of(best_by)},
          {"group-by", group_by.empty() ? "none" : group_by},
          {"device", machine.device},
          {"precision", machine.precision},
          {"conv", machine.conv},
          {"autotune", machine.autotune ? "true" : "false"},
          {"plans", escaped(machine.plans)},
          {"threads", std::to_string(machine.threads)},
          {"workers", std::to_string(workers)},
          {"cache-mb", std::to_string(cache_mb)},
          {"seed", std::to_string(seed)},
          {"no-shuffle", no_shuffle ? "true" : "false"},
          {"init", escaped(init)},
          {"output", escaped(output)},
          {"keep", keep < 0 ? "all" : std::to_string(keep)},
          {"save-every", plain(save_every)},
          {"on-corrupt", on_corrupt},
          {"max-steps", max_steps > 0 ? std::to_string(max_steps) : "none"}};
}

std::vector<Phase> phases_of(const TrainOptions& options) {
  std::vector<Phase> phases{{1, options.phase1_loss, options.epochs, options.lr}};
  const std::int64_t second = options.phase2_epochs.value_or(std::max<std::int64_t>(1, options.epochs / 3));
  if (second > 0) phases.push_back({2, options.phase2_loss, second, options.phase2_lr.value_or(options.lr / 10)});
  return phases;
}

std::optional<int> parse(int argc, char** argv, TrainOptions& o) {
  CLI::App app("Trains a segmentation network in two phases: cross-entropy, then soft-Dice from the best checkpoint.",
               "train_unet");
  app.set_version_flag("--version", version_text("train_unet"));
  add_options_file(app);
  std::size_t done = app.get_options().size();
  constexpr Within positive{1, kMostOf}, not_negative{0, kMostOf};

  add_name(app, "-d,--data", o.data, "DIR", "Folder of images and masks")->required();
  app.add_option_function<std::string>(
         "--image-size", [&o](const std::string& text) { o.image_size = extent_of(text); },
         "Network resolution: N or HxW (height x width), at least 16 a side")
      ->type_name("SIZE")
      ->default_str("256");
  add_number(app, "--classes", o.classes, {2, 255}, "Classes, class 0 included");
  add_words(app, "--border", o.border, {"foreground", "background", "ignore"}, "What a trimap's border counts as");
  add_exif(app, o.exif);
  add_choice(app, "--background", o.background, kBackgrounds,
             "Which class is what is left over and never scored; none: every class counts");
  add_group_by(app, o.group_by,
               "Stems whose first capture group is equal go into one split, as slices of a patient: \"^(.+)_slice\"; "
               "lists are checked for it");
  add_words(app, "--on-corrupt", o.on_corrupt, {"stop", "skip"},
            "What a broken image does: skip leaves out at most 1 %");
  add_words(app, "--augment", o.augment, {"none", "flip", "standard"}, "Random changes to training images");
  add_number(app, "-j,--workers", o.workers, {0, 256}, "Threads that load images; 0: load in between");
  add_number(app, "--cache-mb", o.cache_mb, not_negative, "Memory for decoded images, in MiB");
  app.add_flag("--no-shuffle", o.no_shuffle, "Keep the order of the list");
  group(app, done, "Data");

  add_words(app, "--model", o.model, {"unet"}, "Network");
  add_number(app, "--base-channels", o.base_channels, {1, 4096}, "Channels of the first level, doubled four times");
  app.add_flag("--bilinear", o.bilinear, "Upsample bilinearly instead of by transposed convolutions");
  add_name(app, "--init", o.init, "FILE", "Begin with the weights of this checkpoint");
  group(app, done, "Network");

  add_number(app, "-e,--epochs", o.epochs, positive, "Epochs of phase 1");
  add_number(app, "--phase2-epochs", o.phase2_epochs, not_negative,
             "Epochs of phase 2; 0 skips it [a third of --epochs]");
  add_number(app, "-b,--batch-size", o.batch_size, kBatch, "Images in a pass");
  add_number(
      app, "--accumulate", o.accumulate, positive,
      "Passes in a step, each by its images: one batch's loss where no pixel is ignored, else a denominator a pass");
  add_number(app, "--lr", o.lr, Real::positive, "Learning rate of phase 1");
  add_number(app, "--phase2-lr", o.phase2_lr, Real::positive, "Learning rate of phase 2 [a tenth of --lr]");
  add_choice(app, "--phase1-loss", o.phase1_loss, kLosses, "Loss of phase 1");
  add_choice(app, "--phase2-loss", o.phase2_loss, kLosses, "Loss of phase 2");
  add_choice(app, "--best-by", o.best_by, kBestBy, "Validation figure that chooses the best epoch and steers plateau");
  add_number(app, "--weight-decay", o.weight_decay, Real::not_negative,
             "Decoupled weight decay of weights; biases and batch norms are left alone");
  app.add_flag("--decay-all", o.decay_all, "--weight-decay takes biases and batch norms too, as AdamW by itself does");
  add_choice(app, "--schedule", o.schedule, kSchedules, "Course of the learning rate within a phase");
  add_number(app, "--warmup", o.warmup, not_negative, "Steps of linear warm-up");
  add_number(app, "--clip-norm", o.clip_norm, Real::positive, "Largest norm of the gradient")->default_str("off");
  add_number(app, "--max-steps", o.max_steps, positive,
             "End after this many steps, over both phases; the epoch under way ends there")
      ->default_str("none");
  add_seed(app, "--seed", o.seed, "Seed of weights, order and augmentation");
  group(app, done, "Training");

  add_machine(app, o.machine);
  group(app, done, "Machine");

  add_name(app, "-o,--output", o.output, "DIR", "Folder for checkpoints and logs");
  app.add_option_function<std::string>(
         "--keep",
         [&o](const std::string& text) {
           const std::optional<std::int64_t> number = plain_number(text);
           if (text != "all" && (!number || *number < 0 || *number > kMostOf)) {
             throw CLI::ValidationError("--keep", fmt::format("\"{}\" is neither a number nor `all`", text));
           }
           o.keep = number.value_or(-1);
         },
         "Epoch files to keep besides the best ones, or `all`")
      ->type_name("N")
      ->default_str("3");
  add_number(app, "--save-every", o.save_every, Real::not_negative,
             "Seconds between saves of the run's state within an epoch");
  add_name(app, "--resume", o.resume, "auto|FILE",
           "Go on where a run stopped: `auto` for that of the output folder, or its last.safetensors");
  app.add_flag("--force", o.force, "Resume in spite of other options, data or machine, or damaged logs");
  app.add_flag("--overwrite", o.overwrite, "Replace the run that the output folder holds");
  app.add_flag("--dry-run", o.dry_run,
               "Report data, operations, memory and time of an epoch by running two steps, and end; write nothing");
  app.add_flag("--verbose", o.verbose, "Also print each step");
  app.add_flag("--quiet", o.quiet, "Print only the last lines");
  group(app, done, "Output");
  const std::optional<int> code = parse_words(app, argc, argv);
  if (!code && o.background == Background::none && o.best_by == BestBy::dice_nonempty) {
    warn(
        "train_unet: --best-by dice_nonempty asks for a background, and --background is none: choose another figure\n");
    return 2;
  }
  return code;
}

std::optional<int> parse(int argc, char** argv, EvalOptions& o) {
  CLI::App app("Evaluates a checkpoint on a split of a data set: cross-entropy, Dice, IoU, pixel accuracy.",
               "eval_unet");
  app.set_version_flag("--version", version_text("eval_unet"));
  add_name(app, "-c,--checkpoint", o.checkpoint, "FILE", "Checkpoint (.safetensors)")->required();
  add_name(app, "-d,--data", o.data, "DIR", "Folder of images and masks")->required();
  add_words(app, "--split", o.split, {"train", "val", "trainval", "test", "all"},
            "Which images; all: whatever the lists name, or every pair where there are none");
  add_group_by(app, o.group_by,
               "As in training, which the checkpoint remembers: without lists the same splits follow from the same "
               "groups only");
  add_extent(
      app, [&o](ImageExtent extent) { o.image_size = extent; }, "the checkpoint's");
  add_exif(app, o.exif)->default_str("the checkpoint's");
  add_number(app, "-b,--batch-size", o.batch_size, kBatch, "Images in a pass");
  add_number(app, "-j,--workers", o.workers, {0, 256}, "Threads that load images");
  add_machine(app, o.machine);
  add_name(app, "--json", o.json, "FILE", "Write the figures here as JSON; -: to standard output");
  add_name(app, "--per-image", o.per_image, "FILE", "Write each image's figures here as CSV; -: to standard output");
  add_name(app, "--overlays", o.overlays, "DIR", "Write pictures here: photo | truth | prediction | comparison");
  add_number(app, "--worst", o.worst, {1, kMostOf}, "Overlays of the K images with the lowest Dice only; names them");
  const std::optional<int> code = parse_words(app, argc, argv);
  const auto one_file = [](const std::string& a, const std::string& b) {
    return is_standard_output(a) ? is_standard_output(b)
                                 : std::filesystem::weakly_canonical(a) == std::filesystem::weakly_canonical(b);
  };
  if (!code && !o.json.empty() && !o.per_image.empty() && one_file(o.json, o.per_image)) {
    warn("eval_unet: --json and --per-image name one file; name two\n");
    return 2;
  }
  return code;
}

std::optional<int> parse(int argc, char** argv, PredictOptions& o) {
  CLI::App app(
      "Segments photographs: a mask PNG (0/255, or a palette of classes) and an overlay of each, at its own size.",
      "predict_unet");
  app.set_version_flag("--version", version_text("predict_unet"));
  add_name(app, "-c,--checkpoint", o.checkpoint, "FILE", "Checkpoint (.safetensors)")->required();
  app.add_option("inputs", o.inputs, "Images, or folders of images, sub-folders included")
      ->required()
      ->type_name("IMAGE_OR_FOLDER...");
  add_name(app, "-o,--output", o.output, "DIR", "Folder for NAME_mask.png and NAME_overlay.png")->required();
  add_extent(
      app, [&o](ImageExtent extent) { o.image_size = extent; }, "the checkpoint's");
  add_exif(app, o.exif)->default_str("the checkpoint's");
  add_number(app, "--threshold", o.threshold, Real::share,
             "Foreground where its probability (1 - that of class 0) is at least this [the most probable class]");
  app.add_flag("!--no-overlay", o.overlay, "Write no overlays");
  app.add_flag("--probabilities", o.probabilities,
               "Also write NAME_prob_<class>.png for each class: 16 bits, 65535 is certain");
  add_machine(app, o.machine);
  return parse_words(app, argc, argv);
}

}  // namespace unet
