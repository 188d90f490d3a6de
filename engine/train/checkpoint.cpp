#include "engine/train/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/core/device_memory.h"
#include "engine/core/error.h"
#include "engine/core/hash.h"
#include "engine/io/half.h"
#include "engine/io/safetensors_header.h"
#include "engine/train/checkpoint_form.h"
#include "kernels/dispatch.h"

namespace unet {

using namespace checkpoint_form;

namespace {

std::string text(const std::vector<std::int64_t>& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) out += fmt::format("{}{}", i > 0 ? "," : "", shape[i]);
  return out + "]";
}

/// Throws Error unless every value of a tensor that was read, and is now of `dtype` (F32 or F64), lies in [low, high];
/// NaN never does.
void require_range(const std::filesystem::path& path, const TensorInfo& info, SafeDtype dtype, const void* values,
                   double low, double high) {
  const auto check = [&](const auto* value) {
    using T = std::remove_cvref_t<decltype(*value)>;
    const T least = static_cast<T>(std::max<double>(low, std::numeric_limits<T>::lowest()));
    const T most = static_cast<T>(std::min<double>(high, std::numeric_limits<T>::max()));
    const auto fits = [&](T one) { return one >= least && one <= most; };
    const auto size = static_cast<std::int64_t>(info.elements());
    constexpr std::int64_t kTogether = 1024;
    for (std::int64_t begin = 0; begin < size; begin += kTogether) {
      const std::int64_t end = std::min(size, begin + kTogether);
      unsigned odd = 0;
      for (std::int64_t i = begin; i < end; ++i) odd |= fits(value[i]) ? 0u : 1u;
      if (odd == 0) continue;
      const std::int64_t i = std::find_if_not(value + begin, value + end, fits) - value;
      throw Error("{}: \"{}\" holds {} at element {}, expected {:.3g} to {:.3g}; nothing was loaded: take another file",
                  path.string(), printable(info.name), value[i], i, low, high);
    }
  };
  if (dtype == SafeDtype::kF64) {
    check(static_cast<const double*>(values));
  } else {
    check(static_cast<const float*>(values));
  }
}

double largest_of(SafeDtype dtype) {
  return dtype == SafeDtype::kF64 ? std::numeric_limits<double>::max() : std::numeric_limits<float>::max();
}

/// Throws Error if a running variance is negative. running: laid out as parameters.running(), on the host.
void require_variances(const std::filesystem::path& path, const Parameters& parameters, const Tensor& running) {
  for (const Parameters::Stats& stats : parameters.stats()) {
    for (const double value : running.range(stats.variance_offset, {stats.channels}).values<double>()) {
      if (value >= 0) continue;
      throw Error("{}: \"{}\" holds {} as a variance of \"{}\", expected 0 or more; nothing was loaded", path.string(),
                  kTrainedRunning, value, stats.name);
    }
  }
}

/// The checksum of a tensor that was read. Throws Error if its file has another for it.
std::uint64_t require_checksum(const TensorFile& file, const TensorInfo& info, const void* values) {
  const std::uint64_t checksum = xxh64(values, info.bytes());
  const std::string key = checksum_key(info.name), text = checksum_text(checksum);
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end() || found->second == text) return checksum;
  throw Error(
      "{}: \"{}\" is damaged: the checksum of its bytes is {}, the file was written with {}; nothing was loaded: take "
      "another file or copy it again (whoever changes a tensor on purpose leaves out the metadata \"{}\")",
      file.path().string(), printable(info.name), text, printable(found->second), printable(key));
}

/// One of the model's tensors, or the count of a batch norm (`tensor` undefined), and where it lies in a file.
struct Source {
  std::string name;
  Tensor tensor;
  const TensorInfo* info = nullptr;
  std::vector<std::byte> bytes{};     // as read, or converted
  SafeDtype dtype = SafeDtype::kF32;  // of the bytes

  /// "a" or, where the file calls it otherwise, "b" as "a".
  std::string title() const {
    return info->name == name ? fmt::format("\"{}\"", name)
                              : fmt::format("\"{}\" as \"{}\"", printable(info->name), name);
  }
};

constexpr const char* kDamaged =
    "the file is damaged, holds another model or was written by another program; nothing was loaded";

/// Finds each source in the file; without info those that are missing. The names of the file's other tensors.
std::vector<std::string> find_sources(const TensorFile& file, const Rename& rename, std::vector<Source>& sources) {
  std::map<std::string, Source*> by_name;
  for (Source& source : sources) by_name[source.name] = &source;
  std::vector<std::string> unused;
  for (const TensorInfo& info : file.tensors()) {
    const auto found = by_name.find(rename ? rename(info.name) : info.name);
    if (found == by_name.end()) {
      if (!info.name.starts_with(kStatePrefix)) unused.push_back(info.name);
    } else if (const TensorInfo* other = std::exchange(found->second->info, &info)) {
      throw Error("{}: \"{}\" and \"{}\" are both \"{}\" to this model; nothing was loaded", file.path().string(),
                  printable(other->name), printable(info.name), found->first);
    }
  }
  return unused;
}

