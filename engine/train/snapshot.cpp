#include "engine/train/snapshot.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/core/hash.h"
#include "engine/io/safetensors_header.h"
#include "engine/train/checkpoint_form.h"
#include "kernels/dispatch.h"

namespace unet {

using namespace checkpoint_form;

namespace {

/// Brings a weight in memory into the order of the disk, by way of `scratch`.
void order_for_disk(const Shape& shape, Dtype dtype, std::byte* weight, std::byte* scratch) {
  if (shape.rank() != 4) return;
  std::memcpy(scratch, weight, static_cast<std::size_t>(shape.size()) * kernels::size_of(dtype));
  kernels::dispatch_float(dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* memory = reinterpret_cast<const T*>(scratch);
    T* disk = reinterpret_cast<T*>(weight);
    for_each_place(shape, [&](std::int64_t m, std::int64_t d) { disk[d] = memory[m]; });
  });
}

}  // namespace

void Snapshot::take(const Optimizer* optimizer, const WeightAverage* average) {
  std::size_t bytes = 0, largest = 0;
  std::vector<Tensor> ranges;
  const auto put = [&](const Tensor& range) {
    ranges.push_back(range);
    return std::exchange(bytes, bytes + range.bytes());
  };
  const auto put_state = [&](const std::string& name, const Tensor& range) {
    state_.push_back({name, range.size(), put(range)});
  };
  state_.clear();
  put(average != nullptr ? average->values() : parameters_.values());
  running_begin_ = put(average != nullptr ? average->running() : parameters_.running());
  if (optimizer != nullptr) {
    for (const Optimizer::Moment& moment : optimizer->moments()) put_state(moment_name(moment), moment.values);
    if (average != nullptr) {
      put_state(kTrainedValues, average->trained_values());
      put_state(kTrainedRunning, average->trained_running());
    }
    clocks_begin_ = put(optimizer->clocks());
  }
  for (const Parameters::Param& param : parameters_.params()) {
    largest = std::max(largest, static_cast<std::size_t>(param.shape.size()) * kernels::size_of(parameters_.dtype()));
  }
  scratch_.resize(largest);
  copy_.begin(bytes);
  for (const Tensor& range : ranges) copy_.add(range.data<void>(), range.bytes());
  copy_.finish();
  batches_tracked_.clear();
  for (const Parameters::Stats& stats : parameters_.stats()) batches_tracked_.push_back(stats.batches_tracked);
  optimizer_ = optimizer;
  entries_.clear();
}

void Snapshot::arrive() {
  if (!entries_.empty()) return;
  checksums_.clear();
  std::byte* const copy = copy_.wait();
  const SafeDtype dtype = file_dtype(parameters_);
  for (const Place& place : places_of(parameters_)) {
    const auto offset = static_cast<std::size_t>(place.offset) * kernels::size_of(parameters_.dtype());
    std::byte* const tensor = copy + (place.in_running ? running_begin_ : 0) + offset;
    order_for_disk(place.shape, parameters_.dtype(), tensor, scratch_.data());
    add(place.name, disk_shape(place.shape), dtype, tensor);
  }
  for (std::size_t i = 0; i < batches_tracked_.size(); ++i) {
    add(tracked_name(parameters_.stats()[i]), {}, SafeDtype::kI64, &batches_tracked_[i]);
  }
  of_model_ = entries_.size();
  digest_ = 0;
  for (const std::uint64_t checksum : checksums_) digest_ = digest_with(digest_, checksum);
  steps_.clear();
  if (optimizer_ == nullptr) return;
  for (const StateRange& range : state_) add(range.name, {range.elements}, dtype, copy + range.begin);
  steps_ = optimizer_->steps_of(copy + clocks_begin_);
  add(steps_name(*optimizer_), steps_shape(parameters_), SafeDtype::kI64, steps_.data());
}

void Snapshot::add(const std::string& name, const std::vector<std::int64_t>& shape, SafeDtype dtype, const void* data) {
  entries_.push_back({name, dtype, shape, data, {}});
  checksums_.push_back(xxh64(data, safetensors_bytes(shape, dtype)));
}

void Snapshot::write(const std::filesystem::path& path, Metadata metadata, std::size_t entries) const {
  for (std::size_t i = 0; i < entries; ++i) metadata[checksum_key(entries_[i].name)] = checksum_text(checksums_[i]);
  write_safetensors(path, metadata, {entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(entries)});
}

std::uint64_t Snapshot::save_model(const std::filesystem::path& path, const Metadata& metadata) {
  arrive();
  write(path, metadata, of_model_);
  return digest_;
}

void Snapshot::save_training(const std::filesystem::path& path, const Metadata& metadata) {
  arrive();
  write(path, metadata, entries_.size());
}

std::int64_t Snapshot::steps() {
  arrive();
  return steps_.empty() ? 0 : *std::max_element(steps_.begin(), steps_.end());
}

}  // namespace unet
