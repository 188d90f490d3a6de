#include <algorithm>
#include <array>

#include "apps/command_line.h"
#include "apps/option_table.h"
#include "apps/options_file.h"
#include "apps/preset.h"
#include "apps/run/screen.h"
#include "apps/run/version.h"
#include "engine/core/error.h"

namespace unet {
namespace {

constexpr const char* kLossType = "LOSS";

/// The options of the two phases, which --phase stands in for.
constexpr std::array kOfTwo{"epochs", "phase2-epochs", "lr", "phase2-lr", "phase1-loss", "phase2-loss"};

std::int64_t phase2_epochs_of(const TrainOptions& o) {
  return o.phase2_epochs.value_or(std::max<std::int64_t>(1, o.epochs / 3));
}
double lr_of(const TrainOptions& o) { return o.lr.value_or(o.optimizer == OptimizerKind::sgd ? 1e-2 : 1e-3); }
double phase2_lr_of(const TrainOptions& o) { return o.phase2_lr.value_or(lr_of(o) / 10); }

/// The phases of a run in so many words, instead of the options of the two.
OptionKind phases(Recipe& recipe) {
  return {[&recipe](CLI::App& app, const std::string& names, const std::string& help) {
            return app
                .add_option_function<std::vector<std::string>>(
                    names,
                    [&recipe](const std::vector<std::string>& texts) {
                      recipe.clear();
                      try {
                        for (const std::string& text : texts) {
                          recipe.push_back(parse_phase(text));
                          recipe.back().number = static_cast<int>(recipe.size());
                        }
                        if (recipe.size() > kMostPhases) throw Error("more than {} phases", kMostPhases);
                        if (recipe[0].from == From::last) throw Error("no phase is before the first: leave out from");
                      } catch (const Error& error) {
                        throw CLI::ValidationError("--phase", error.what());
                      }
                    },
                    help)
                ->type_name("NAME=VALUE,...")
                ->expected(1)
                ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
          },
          [&recipe] { return text_of(recipe); }};
}

OptionKind keep(std::int64_t& value) {
  return {[&value](CLI::App& app, const std::string& names, const std::string& help) {
            return app
                .add_option_function<std::string>(
                    names,
                    [&value](const std::string& text) {
                      const std::optional<std::int64_t> number = plain_number(text);
                      if (text != "all" && (!number || *number < 0 || *number > kMostOf)) {
                        throw CLI::ValidationError("--keep", fmt::format("\"{}\" is neither a number nor `all`", text));
                      }
                      value = number.value_or(-1);
                    },
                    help)
                ->type_name("N")
                ->default_str(std::to_string(value));
          },
          [&value] { return value < 0 ? "all" : std::to_string(value); }};
}

/// What parse(text) makes of a text; an Error of it is wrong use.
template <class Value, class Parse>
OptionKind parsed(Value& value, const std::string& option, const std::string& type, Parse parse) {
  return {[&value, option, type, parse](CLI::App& app, const std::string& names, const std::string& help) {
            return app
                .add_option_function<std::string>(
                    names,
                    [&value, option, parse](const std::string& text) {
                      try {
                        value = parse(text);
                      } catch (const Error& error) {
                        throw CLI::ValidationError(option, error.what());
                      }
                    },
                    help)
                ->type_name(type)
                ->default_str(text_of(value));
          },
          [&value] { return text_of(value); }};
}

/// A number that is not 0, which is `off`.
template <class Value, class Bounds>
OptionKind or_off(Value& value, Bounds bounds) {
  return told_as(by_default(number(value, bounds), "off"), [&value] { return value > 0 ? told(value) : "off"; });
}

/// How long the encoder is frozen. Without a number: always.
OptionKind epochs_frozen(std::int64_t& value) {
  return {[&value](CLI::App& app, const std::string& names, const std::string& help) {
            return app
                .add_option_function<std::string>(
                    names,
                    [&value](const std::string& text) {
                      const bool always = text.empty() || text == "all";
                      value = always ? kAllEpochs : number_of("--freeze-encoder", text, Within{0, kMostOf});
                    },
                    help)
                ->type_name("[N]")
                ->expected(0, 1);
          },
          [&value] { return value == kAllEpochs ? "all" : std::to_string(value); }};
}

}  // namespace

OptionTable table_of(TrainOptions& o, const std::vector<std::string>& networks) {
  constexpr Within kPositive{1, kMostOf}, kNotNegative{0, kMostOf};
  const std::string common = "Common", data = "Data", network = "Network", training = "Training", output = "Output";

  OptionTable table{
      {common, "-o,--output,--output-dir", name(o.output, "DIR"), "Folder for checkpoints and logs", true},
      {common, "--resume", of_this_call(name(o.resume, "auto|FILE")),
       "Go on where a run stopped: alone (or auto) that of the output folder, or =its last.safetensors"},
      {common, "--preset", preset(o.preset), "Options for a purpose; what is given besides wins", true},
      {common, "--image-size,--imgsz",
       extent(
           "--image-size", [&o](ImageExtent extent) { o.image_size = extent; }, "256",
           [&o] { return o.image_size.str(); }),
       kExtentHelp},
      {common, "--classes", number(o.classes, Within{2, 255}), "Classes, class 0 included"},
      {common, "--base-channels", number(o.base_channels, Within{1, 4096}),
       "Channels of the first level; deeper ones have multiples of them"},
      {common, "-e,--epochs", number(o.epochs, kPositive), "Epochs of phase 1"},
      {common, "-b,--batch-size,--batch", number(o.batch_size, kBatch), "Images in a pass"},
      {common, "--lr,--learning-rate", told_as(number(o.lr, Real::positive), [&o] { return told(lr_of(o)); }),
       "Learning rate of phase 1 [0.001, with --optimizer sgd 0.01]"},

      {data, "--border", words(o.border, {"foreground", "background", "ignore"}), "What a trimap's border counts as"},
      {data, "--exif", choice(o.exif, kExif), kExifHelp},
      {data, "--background", choice(o.background, {Background::class0, Background::none}),
       "Which class is what is left over and never scored; none: every class counts"},
      {data, "--on-corrupt", words(o.on_corrupt, {"stop", "skip"}),
       "What a broken image does: skip leaves out at most 1 %"},
      {data, "--augment", words(o.augment, {"none", "flip", "standard", "strong"}),
       "Random changes to training images"},
      {data, "-j,--workers", number(o.workers, Within{0, 256}), "Threads that load images; 0: load in between", true},
      {data, "--cache-mb", number(o.cache_mb, kNotNegative), "Memory for decoded images, in MiB", true},
      {data, "--no-shuffle", flag(o.no_shuffle), "Keep the order of the list"},
      {data, "--crop", extent("--crop", o.crop, "off"),
       "Train on random crops of N or HxW pixels at the images' own scale, instead of whole images at --image-size; "
       "validation, eval_unet and predict_unet make overlapping tiles of that size"},
      {data, "--crops-per-image", number(o.crops_per_image, Within{1, 65536}), "Crops of each image in an epoch"},

      {network, "--model", words(o.model, networks), "Network"},
      {network, "--bilinear", flag(o.bilinear), "Upsample bilinearly instead of by transposed convolutions"},
      {network, "--init", name(o.init, "FILE"), "Begin with the weights of this checkpoint", true},
      {network, "--encoder-weights", name(o.encoder_weights, "FILE"),
       "Begin with an encoder that was trained elsewhere: torchvision's resnet34, or that of a whole network", true},
      {network, "--freeze-encoder", epochs_frozen(o.freeze_encoder),
       "Epochs in which the encoder does not learn, its batch norms as in inference; without a number all"},
      {network, "--encoder-lr-scale", number(o.encoder_lr_scale, Real::positive),
       "What the learning rate is multiplied by for the encoder"},
      {network, "--normalization", by_default(normalization(o.normalization), "that of --init, or imagenet"),
       kNormalizationHelp},

      {data, "--write-class-map", of_this_call(name(o.write_class_map, "FILE")),
       "Propose a class map from what the masks hold, and end"},

      {training, "--phase2-epochs",
       told_as(number(o.phase2_epochs, kNotNegative), [&o] { return told(phase2_epochs_of(o)); }),
       "Epochs of phase 2; 0 skips it [a third of --epochs]"},
      {training, "--accumulate", number(o.accumulate, kPositive),
       "Passes in a step, each by its images: one batch's loss where no pixel is ignored, else a denominator a pass"},
      {training, "--phase2-lr", told_as(number(o.phase2_lr, Real::positive), [&o] { return told(phase2_lr_of(o)); }),
       "Learning rate of phase 2 [a tenth of --lr]"},
      {training, "--phase1-loss", parsed(o.phase1_loss, "--phase1-loss", kLossType, nn::parse_loss),
       "Loss of phase 1: cross_entropy[(smoothing=X)], focal[(gamma=X)], dice (image by image), dice_batch, or a sum: "
       "\"cross_entropy + 0.5 dice\""},
      {training, "--phase2-loss", parsed(o.phase2_loss, "--phase2-loss", kLossType, nn::parse_loss), "Loss of phase 2"},
      {training, "--class-weights", parsed(o.class_weights, "--class-weights", "WORD|W,W,...", parse_class_weights),
       "How much classes count in cross_entropy and focal: none, inverse or median-frequency (of the training masks), "
       "or a number each"},
      {training, "--phase", phases(o.phases),
       "Instead of the options of the two phases, once a phase: loss=LOSS, epochs=N, lr=X, "
       "from=best|last (which weights of the phase before; best if left out). In a file of --config: [[phase]]"},
      {training, "--best-by",
       choice(o.best_by, {BestBy::dice, BestBy::dice_nonempty, BestBy::dice_dataset, BestBy::iou_dataset}),
       "Validation figure that chooses the best epoch and steers plateau"},
      {training, "--optimizer", choice(o.optimizer, {OptimizerKind::adam, OptimizerKind::sgd}),
       "What moves the weights: Adam, or SGD with momentum"},
      {training, "--momentum", number(o.momentum, Real::below_one), "Momentum of --optimizer sgd"},
      {training, "--nesterov", flag(o.nesterov), "Nesterov's form of that momentum"},
      {training, "--weight-decay", number(o.weight_decay, Real::not_negative),
       "Decoupled weight decay, W -= lr * X * W in a step, of weights; biases and batch norms are left alone"},
      {training, "--decay-all", flag(o.decay_all),
       "--weight-decay takes biases and batch norms too, as AdamW by itself does"},
      {training, "--ema", or_off(o.ema, Real::between),
       "Decay of an average of the weights, A += (1 - X) * (W - A) after a step, which is validated, saved and chosen; "
       "each phase begins a new one"},
      {training, "--schedule",
       choice(o.schedule, {ScheduleKind::constant, ScheduleKind::cosine, ScheduleKind::poly, ScheduleKind::plateau}),
       "Course of the learning rate within a phase"},
      {training, "--warmup", number(o.warmup, kNotNegative), "Steps of linear warm-up"},
      {training, "--patience", or_off(o.patience, kPositive),
       "End a phase when its best epoch is this many epochs old; the schedule's course stays that of all its epochs"},
      {training, "--clip-norm", or_off(o.clip_norm, Real::positive), "Largest norm of the gradient"},
      {training, "--max-steps",
       told_as(by_default(number(o.max_steps, kPositive), "none"),
               [&o] { return o.max_steps > 0 ? told(o.max_steps) : "none"; }),
       "End after this many steps, over all phases; the epoch under way ends there"},
      {training, "--seed", seed(o.seed), "Seed of weights, order and augmentation"},
  };
  for (OptionRow& row : machine_rows(o.machine)) {
    if (row.name() == "device") row.group = common;
    table.push_back(std::move(row));
  }
  OptionTable rows = data_rows(o.data, data);
  rows[0].group = common;
  table.insert(table.begin(), rows.begin(), rows.end());
  const OptionTable last{
      {output, "--keep", keep(o.keep), "Epoch files to keep besides the best ones, or `all`", true},
      {output, "--save-every", number(o.save_every, Real::not_negative),
       "Seconds between saves of the run's state within an epoch", true},
      {output, "--tensorboard", flag(o.tensorboard), "Also write an event file for TensorBoard", true},
      {output, "--report-paths", flag(o.report_paths),
       "Whole paths in report.html, which else holds none that tells where this machine keeps its files", true},
      {output, "--force", of_this_call(flag(o.force)),
       "Resume in spite of other options, data or machine, or damaged logs"},
      {output, "--overwrite", of_this_call(flag(o.overwrite)), "Replace the run that the output folder holds"},
      {output, "--dry-run", of_this_call(flag(o.dry_run)),
       "Report data, operations, memory and time of an epoch by running two steps, and end; write nothing"},
      {output, "--verbose", of_this_call(flag(o.verbose)), "Also print each step, and each class after an epoch"},
      {output, "--quiet", of_this_call(flag(o.quiet)), "Print only the last lines"},
  };
  table.insert(table.end(), last.begin(), last.end());
  return table;
}

std::vector<std::string> class_names(const TrainOptions& options) {
  return class_names(options.data.map, static_cast<int>(options.classes));
}

std::vector<std::pair<std::string, std::string>> resolved(const TrainOptions& options) {
  TrainOptions values = options;
  std::vector<std::pair<std::string, std::string>> out;
  for (const OptionRow& row : table_of(values, {})) {
    const bool of_two = std::find(kOfTwo.begin(), kOfTwo.end(), row.name()) != kOfTwo.end();
    const bool in_force = options.phases.empty() ? row.name() != "phase" : !of_two;
    if (row.kind.text && in_force) out.emplace_back(row.name(), row.kind.text());
  }
  return out;
}

std::set<std::string> harmless_options() {
  TrainOptions none;
  std::set<std::string> out;
  for (const OptionRow& row : table_of(none, {})) {
    if (row.harmless) out.insert(row.name());
  }
  return out;
}

Recipe recipe_of(const TrainOptions& options) {
  if (!options.phases.empty()) return options.phases;
  Recipe recipe{{1, options.phase1_loss, options.epochs, lr_of(options)}};
  const std::int64_t second = phase2_epochs_of(options);
  if (second > 0) recipe.push_back({2, options.phase2_loss, second, phase2_lr_of(options)});
  return recipe;
}

std::optional<int> parse(int argc, char** argv, TrainOptions& o, const models::Registry& registry) {
  CLI::App app("Trains a segmentation network in two phases: cross-entropy, then soft-Dice from the best checkpoint.",
               "train_unet");
  app.set_version_flag("--version", version_text("train_unet"));
  add_options_file(app);
  add_options(app, table_of(o, models::names_of(registry)));
  const std::optional<int> code = parse_words(app, argc, argv);
  if (code) return code;
  o.preset_told = take_preset(app, preset_named(o.preset));
  for (const char* of_sgd : {"--momentum", "--nesterov"}) {
    if (o.optimizer == OptimizerKind::sgd || app.count(of_sgd) == 0) continue;
    warn("train_unet: {} is of --optimizer sgd, and the optimizer is {}: leave it out\n", of_sgd, name_of(o.optimizer));
    return 2;
  }
  if (o.nesterov && o.momentum == 0) {
    warn("train_unet: --nesterov is a form of momentum, and --momentum is 0: leave one of them out\n");
    return 2;
  }
  for (const std::string of_two : kOfTwo) {
    if (o.phases.empty() || app.count("--" + of_two) == 0) continue;
    warn("train_unet: --{} and --phase do not go together, each phase has its own: leave one of them out\n", of_two);
    return 2;
  }
  if (o.crop && app.count("--image-size") > 0) {
    warn(
        "train_unet: --crop {} is what the network sees, at the images' own scale, and --image-size {} would shrink "
        "them: leave one of them out\n",
        o.crop->str(), o.image_size.str());
    return 2;
  }
  if (!o.crop && o.crops_per_image > 1) {
    warn("train_unet: --crops-per-image {} asks for --crop: give it, or leave both out\n", o.crops_per_image);
    return 2;
  }
  if (o.crop) o.image_size = *o.crop;
  if (!o.init.empty() && !o.encoder_weights.empty()) {
    warn("train_unet: --init is of the whole network, its encoder included: leave it or --encoder-weights out\n");
    return 2;
  }
  if (std::string wrong = resolve(o.data); !wrong.empty()) {
    warn("train_unet: {}\n", wrong);
    return 2;
  }
  if (const std::optional<ClassMap>& map = o.data.map) {
    if (app.count("--classes") == 0) o.classes = map->classes;
    if (app.count("--background") == 0) o.background = map->has_background ? Background::class0 : Background::none;
  }
  const auto given = static_cast<std::int64_t>(o.class_weights.given.size());
  if (given != 0 && given != o.classes) {
    warn("train_unet: --class-weights {} are {}, expected one for each of the {} classes\n", text_of(o.class_weights),
         given, o.classes);
    return 2;
  }
  if (o.background == Background::none && o.best_by == BestBy::dice_nonempty) {
    warn(
        "train_unet: --best-by dice_nonempty asks for a background, and --background is none: choose another figure\n");
    return 2;
  }
  return std::nullopt;
}

}  // namespace unet
