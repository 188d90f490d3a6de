#include "engine/data/loader.h"

#include <algorithm>
#include <numeric>
#include <system_error>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/core/stopwatch.h"
#include "engine/data/crop.h"

namespace unet {
namespace {

LoaderOptions checked(LoaderOptions options) {
  if (options.batch_size < 1) throw Error("batch size {}: expected at least 1", options.batch_size);
  if (std::min(options.height, options.width) < 1 || std::max(options.height, options.width) > kMaxImageSide) {
    throw Error("image size {}x{}: expected sides of 1 to {}", options.height, options.width, kMaxImageSide);
  }
  if (options.workers < 0) throw Error("{} workers: expected 0 or more", options.workers);
  if (options.crops_per_image < 1 || (options.crops_per_image > 1 && options.frame != Frame::crop)) {
    throw Error("{} crops of an image: expected 1 or more, and 1 where no crops are asked for",
                options.crops_per_image);
  }
  if (options.frame == Frame::own && (options.batch_size != 1 || options.augment != Augment::none)) {
    throw Error("pictures at their own sizes come one by one and as they are, not {} changed by \"{}\"",
                options.batch_size, name_of(options.augment));
  }
  options.prefetch = std::max(options.prefetch, 1);
  return options;
}

}  // namespace

Loader::Loader(const Dataset& dataset, Split split, const LoaderOptions& options)
    : options_(checked(options)),
      dataset_(dataset),
      samples_(dataset.samples(split)),
      cache_(samples_.size()),
      slots_(static_cast<std::size_t>(options_.prefetch)) {
  try {
    for (int i = 0; i < options_.workers; ++i) workers_.emplace_back([this] { work(); });
  } catch (const std::exception& error) {
    stop_workers();
    if (dynamic_cast<const std::system_error*>(&error) == nullptr) throw;
    throw Error("cannot start {} threads that load images: {}; ask for fewer --workers, or raise the limit (ulimit -u)",
                options_.workers, error.what());
  }
}

Loader::~Loader() { stop_workers(); }

void Loader::stop_workers() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_changed_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

/// Fisher-Yates with one draw for each place.
std::vector<std::int64_t> Loader::order_of(std::int64_t epoch) const {
  std::vector<std::int64_t> order(static_cast<std::size_t>(images()));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  if (!options_.shuffle) return order;
  for (std::size_t i = order.size(); i > 1; --i) {
    const std::uint64_t bits = random_bits(options_.seed, Purpose::shuffle, static_cast<std::uint64_t>(epoch), i);
    std::swap(order[i - 1], order[bits % i]);
  }
  return order;
}

void Loader::give_back(Batch batch) {
  if (options_.frame == Frame::own) return;  // the next one has another size
  const std::lock_guard lock(mutex_);
  spares_.push_back(std::move(batch));
}

Batch Loader::empty_batch(std::int64_t number) {
  const std::int64_t first = number * options_.batch_size;
  Batch batch;
  if (!spares_.empty()) {
    batch = std::move(spares_.back());
    spares_.pop_back();
  }
  batch.N = std::min(options_.batch_size, images() - first);
  batch.H = options_.height;
  batch.W = options_.width;
  if (options_.frame != Frame::own) {
    batch.images.resize(static_cast<std::size_t>(batch.N * batch.H * batch.W * 3));
    batch.labels.resize(static_cast<std::size_t>(batch.N * batch.H * batch.W));
  }
  batch.indices.assign(order_.begin() + first, order_.begin() + first + batch.N);
  for (std::int64_t& index : batch.indices) index /= options_.crops_per_image;
  batch.full_labels.clear();
  if (options_.full_labels) batch.full_labels.resize(static_cast<std::size_t>(batch.N));
  return batch;
}

void Loader::start(std::int64_t epoch, std::int64_t first_batch) {
  if (first_batch < 0 || first_batch > batches()) {
    throw Error("cannot start at batch {} of an epoch of {}", first_batch, batches());
  }
  {
    std::unique_lock lock(mutex_);
    position_ = end_;  // no worker takes another place of the epoch before
    batch_finished_.wait(lock, [this] { return busy_ == 0; });
    order_ = order_of(epoch);
    epoch_ = epoch;
    end_ = images();
    position_ = std::min(end_, first_batch * options_.batch_size);
    next_batch_ = first_batch;
    for (Slot& slot : slots_) {
      if (!slot.batch.images.empty()) spares_.push_back(std::move(slot.batch));
      slot = {};
    }
  }
  work_changed_.notify_all();
}

std::shared_ptr<const LabelledImage> Loader::prepared(std::int64_t index, Image* full_labels) {
  const std::size_t at = static_cast<std::size_t>(index);
  {
    const std::lock_guard lock(mutex_);
    if (cache_[at]) return cache_[at];
  }
  LabelledImage loaded = dataset_.load(samples_[at]);
  if (full_labels != nullptr) *full_labels = loaded.labels;
  const int height = static_cast<int>(options_.height), width = static_cast<int>(options_.width);
  auto pair = std::make_shared<const LabelledImage>(options_.frame == Frame::crop
                                                        ? prepare_for_crops(std::move(loaded), height, width)
                                                        : prepare(std::move(loaded), options_.augment, height, width));
  if (full_labels != nullptr) return pair;
  const std::size_t bytes = pair->image.pixels.size() + pair->labels.pixels.size();
  const std::lock_guard lock(mutex_);
  if (cache_[at]) return cache_[at];  // of several crops of an image two may be made at once
  if (cached_.bytes + bytes <= options_.cache_bytes) {
    cache_[at] = pair;
    cached_.bytes += bytes;
    ++cached_.pairs;
  }
  return pair;
}

Loader::CacheUse Loader::cache_use() {
  const std::lock_guard lock(mutex_);
  return cached_;
}

void Loader::make(std::int64_t index, std::int64_t epoch, std::int64_t at, Batch& batch) {
  if (options_.frame == Frame::own) {
    LabelledImage pair = dataset_.load(samples_[static_cast<std::size_t>(index)]);
    batch.H = pair.image.height;
    batch.W = pair.image.width;
    batch.images = std::move(pair.image.pixels);
    batch.labels = std::move(pair.labels.pixels);
    return;
  }
  const auto place = static_cast<std::size_t>(at);
  const auto pair =
      prepared(index / options_.crops_per_image, options_.full_labels ? &batch.full_labels[place] : nullptr);
  const std::int64_t pixels = batch.H * batch.W;
  const auto write = options_.frame == Frame::crop ? augment_crop : augment;
  write(*pair, options_.augment, options_.seed, epoch, index, static_cast<int>(batch.H), static_cast<int>(batch.W),
        batch.images.data() + at * pixels * 3, batch.labels.data() + at * pixels);
}

/// Never more than `prefetch` batches ahead of the consumer.
bool Loader::may_work() const {
  return position_ < end_ && position_ / options_.batch_size < next_batch_ + options_.prefetch;
}

void Loader::settle() {
  std::unique_lock lock(mutex_);
  batch_finished_.wait(lock, [this] { return workers_.empty() || (busy_ == 0 && !may_work()); });
}

/// Takes places of the epoch in order.
void Loader::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_changed_.wait(lock, [this] { return stopping_ || may_work(); });
    if (stopping_) return;
    const std::int64_t position = position_++;
    const std::int64_t number = position / options_.batch_size, at = position % options_.batch_size;
    Slot& slot = slot_of(number);
    const std::int64_t epoch = epoch_, index = order_[static_cast<std::size_t>(position)];
    ++busy_;
    std::exception_ptr failure;
    try {
      if (at == 0) {
        slot.unfinished = std::min(options_.batch_size, end_ - position);
        slot.batch = empty_batch(number);
      }
      // Places are taken in order: what comes after a failure cannot be the first failure of its batch.
      const bool wanted = !slot.failure;
      lock.unlock();
      if (wanted) make(index, epoch, at, slot.batch);
    } catch (...) {
      failure = std::current_exception();
    }
    if (!lock.owns_lock()) lock.lock();
    --busy_;
    if (failure && (!slot.failure || at < slot.failed_at)) {
      slot.failure = failure;
      slot.failed_at = at;
    }
    --slot.unfinished;
    if (slot.unfinished == 0 || busy_ == 0) batch_finished_.notify_all();
  }
}

