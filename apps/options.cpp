#include "apps/options.h"

#include <CLI/CLI.hpp>

#include "apps/version.h"
#include "engine/core/error.h"
#include "engine/core/plans.h"
#include "kernels/cpu/parallel.h"

namespace unet {
namespace {

constexpr std::int64_t kMinSide = 16;
constexpr std::int64_t kMaxSide = 16384;

/// "256" or "192x256" (height x width).
ImageExtent extent_of(const std::string& text) {
  ImageExtent out;
  char tail = 0;
  long long height = 0, width = 0;
  const int both = std::sscanf(text.c_str(), "%lldx%lld%c", &height, &width, &tail);
  if (both == 1 && text.find_first_not_of("0123456789") == std::string::npos) {
    width = height;
  } else if (both != 2) {
    throw CLI::ValidationError("--image-size", fmt::format("\"{}\" is not N or HxW, e.g. 256 or 192x256", text));
  }
  if (height < kMinSide || width < kMinSide || height > kMaxSide || width > kMaxSide) {
    throw CLI::ValidationError("--image-size",
                               fmt::format("{} is outside {}..{} pixels a side", text, kMinSide, kMaxSide));
  }
  out.height = height;
  out.width = width;
  return out;
}

const std::map<std::string, LossKind> kLosses{{"cross_entropy", LossKind::cross_entropy}, {"dice", LossKind::dice}};
const std::map<std::string, ScheduleKind> kSchedules{
    {"constant", ScheduleKind::constant}, {"cosine", ScheduleKind::cosine}, {"plateau", ScheduleKind::plateau}};

template <class Kind>
CLI::Option* add_choice(CLI::App& app, const std::string& name, Kind& value, const std::map<std::string, Kind>& kinds,
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

void add_extent(CLI::App& app, std::function<void(ImageExtent)> set, const std::string& default_text) {
  app.add_option_function<std::string>(
         "--image-size", [set](const std::string& text) { set(extent_of(text)); },
         "Network resolution: N or HxW (height x width), at least 16 a side")
      ->type_name("SIZE")
      ->default_str(default_text);
}

void add_machine(CLI::App& app, MachineOptions& o) {
  add_words(app, "--device", o.device, {"auto", "cpu", "cuda"}, "Where to compute; auto: CUDA where it works");
  add_words(app, "--precision", o.precision, {"fp32", "tf32", "bf16"}, "Arithmetic");
  add_words(app, "--conv", o.conv, {"auto", "direct", "onednn", "own"}, "Who provides convolutions on the CPU");
  app.add_flag("--autotune", o.autotune,
               "Time every convolution's candidates once, at its first use, and keep the best");
  app.add_option("--plans", o.plans, "Choices of convolutions to repeat: a run's plans.json")->type_name("FILE");
  app.add_option("--threads", o.threads, "Threads for computing; 0: all that the affinity mask allows")
      ->check(CLI::Range(0, 4096))
      ->type_name("N")
      ->capture_default_str();
}

/// Gives all options added since the last call to one group of --help.
void group(CLI::App& app, std::size_t& done, const std::string& name) {
  const std::vector<CLI::Option*> options = app.get_options();
  for (; done < options.size(); ++done) options[done]->group(name);
}

std::optional<int> run_parser(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    app.exit(asked);
    return 0;
  } catch (const CLI::FileError& error) {
    fmt::print(stderr, "{}: {}\n", app.get_name(), error.what());
    return 1;
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "{}: {}\nRun `{} --help` for the options.\n", app.get_name(), error.what(), app.get_name());
    return 2;
  }
  return std::nullopt;
}

std::string plain(double value) { return fmt::format("{}", value); }

}  // namespace

std::string ImageExtent::str() const {
  return height == width ? std::to_string(height) : fmt::format("{}x{}", height, width);
}

const char* name_of(LossKind loss) { return loss == LossKind::dice ? "dice" : "cross_entropy"; }