/// Throws Error unless the file's tensor can be the model's.
void require_fit(const std::string& path, const Source& source, bool halves) {
  const TensorInfo& info = *source.info;
  if (!source.tensor.defined()) {
    if (info.dtype == SafeDtype::kI64 && info.elements() == 1) return;
    throw Error("{}: {} is {} {}, expected one I64; {}", path, source.title(), safe_dtype_name(info.dtype),
                text(info.shape), kDamaged);
  }
  const std::vector<std::int64_t> shape = disk_shape(source.tensor.shape());
  if (info.shape != shape) {
    throw Error("{}: {} is {}, expected {}; {}", path, source.title(), text(info.shape), text(shape), kDamaged);
  }
  if (info.dtype != SafeDtype::kF32 && info.dtype != SafeDtype::kF64 && !(halves && is_half(info.dtype))) {
    throw Error("{}: {} is {}, expected F32 or F64; {}", path, source.title(), safe_dtype_name(info.dtype), kDamaged);
  }
}

void copy_from_disk(const Source& source) {
  const Tensor& tensor = source.tensor;
  kernels::dispatch_float(tensor.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* memory = tensor.data<T>();
    const auto copy = [&](const auto* disk) {
      for_each_place(tensor.shape(), [&](std::int64_t m, std::int64_t d) { memory[m] = static_cast<T>(disk[d]); });
    };
    if (source.dtype == SafeDtype::kF64) {
      copy(reinterpret_cast<const double*>(source.bytes.data()));
    } else {
      copy(reinterpret_cast<const float*>(source.bytes.data()));
    }
  });
}

/// halves: F16 and BF16 are fine.
LoadedTensors load(const TensorFile& file, Parameters& parameters, const Rename& rename,
                   const std::vector<NamedTensor>& others, const Accept& accept, bool halves) {
  // On the host: the model's own where it lives there, else copies.
  const Tensor values = parameters.values().to(Device{}), running = parameters.running().to(Device{});
  std::vector<NamedTensor> floats;
  for (const Place& place : places_of(parameters)) {
    floats.push_back({place.name, (place.in_running ? running : values).range(place.offset, place.shape)});
  }
  for (const NamedTensor& other : others) {
    std::erase_if(floats, [&](const NamedTensor& one) { return one.name == other.name; });
    floats.push_back(other);
  }
  std::vector<Source> sources;
  for (const NamedTensor& named : floats) sources.push_back({named.name, named.tensor});
  for (const Parameters::Stats& stats : parameters.stats()) sources.push_back({tracked_name(stats), Tensor()});
  LoadedTensors out;
  out.unused = find_sources(file, rename, sources);
  for (const Source& source : sources) {
    if (source.info != nullptr) require_fit(file.path().string(), source, halves);
    (source.info != nullptr ? out.loaded : out.missing).push_back(source.name);
  }
  if (accept) accept(out);

  // Everything is read before anything changes: a read error leaves the model as it was.
  for (Source& source : sources) {
    if (source.info == nullptr) continue;
    source.bytes.resize(source.info->bytes());
    source.dtype = source.info->dtype;
    file.read(*source.info, source.bytes.data());
    out.digest = digest_with(out.digest, require_checksum(file, *source.info, source.bytes.data()));
    if (!source.tensor.defined()) continue;
    widen_halves(source.dtype, source.bytes);
    const double low = source.name.ends_with(".running_var") ? 0 : -std::numeric_limits<double>::max();
    const double high = largest_of(parameters.dtype() == Dtype::f64 ? source.dtype : SafeDtype::kF32);
    require_range(file.path(), *source.info, source.dtype, source.bytes.data(), low, high);
  }
  for (std::size_t i = 0; i < floats.size(); ++i) {
    if (sources[i].info != nullptr) copy_from_disk(sources[i]);
  }
  const Device device = parameters.device();
  if (!device.is_cpu()) {
    upload(parameters.values().data<void>(), device, values.data<void>(), values.bytes());
    upload(parameters.running().data<void>(), device, running.data<void>(), running.bytes());
  }
  parameters.values_changed();
  for (std::size_t i = floats.size(); i < sources.size(); ++i) {
    if (sources[i].info == nullptr) continue;
    std::memcpy(&parameters.stats()[i - floats.size()].batches_tracked, sources[i].bytes.data(), sizeof(std::int64_t));
  }
  return out;
}

}  // namespace

std::uint64_t save_model(const std::filesystem::path& path, const Parameters& parameters, const Metadata& metadata) {
  Snapshot snapshot(parameters);
  snapshot.take(nullptr);
  return snapshot.save_model(path, metadata);
}

