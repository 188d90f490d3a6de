#include "engine/train/snapshot.h"

#include <algorithm>
#include <cstring>

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

void Snapshot::take(const Adam* optimizer) {
  std::vector<Tensor> ranges{parameters_.values(), parameters_.running()};
  if (optimizer != nullptr) ranges.insert(ranges.end(), {optimizer->m(), optimizer->v(), optimizer->clocks()});
  std::size_t bytes = 0, largest = 0;
  for (const Tensor& range : ranges) bytes += range.bytes();
  for (const Parameters::Param& param : parameters_.params()) {
    largest = std::max(largest, static_cast<std::size_t>(param.shape.size()) * kernels::size_of(parameters_.dtype()));
  }
  scratch_.resize(largest);
  copy_.begin(bytes);
  for (const Tensor& range : ranges) copy_.add(range.data<void>(), range.bytes());
  copy_.finish();
  batches_tracked_.clear();
  for (const Parameters::Stats& stats : parameters_.stats()) batches_tracked_.push_back(stats.batches_tracked);
  steps_.resize(optimizer != nullptr ? parameters_.groups().size() : 0);
  of_training_ = optimizer != nullptr;
  entries_.clear();
}

void Snapshot::arrive() {
  if (!entries_.empty()) return;
  checksums_.clear();
  std::byte* const values = copy_.wait();
  std::byte* const running = values + parameters_.values().bytes();
  const SafeDtype dtype = file_dtype(parameters_);
  for (const Place& place : places_of(parameters_)) {
    const auto offset = static_cast<std::size_t>(place.offset) * kernels::size_of(parameters_.dtype());
    std::byte* const tensor = (place.in_running ? running : values) + offset;
    order_for_disk(place.shape, parameters_.dtype(), tensor, scratch_.data());
    add(place.name, disk_shape(place.shape), dtype, tensor);
  }
  for (std::size_t i = 0; i < batches_tracked_.size(); ++i) {
    add(tracked_name(parameters_.stats()[i]), {}, SafeDtype::kI64, &batches_tracked_[i]);
  }
  of_model_ = entries_.size();
  digest_ = 0;
  for (const std::uint64_t checksum : checksums_) digest_ = digest_with(digest_, checksum);
  if (!of_training_) return;
  const std::size_t of_moment = parameters_.values().bytes();
  const std::byte* const m = running + parameters_.running().bytes();
  std::vector<kernels::AdamClock> clocks(steps_.size());
  std::memcpy(clocks.data(), m + 2 * of_moment, clocks.size() * sizeof(kernels::AdamClock));
  for (std::size_t i = 0; i < clocks.size(); ++i) steps_[i] = clocks[i].steps;
  add(kFirstMoment, {parameters_.values().size()}, dtype, m);
  add(kSecondMoment, {parameters_.values().size()}, dtype, m + of_moment);
  add(kAdamSteps, steps_shape(parameters_), SafeDtype::kI64, steps_.data());
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
