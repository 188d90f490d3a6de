// One training step and one inference pass of a network on made-up images, as JSON on stdout: milliseconds (median),
// images a second, peak memory of the process after training, what its pool holds then, share of the step spent in
// convolutions.
#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "apps/command_line.h"
#include "apps/numbers.h"
#include "apps/option_table.h"
#include "apps/run/failure.h"
#include "apps/run/plan_cache.h"
#include "apps/run/screen.h"
#include "apps/run/version.h"
#include "engine/core/device_memory.h"
#include "engine/core/rng.h"
#include "engine/ops/conv_plans.h"
#include "engine/train/adam.h"
#include "engine/train/step.h"
#include "models/registry.h"

using namespace unet;

namespace {

struct StepOptions {
  std::string model = "unet";
  std::int64_t base_channels = 64, image_size = 256, batch_size = 2, steps = 12;
  MachineOptions machine;
};

/// Milliseconds of one call of work, of `times` in a row.
double milliseconds(Device device, std::int64_t times, const auto& work) {
  const auto begin = std::chrono::steady_clock::now();
  for (std::int64_t i = 0; i < times; ++i) work();
  synchronize(device);
  const std::chrono::duration<double, std::milli> all = std::chrono::steady_clock::now() - begin;
  return all.count() / static_cast<double>(times);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// The most memory so far, in MB of 10^6 bytes: resident in the process, or handed out on the GPU.
double peak_memory_mb(Device device) {
  if (!device.is_cpu()) return static_cast<double>(pool_of(device).stats().peak) / 1e6;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024 / 1e6;
}

/// A row for every convolution that has run since: what it is, who runs it and its milliseconds.
nlohmann::ordered_json convolutions_since(const std::vector<PlanUse>& before) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const PlanUse& use : conv_plan_uses()) {
    std::uint64_t runs = use.runs;
    double seconds = use.seconds;
    for (const PlanUse& then : before) {
      if (then.of != use.of) continue;
      runs -= then.runs;
      seconds -= then.seconds;
    }
    if (runs == 0) continue;
    const kernels::ConvShape& s = use.of.shape;
    out.push_back({{"pass", name_of(use.of.pass)},
                   {"x", {s.N, s.H, s.W, s.Cin}},
                   {"weights", {s.Cout, s.Kh, s.Kw, s.Cin}},
                   {"id", use.id},
                   {"runs", runs},
                   {"ms", 1e3 * seconds / static_cast<double>(runs)},
                   {"tflops", use.of.flops() * static_cast<double>(runs) / seconds / 1e12}});
  }
  return out;
}

/// What the pool has from the system, handed out or kept for reuse.
double reserved_memory_mb(Device device) {
  const PoolStats stats = pool_of(device).stats();
  return static_cast<double>(stats.in_use + stats.cached) / 1e6;
}

nlohmann::ordered_json measure(const StepOptions& options) {
  const Machine machine = machine_of(options.machine);
  const Device device = machine.device;
  const std::unique_ptr<models::Segmenter> model = models::make_segmenter(
      models::registry(), {.base_channels = options.base_channels, .model = options.model}, 0, machine);
  const std::int64_t N = options.batch_size, S = options.image_size;
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(N * S * S * 3)),
      classes(static_cast<std::size_t>(N * S * S));
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(mix64(i));
  for (std::size_t i = 0; i < classes.size(); ++i) classes[i] = i / 8 % 2;
  const Tensor images = Tensor::copy_of({N, S, S, 3}, Dtype::u8, pixels.data(), device);
  const Tensor labels = Tensor::copy_of({N, S, S}, Dtype::u8, classes.data(), device);
  Adam adam(model->parameters(), {});
  Step step(model->parameters(), adam);
  const auto train_step = [&] {
    step.begin({.lr = 1e-4});
    Tape tape;
    step.backward(tape, softmax_cross_entropy(tape, models::logits(*model, tape, images), labels));
    step.commit();
    step.take_result(device.is_cpu() ? 0 : 1);
  };
  // A GPU works through a queue: what counts is how fast it does so, over several steps.
  const std::int64_t together = device.is_cpu() || options.steps == 1 ? 1 : 10;
  std::vector<double> train, share;
  for (std::int64_t i = 0; i < options.steps; ++i) {
    const double convolutions = conv_seconds();
    const double ms = milliseconds(device, together, train_step);
    if (i > 0 || options.steps == 1) {  // the first plans and asks for memory
      train.push_back(ms);
      if (device.is_cpu()) share.push_back(1e3 * (conv_seconds() - convolutions) / ms);
    }
  }
  keep_plans();
  nlohmann::ordered_json out;
  out["train_step_ms"] = median(train);
  out["train_images_per_second"] = 1e3 * static_cast<double>(N) / median(train);
  out["peak_memory_mb"] = peak_memory_mb(device);
  out["reserved_memory_mb"] = reserved_memory_mb(device);
  if (options.steps > 1) {
    std::vector<double> infer;
    for (std::int64_t i = 0; i < options.steps; ++i) {
      const double ms = milliseconds(device, together, [&] {
        Tape tape(Tape::Mode::inference);
        models::logits(*model, tape, images);
      });
      if (i > 0) infer.push_back(ms);
    }
    keep_plans();
    out["inference_ms"] = median(infer);
    out["inference_images_per_second"] = 1e3 * static_cast<double>(N) / median(infer);
  }
  if (!device.is_cpu()) {  // waiting for every convolution slows the step down, so these steps are others
    set_conv_timing(true);
    const std::vector<PlanUse> before = conv_plan_uses();
    for (std::int64_t i = 0; i < 3; ++i) {
      const double convolutions = conv_seconds();
      const double ms = milliseconds(device, 1, train_step);
      share.push_back(1e3 * (conv_seconds() - convolutions) / ms);
    }
    out["convolutions"] = convolutions_since(before);
  }
  out["convolution_share"] = median(share);
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  begin_program();
  StepOptions o;
  CLI::App app("Times a training step and an inference pass; JSON on stdout.", "bench_step");
  app.set_version_flag("--version", version_text("bench_step"));
  constexpr Within positive{1, std::int64_t{1} << 20};
  app.add_option("--model", o.model)->check(CLI::IsMember(models::names_of(models::registry())))->capture_default_str();
  add_number(app, "--base-channels", o.base_channels, positive, "");
  add_number(app, "--image-size", o.image_size, positive, "");
  add_number(app, "--batch-size", o.batch_size, positive, "");
  app.add_option("--precision", o.machine.precision)
      ->check(CLI::IsMember({"fp32", "tf32", "bf16"}))
      ->capture_default_str();
  app.add_option("--device", o.machine.device)->check(CLI::IsMember({"auto", "cpu", "cuda"}))->capture_default_str();
  app.add_option("--conv", o.machine.conv)
      ->check(CLI::IsMember({"auto", "direct", "onednn", "own"}))
      ->capture_default_str();
  flag(o.machine.autotune).add(app, "--autotune,!--no-autotune", "Time every convolution's candidates, keep the best");
  app.add_option("--plans", o.machine.plans, "Choices of convolutions to repeat");
  add_number(app, "--threads", o.machine.threads, Within{0, 4096}, "0: all");
  add_number(app, "--steps", o.steps, positive, "1: leave after the first training step");
  bool json = true;
  app.add_flag("--json", json, "The output is JSON in any case");
  try {
    if (const std::optional<int> code = parse_words(app, argc, argv)) return *code;
    say_text(measure(o).dump(2) + "\n");
    check_screen();
  } catch (const std::exception& error) {
    return fail("bench_step", error);
  }
  return 0;
}