Batch Loader::make_batch(std::int64_t number) {
  Batch batch = empty_batch(number);
  const std::int64_t first = number * options_.batch_size;
  for (std::int64_t at = 0; at < batch.N; ++at) make(order_[static_cast<std::size_t>(first + at)], epoch_, at, batch);
  return batch;
}

std::optional<Batch> Loader::next() {
  if (next_batch_ * options_.batch_size >= end_) return std::nullopt;  // both are written by the consumer alone
  const Stopwatch watch;
  const auto count_wait = [&] { waited_ += watch.seconds(); };
  const std::int64_t number = next_batch_;
  if (options_.workers == 0) {
    next_batch_ = batches();  // the end, should the batch throw
    Batch batch = make_batch(number);
    next_batch_ = number + 1;
    count_wait();
    return batch;
  }
  std::unique_lock lock(mutex_);
  Slot& slot = slot_of(number);
  const std::int64_t end_of_batch = std::min(end_, (number + 1) * options_.batch_size);
  batch_finished_.wait(lock, [&] { return position_ >= end_of_batch && slot.unfinished == 0; });
  if (slot.failure) {
    position_ = end_;
    next_batch_ = batches();
    std::rethrow_exception(slot.failure);
  }
  std::optional<Batch> batch = std::move(slot.batch);
  slot = {};
  ++next_batch_;
  lock.unlock();
  work_changed_.notify_all();
  count_wait();
  return batch;
}

}  // namespace unet