void verify_checksums(const SafetensorsFile& file) {
  std::vector<std::byte> bytes;
  for (const TensorInfo& info : file.tensors()) {
    if (!file.metadata().contains(checksum_key(info.name))) continue;
    bytes.resize(info.bytes());
    file.read(info, bytes.data());
    require_checksum(file, info, bytes.data());
  }
}

void save_training(const std::filesystem::path& path, const Parameters& parameters, const Optimizer& optimizer,
                   const Metadata& metadata, const WeightAverage* average) {
  Snapshot snapshot(parameters);
  snapshot.take(&optimizer, average);
  snapshot.save_training(path, metadata);
}

void load_training(const SafetensorsFile& file, Parameters& parameters, Optimizer& optimizer, WeightAverage* average) {
  const SafeDtype dtype = file_dtype(parameters);
  const auto read = [&](const std::string& name, SafeDtype type, const std::vector<std::int64_t>& shape,
                        void* values) -> const TensorInfo& {
    const TensorInfo* info = file.find(name);
    if (info == nullptr || info->dtype != type || info->shape != shape) {
      throw Error("{}: \"{}\" is {}, expected {} {}; the file is not the state of this training; nothing was loaded",
                  file.path().string(), name,
                  info == nullptr ? "missing" : fmt::format("{} {}", safe_dtype_name(info->dtype), text(info->shape)),
                  safe_dtype_name(type), text(shape));
    }
    file.read(*info, values);
    return *info;
  };
  const auto read_range = [&](const std::string& name, const Tensor& like, double low, double high) {
    const Tensor out = Tensor::empty(like.shape(), parameters.dtype());
    const TensorInfo& info = read(name, dtype, {like.size()}, out.data<void>());
    require_range(file.path(), info, dtype, out.data<void>(), low, high);
    require_checksum(file, info, out.data<void>());
    return out;
  };
  if (average == nullptr && file.find(kTrainedValues) != nullptr) {
    throw Error("{}: holds an average of the weights (\"{}\"), which this training has not; nothing was loaded",
                file.path().string(), kTrainedValues);
  }
  std::vector<Tensor> moments;
  for (const Optimizer::Moment& moment : optimizer.moments()) {
    moments.push_back(read_range(moment_name(moment), moment.values, moment.low, moment.high));
  }
  Tensor trained_values, trained_running;
  if (average != nullptr) {
    const double most = largest_of(dtype);
    trained_values = read_range(kTrainedValues, average->values(), -most, most);
    trained_running = read_range(kTrainedRunning, average->running(), -most, most);
    require_variances(file.path(), parameters, trained_running);
  }
  std::vector<std::int64_t> counts(parameters.groups().size());
  const TensorInfo& steps = read(steps_name(optimizer), SafeDtype::kI64, steps_shape(parameters), counts.data());
  require_checksum(file, steps, counts.data());
  for (const std::int64_t count : counts) {
    if (count >= 0) continue;
    throw Error("{}: \"{}\" is {}, expected at least 0; nothing was loaded", file.path().string(), steps.name, count);
  }
  load_model(file, parameters);
  for (std::size_t i = 0; i < moments.size(); ++i) {
    upload(optimizer.moments()[i].values.data<void>(), parameters.device(), moments[i].data<void>(),
           moments[i].bytes());
  }
  optimizer.set_group_steps(counts);
  if (average != nullptr) average->resume(trained_values, trained_running, optimizer.steps());
}

void require_whole(const TensorFile& file, const LoadedTensors& found) {
  const std::string path = file.path().string();
  if (!found.missing.empty()) throw Error("{}: tensor \"{}\" is missing; {}", path, found.missing[0], kDamaged);
  if (!found.unused.empty()) {
    throw Error("{}: tensor \"{}\" is not part of this model; {}", path, printable(found.unused[0]), kDamaged);
  }
  for (const auto& [key, checksum] : file.metadata()) {
    if (!key.starts_with(kChecksum)) continue;
    const std::string name = key.substr(kChecksum.size());
    if (file.find(name) != nullptr || name.starts_with(kStatePrefix)) continue;
    throw Error("{}: tensor \"{}\" is missing, of which the file has a checksum; {}", path, printable(name), kDamaged);
  }
}

std::uint64_t load_model(const TensorFile& file, Parameters& parameters) {
  const auto whole = [&](const LoadedTensors& found) { require_whole(file, found); };
  return load(file, parameters, {}, {}, whole, false).digest;
}

LoadedTensors load_tensors(const TensorFile& file, Parameters& parameters, const Rename& rename,
                           const std::vector<NamedTensor>& others, const Accept& accept) {
  return load(file, parameters, rename, others, accept, true);
}

}  // namespace unet
