// Batches of a split, made ahead of the consumer by a few threads of the loader's own.
//
// The batches of an epoch are a function of (data, options, epoch): number of workers, prefetching and cache decide
// only when they are ready. An error of a worker is thrown by the next() that would have given its batch.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "engine/data/augment.h"
#include "engine/data/dataset.h"

namespace unet {

struct Batch {
  std::vector<std::uint8_t> images;  ///< [N,H,W,3]
  std::vector<std::uint8_t> labels;  ///< [N,H,W]: a class or kIgnoredLabel
  std::int64_t N = 0, H = 0, W = 0;
  std::vector<std::int64_t> indices;  ///< [N] positions in Dataset::samples(split)
  std::vector<Image> full_labels;     ///< [N] at the masks' own sizes, if asked for
};

/// What of a picture a sample shows.
enum class Frame {
  whole,  ///< all of it, brought to the asked size
  crop,   ///< a random window of the asked size, at the picture's own scale (crop.h)
  own,    ///< all of it at its own size, one a batch, decoded each time; the asked size is that of tiles to make of it
};

struct LoaderOptions {
  std::int64_t batch_size = 16;
  std::int64_t height = 256, width = 256;
  Frame frame = Frame::whole;
  std::int64_t crops_per_image = 1;  ///< samples of each picture in an epoch; above 1 for crops alone
  Augment augment = Augment::none;
  std::uint64_t seed = 0;
  bool shuffle = false;
  int workers = 2;                                 ///< 0: batches are made inside next()
  int prefetch = 4;                                ///< batches made ahead, at least 1
  std::size_t cache_bytes = std::size_t{1} << 30;  ///< prepared pairs kept in memory, first come first kept
  bool full_labels = false;                        ///< give the masks at their own sizes too; nothing is kept then
};

class Loader {
 public:
  /// The data set must outlive the loader. Throws Error on an empty split or senseless options.
  Loader(const Dataset& dataset, Split split, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Samples of an epoch: pictures, or their crops.
  std::int64_t images() const { return static_cast<std::int64_t>(samples_.size()) * options_.crops_per_image; }
  const LoaderOptions& options() const { return options_; }
  std::int64_t batches() const { return (images() + options_.batch_size - 1) / options_.batch_size; }
  const Sample& sample(std::int64_t index) const { return samples_[static_cast<std::size_t>(index)]; }

  /// Begins an epoch at one of its batches; what is left of the epoch before is dropped.
  void start(std::int64_t epoch, std::int64_t first_batch = 0);

  /// Begins an epoch and gives its first batch.
  Batch first(std::int64_t epoch) {
    start(epoch);
    return next().value();
  }

  /// The next batch (the last of an epoch may be smaller), or nothing after the last or after an error.
  std::optional<Batch> next();

  /// A batch that is done with; its memory serves for a later one.
  void give_back(Batch batch);

  /// Waits until the workers have made all that they may make ahead of the consumer.
  void settle();

  /// Prepared pairs kept in memory so far.
  struct CacheUse {
    std::int64_t pairs = 0;
    std::size_t bytes = 0;
  };
  CacheUse cache_use();

  /// Seconds spent in next() since construction: what the consumer waited for data.
  double waited_seconds() const { return waited_; }

 private:
  struct Slot {
    Batch batch;
    std::int64_t unfinished = 0;
    std::int64_t failed_at = 0;  // the lowest position that failed
    std::exception_ptr failure;
  };

  std::vector<std::int64_t> order_of(std::int64_t epoch) const;
  Batch empty_batch(std::int64_t number);
  Slot& slot_of(std::int64_t batch) { return slots_[static_cast<std::size_t>(batch % options_.prefetch)]; }
  std::shared_ptr<const LabelledImage> prepared(std::int64_t index, Image* full_labels);
  void make(std::int64_t index, std::int64_t epoch, std::int64_t at, Batch& batch);
  bool may_work() const;
  void work();
  void stop_workers();
  Batch make_batch(std::int64_t number);

  const LoaderOptions options_;
  const Dataset& dataset_;
  const std::vector<Sample>& samples_;
  double waited_ = 0;

  std::mutex mutex_;  // guards all below; a batch's own bytes are written outside, each by one worker
  std::condition_variable work_changed_, batch_finished_;
  std::vector<std::shared_ptr<const LabelledImage>> cache_;
  CacheUse cached_;
  std::vector<std::int64_t> order_;
  std::int64_t epoch_ = 0;
  std::int64_t position_ = 0;    // the next place in order_ to be made
  std::int64_t end_ = 0;         // places to make in this epoch; 0 before the first
  std::int64_t next_batch_ = 0;  // the next one to hand out
  std::int64_t busy_ = 0;        // workers making a sample
  bool stopping_ = false;
  std::vector<Slot> slots_;  // batch number modulo prefetch
  std::vector<Batch> spares_;
  std::vector<std::thread> workers_;
};

}  // namespace unet
