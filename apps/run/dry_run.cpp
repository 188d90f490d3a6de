#include "apps/run/dry_run.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <thread>

#include "apps/run/evaluation.h"
#include "apps/run/screen.h"
#include "engine/core/device_memory.h"
#include "engine/core/stopwatch.h"
#include "engine/train/snapshot.h"
#include "kernels/cpu/parallel.h"

namespace unet {
namespace {

double mib(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

// ---- memory ------------------------------------------------------------------------------------------------------

std::size_t resident_peak() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::size_t>(usage.ru_maxrss) << 10;
}

std::size_t resident_now() {
  std::size_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// What the loader will keep in memory once it has seen all its images.
struct Kept {
  std::size_t bytes = 0;
  double share = 0;  // of the images
};
Kept kept_by(Loader& loader) {
  const Loader::CacheUse now = loader.cache_use();
  if (now.pairs == 0) return {};
  const std::size_t all = now.bytes / static_cast<std::size_t>(now.pairs) * static_cast<std::size_t>(loader.images());
  const std::size_t bytes = std::min(all, loader.options().cache_bytes);
  return {bytes, static_cast<double>(bytes) / static_cast<double>(all)};
}

/// Bytes that tensors take: of a GPU, what its pool has from it; of the host, which gives what is touched, what they
/// held at most.
std::size_t taken(Device device) {
  const PoolStats stats = pool_of(device).stats();
  return device.is_cpu() ? stats.peak : stats.in_use + stats.cached;
}

/// `peak_before`: of the process before the first step.
void say_memory(const Machine& machine, Loader& training, Loader& validation, std::size_t peak_before) {
  // Tensors and prepared pairs stay where they are. If the peak was none of the steps', these begin below it.
  const std::size_t peak = resident_peak(), of_steps = peak > peak_before ? peak : resident_now();
  const std::size_t kept = kept_by(training).bytes + kept_by(validation).bytes;
  const std::size_t there = training.cache_use().bytes + validation.cache_use().bytes;
  say("memory: {:.0f} MiB at the peak of the process, {:.0f} MiB of them tensors, {:.0f} MiB decoded images\n",
      mib(std::max(peak, of_steps + (kept - std::min(kept, there)))), mib(taken(Device())), mib(kept));
  if (!machine.device.is_cpu()) say("memory of the device: {:.0f} MiB of tensors\n", mib(taken(machine.device)));
}

// ---- time ----------------------------------------------------------------------------------------------------------

/// Seconds of an image.
struct Costs {
  double compute = 0;  // by all threads together
  double load = 0;     // of one core
};

/// The epoch's first step, alone on the machine: its images have been loaded before.
Costs time_step(const TrainOptions& options, models::Segmenter& model, const Tensor& class_weights, Step& step,
                Loader& training) {
  const std::clock_t processor = std::clock();
  training.start(0);
  training.settle();
  Costs out;
  const std::int64_t ahead = std::min(training.images(), training.options().prefetch * options.batch_size);
  out.load = static_cast<double>(std::clock() - processor) / CLOCKS_PER_SEC / static_cast<double>(ahead);

  const Phase phase = recipe_of(options).front();
  const double waited = training.waited_seconds();
  const Stopwatch watch;
  issue_step(options, model, loss_of(options, phase, class_weights), training, step, 0, phase.lr);
  const StepResult result = step.take_result().value();
  if (!result.committed) warn("train_unet: warning: the first step would be dropped: {}\n", result.reason);
  double images = 0;
  for (const std::int64_t size : result.settings.images) images += static_cast<double>(size);
  const double loading = training.waited_seconds() - waited;  // without workers, all of it
  out.compute = (watch.seconds() - loading) / images;
  if (training.options().workers == 0) out.load = loading / images;
  return out;
}

/// Computing and loading overlap where there are workers, and share the cores.
double seconds_for(double images, Costs cost, const Machine& machine, int workers) {
  if (workers == 0) return images * (cost.compute + cost.load);
  const double cores = std::max(1u, std::thread::hardware_concurrency());
  const double computing = machine.device.is_cpu() ? std::min<double>(kernels::cpu::threads(), cores) : 1;
  return images * std::max({cost.compute, cost.load / std::min<double>(workers, cores),
                            (cost.compute * computing + cost.load) / cores});
}

std::string text_of_seconds(double seconds) {
  if (seconds < 120) return fmt::format("{:.{}f} s", seconds, seconds < 10 ? 2 : 1);
  return seconds < 7200 ? fmt::format("{:.0f} min", seconds / 60) : fmt::format("{:.1f} h", seconds / 3600);
}

/// What was measured: the first of each plans, packs and decodes.
struct Measured {
  Costs first_step, step;
  double first_validation = 0, validation = 0;  // seconds of an image
};

Measured measure(const TrainOptions& options, models::Segmenter& model, const Tensor& class_weights, Step& step,
                 Loader& training, Loader& validation) {
  const auto validated = [&](std::int64_t batch) {
    validation.settle();
    const Evaluation one = evaluate(model, options.background, validation, {}, {batch, batch + 1});
    return one.seconds / static_cast<double>(one.metrics.images());
  };
  Measured out;
  out.first_step = time_step(options, model, class_weights, step, training);
  out.step = time_step(options, model, class_weights, step, training);
  out.first_validation = validated(0);
  out.validation = validated(0);
  // Another batch size has tensors of its own.
  if (const std::int64_t last = training.batches() - 1; training.images() % options.batch_size != 0 && last > 0) {
    training.start(0, last);
    issue_step(options, model, loss_of(options, recipe_of(options).back(), class_weights), training, step, last, 0);
    step.take_result();
  }
  if (validation.images() % options.batch_size != 0) validated(validation.batches() - 1);
  return out;
}

void say_time(const TrainOptions& options, const Machine& machine, const Measured& measured, Loader& training,
              Loader& validation) {
  const std::int64_t of_step = std::min(training.images(), options.batch_size * options.accumulate);
  const std::int64_t steps = options.max_steps > 0 ? options.max_steps : training.images();
  const auto images = static_cast<double>(std::min(training.images(), steps * of_step));
  const auto seen = static_cast<double>(validation.images());
  const auto epoch = [&](double load, double load_validation) {
    return seconds_for(images, {measured.step.compute, load}, machine, options.workers) +
           seconds_for(seen, {measured.validation, load_validation}, machine, options.workers);
  };
  const double decode = measured.first_step.load;
  const double again = 1 - kept_by(training).share;  // of the images, decoded in every epoch
  const double planning =
      std::max(0.0, measured.first_step.compute - measured.step.compute) * static_cast<double>(of_step) +
      std::max(0.0, measured.first_validation - measured.validation) * std::min<double>(seen, options.batch_size);
  say("time: {} the first epoch, which plans and decodes, {} a later one, files not counted\n",
      text_of_seconds(planning + epoch(decode, decode)),
      text_of_seconds(epoch(again * decode + (1 - again) * measured.step.load, again * decode)));
}

}  // namespace

void dry_run(const TrainOptions& options, const Machine& machine, models::Segmenter& model, const Tensor& class_weights,
             Learner& learner, Loader& training, Loader& validation) {
  const std::size_t peak_before = resident_peak();
  Snapshot saved(model.parameters());  // a run has it from before its first step
  saved.take(learner.optimizer.get(), learner.average.get());
  const Measured measured = measure(options, model, class_weights, learner.step, training, validation);
  const models::Work work = model.work(options.image_size.height, options.image_size.width);
  const std::int64_t images = std::min(training.images(), options.batch_size * options.accumulate);
  say("operations: {:.3g} GFLOP to infer an image, {:.3g} GFLOP for a training step of {} images\n",
      2e-9 * work.forward, 2e-9 * work.training * static_cast<double>(images), images);
  say_memory(machine, training, validation, peak_before);
  say_time(options, machine, measured, training, validation);
  say("dry run: nothing was written\n");
}

}  // namespace unet