std::vector<std::pair<std::string, std::string>> TrainOptions::resolved() const {
  const std::vector<Phase> phases = phases_of(*this);
  return {{"data", data},
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
          {"schedule", name_of(schedule)},
          {"warmup", std::to_string(warmup)},
          {"clip-norm", clip_norm > 0 ? plain(clip_norm) : "off"},
          {"image-size", image_size.str()},
          {"augment", augment},
          {"border", border},
          {"device", machine.device},
          {"precision", machine.precision},
          {"conv", machine.conv},
          {"autotune", machine.autotune ? "true" : "false"},
          {"plans", machine.plans},
          {"threads", std::to_string(machine.threads)},
          {"workers", std::to_string(workers)},
          {"cache-mb", std::to_string(cache_mb)},
          {"seed", std::to_string(seed)},
          {"no-shuffle", no_shuffle ? "true" : "false"},
          {"init", init},
          {"output", output},
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
  app.set_config("--config", "", "Read options from a TOML file: the names below without dashes");
  // A misspelt name in the file is as wrong as one on the command line; by default it would be passed over.
  app.allow_config_extras(CLI::config_extras_mode::capture);
  std::size_t done = app.get_options().size();
  const CLI::Range positive(std::int64_t{1}, std::int64_t{1} << 30);
  const CLI::Range not_negative(std::int64_t{0}, std::int64_t{1} << 30);
  const CLI::Validator above_zero = CLI::PositiveNumber;

  app.add_option("-d,--data", o.data, "Folder of images and masks")->required()->type_name("DIR");
  app.add_option_function<std::string>(
         "--image-size", [&o](const std::string& text) { o.image_size = extent_of(text); },
         "Network resolution: N or HxW (height x width), at least 16 a side")
      ->type_name("SIZE")
      ->default_str("256");
  app.add_option("--classes", o.classes, "Classes, background included")
      ->check(CLI::Range(std::int64_t{2}, std::int64_t{255}))
      ->type_name("N")
      ->capture_default_str();
  add_words(app, "--border", o.border, {"foreground", "background", "ignore"}, "What a trimap's border counts as");
  add_words(app, "--on-corrupt", o.on_corrupt, {"stop", "skip"},
            "What a broken image does: skip leaves out at most 1 %");
  add_words(app, "--augment", o.augment, {"none", "flip", "standard"}, "Random changes to training images");
  app.add_option("-j,--workers", o.workers, "Threads that load images; 0: load in between")
      ->check(CLI::Range(0, 256))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--cache-mb", o.cache_mb, "Memory for decoded images, in MiB")
      ->check(not_negative)
      ->type_name("N")
      ->capture_default_str();
  app.add_flag("--no-shuffle", o.no_shuffle, "Keep the order of the list");
  group(app, done, "Data");

  add_words(app, "--model", o.model, {"unet"}, "Network");
  app.add_option("--base-channels", o.base_channels, "Channels of the first level, doubled four times")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{4096}))
      ->type_name("N")
      ->capture_default_str();
  app.add_flag("--bilinear", o.bilinear, "Upsample bilinearly instead of by transposed convolutions");
  app.add_option("--init", o.init, "Begin with the weights of this checkpoint")->type_name("FILE");
  group(app, done, "Network");

  app.add_option("-e,--epochs", o.epochs, "Epochs of phase 1")->check(positive)->type_name("N")->capture_default_str();
  app.add_option("--phase2-epochs", o.phase2_epochs, "Epochs of phase 2; 0 skips it [a third of --epochs]")
      ->check(not_negative)
      ->type_name("N");
  app.add_option("-b,--batch-size", o.batch_size, "Images in a pass")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{65536}))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--accumulate", o.accumulate, "Passes in a step")
      ->check(positive)
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--lr", o.lr, "Learning rate of phase 1")->check(above_zero)->type_name("X")->capture_default_str();
  app.add_option("--phase2-lr", o.phase2_lr, "Learning rate of phase 2 [a tenth of --lr]")
      ->check(above_zero)
      ->type_name("X");
  add_choice(app, "--phase1-loss", o.phase1_loss, kLosses, "Loss of phase 1");
  add_choice(app, "--phase2-loss", o.phase2_loss, kLosses, "Loss of phase 2");
  app.add_option("--weight-decay", o.weight_decay, "Decoupled weight decay")
      ->check(CLI::NonNegativeNumber)
      ->type_name("X")
      ->capture_default_str();
  add_choice(app, "--schedule", o.schedule, kSchedules, "Course of the learning rate within a phase");
  app.add_option("--warmup", o.warmup, "Steps of linear warm-up")
      ->check(not_negative)
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--clip-norm", o.clip_norm, "Largest norm of the gradient [off]")->check(above_zero)->type_name("X");
  app.add_option("--max-steps", o.max_steps, "End after this many steps, over both phases [none]")
      ->check(positive)
      ->type_name("N");
  app.add_option("--seed", o.seed, "Seed of weights, order and augmentation")->type_name("N")->capture_default_str();
  group(app, done, "Training");

  add_machine(app, o.machine);
  group(app, done, "Machine");

  app.add_option("-o,--output", o.output, "Folder for checkpoints and logs")->type_name("DIR")->capture_default_str();
  app.add_option_function<std::string>(
         "--keep",
         [&o](const std::string& text) {
           if (text == "all") {
             o.keep = -1;
           } else if (!text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos) {
             o.keep = std::stoll(text);
           } else {
             throw CLI::ValidationError("--keep", fmt::format("\"{}\" is neither a number nor `all`", text));
           }
         },
         "Epoch files to keep besides the best ones, or `all`")
      ->type_name("N")
      ->default_str("3");
  app.add_option("--save-every", o.save_every, "Seconds between saves of the run's state within an epoch")
      ->check(CLI::NonNegativeNumber)
      ->type_name("S")
      ->capture_default_str();
  app.add_option("--resume", o.resume,
                 "Go on where a run stopped: `auto` for that of the output folder, or its last.safetensors")
      ->type_name("auto|FILE");
  app.add_flag("--force", o.force, "Resume in spite of other options, data or machine");
  app.add_flag("--overwrite", o.overwrite, "Replace the run that the output folder holds");
  app.add_flag("--verbose", o.verbose, "Also print each step");
  app.add_flag("--quiet", o.quiet, "Print only the last lines");
  group(app, done, "Output");
  return run_parser(app, argc, argv);
}

std::optional<int> parse(int argc, char** argv, EvalOptions& o) {
  CLI::App app("Evaluates a checkpoint on a split of a data set: cross-entropy, Dice, IoU, pixel accuracy.",
               "eval_unet");
  app.set_version_flag("--version", version_text("eval_unet"));
  app.add_option("-c,--checkpoint", o.checkpoint, "Checkpoint (.safetensors)")->required()->type_name("FILE");
  app.add_option("-d,--data", o.data, "Folder of images and masks")->required()->type_name("DIR");
  add_words(app, "--split", o.split, {"train", "val", "trainval", "test"}, "Which images");
  add_extent(
      app, [&o](ImageExtent extent) { o.image_size = extent; }, "the checkpoint's");
  app.add_option("-b,--batch-size", o.batch_size, "Images in a pass")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{65536}))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("-j,--workers", o.workers, "Threads that load images")
      ->check(CLI::Range(0, 256))
      ->type_name("N")
      ->capture_default_str();
  add_machine(app, o.machine);
  app.add_option("--json", o.json, "Write the figures here as JSON")->type_name("FILE");
  app.add_option("--per-image", o.per_image, "Write each image's figures here as CSV")->type_name("FILE");
  app.add_option("--overlays", o.overlays, "Write pictures here: photo | truth | prediction")->type_name("DIR");
  app.add_option("--worst", o.worst, "Overlays of the K images with the lowest Dice only; names them")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 30))
      ->type_name("K");
  return run_parser(app, argc, argv);
}

std::optional<int> parse(int argc, char** argv, PredictOptions& o) {
  CLI::App app("Segments photographs: a mask PNG (0/255) and an overlay of each, at the photograph's own size.",
               "predict_unet");
  app.set_version_flag("--version", version_text("predict_unet"));
  app.add_option("-c,--checkpoint", o.checkpoint, "Checkpoint (.safetensors)")->required()->type_name("FILE");
  app.add_option("inputs", o.inputs, "Images, or folders of images")->required()->type_name("IMAGE_OR_FOLDER...");
  app.add_option("-o,--output", o.output, "Folder for masks and overlays")->required()->type_name("DIR");
  add_extent(
      app, [&o](ImageExtent extent) { o.image_size = extent; }, "the checkpoint's");
  app.add_option("--threshold", o.threshold,
                 "Foreground where its probability (1 - that of class 0) is at least this [the most probable class]")
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("P");
  add_machine(app, o.machine);
  return run_parser(app, argc, argv);
}

}  // namespace unet
