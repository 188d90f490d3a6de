#include "engine/train/checkpoint.h"

#include <cstring>
#include <functional>
#include <limits>
#include <set>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/hash.h"
#include "engine/core/rng.h"
#include "engine/io/safetensors_header.h"
#include "kernels/dispatch.h"

namespace unet {
namespace {

std::vector<std::int64_t> disk_shape(const Shape& s) {
  if (s.rank() == 4) return {s[0], s[3], s[1], s[2]};
  std::vector<std::int64_t> out;
  for (int i = 0; i < s.rank(); ++i) out.push_back(s[i]);
  return out;
}

std::string text(const std::vector<std::int64_t>& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) out += fmt::format("{}{}", i > 0 ? "," : "", shape[i]);
  return out + "]";
}

/// Calls move(memory index, disk index) for every element of a weight [A,Kh,Kw,B] kept as [A,B,Kh,Kw].
template <class Move>
void for_each_place(const Shape& s, Move&& move) {
  if (s.rank() != 4) {
    for (std::int64_t i = 0; i < s.size(); ++i) move(i, i);
    return;
  }
  const std::int64_t taps = s[1] * s[2], B = s[3];
  for (std::int64_t a = 0; a < s[0]; ++a) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t b = 0; b < B; ++b) move((a * taps + tap) * B + b, (a * B + b) * taps + tap);
    }
  }
}

/// The float tensors of a model: parameters and running statistics.
struct Named {
  std::string name;
  Tensor tensor;
};

/// The arenas that a file holds, on the host: the model's own where it lives there, else copies.
struct HostArenas {
  Tensor values, running;
};

HostArenas on_host(const Parameters& parameters) {
  return {parameters.values().to(Device{}), parameters.running().to(Device{})};
}

std::vector<Named> float_tensors(const Parameters& parameters, const HostArenas& arenas) {
  std::vector<Named> out;
  for (const Parameters::Param& param : parameters.params()) {
    out.push_back({param.name, arenas.values.range(param.offset, param.shape)});
  }
  for (const Parameters::Stats& stats : parameters.stats()) {
    out.push_back({stats.name + ".running_mean", arenas.running.range(stats.mean_offset, {stats.channels})});
    out.push_back({stats.name + ".running_var", arenas.running.range(stats.variance_offset, {stats.channels})});
  }
  return out;
}

std::string tracked_name(const Parameters::Stats& stats) { return stats.name + ".num_batches_tracked"; }

constexpr const char* kStatePrefix = "state.";
constexpr const char* kFirstMoment = "state.adam_m";
constexpr const char* kSecondMoment = "state.adam_v";
constexpr const char* kAdamSteps = "state.adam_steps";
// No run exceeds it: a step with a larger gradient is dropped. From within, an update stays finite whatever v is.
constexpr double kMaxFirstMoment = 1e18;

SafeDtype file_dtype(const Parameters& parameters) {
  return parameters.dtype() == Dtype::f64 ? SafeDtype::kF64 : SafeDtype::kF32;
}

std::string checksum_key(const std::string& tensor) { return "checksum." + tensor; }
std::string checksum_text(std::uint64_t checksum) { return fmt::format("{:016x}", checksum); }

/// The digest so far and one tensor more.
std::uint64_t digest_with(std::uint64_t digest, std::uint64_t checksum) { return mix64(digest ^ checksum); }

std::uint64_t save(const std::filesystem::path& path, const Parameters& parameters, const Metadata& metadata,
                   const std::vector<SafetensorsEntry>& state) {
  const SafeDtype dtype = file_dtype(parameters);
  std::vector<SafetensorsEntry> entries;
  std::vector<std::vector<std::byte>> bytes;  // what the entries point to
  const std::vector<Named> tensors = float_tensors(parameters, on_host(parameters));
  bytes.reserve(tensors.size());
  for (const Named& named : tensors) {
    const Shape& shape = named.tensor.shape();
    bytes.emplace_back(static_cast<std::size_t>(shape.size()) * kernels::size_of(named.tensor.dtype()));
    kernels::dispatch_float(named.tensor.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T* memory = named.tensor.data<T>();
      T* disk = reinterpret_cast<T*>(bytes.back().data());
      for_each_place(shape, [&](std::int64_t m, std::int64_t d) { disk[d] = memory[m]; });
    });
    entries.push_back({named.name, dtype, disk_shape(shape), bytes.back().data(), {}});
  }
  for (const Parameters::Stats& stats : parameters.stats()) {
    entries.push_back({tracked_name(stats), SafeDtype::kI64, {}, &stats.batches_tracked, {}});
  }
  const std::size_t of_model = entries.size();
  entries.insert(entries.end(), state.begin(), state.end());
  Metadata all = metadata;
  std::uint64_t digest = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const SafetensorsEntry& entry = entries[i];
    const std::uint64_t checksum = xxh64(entry.data, safetensors_bytes(entry.shape, entry.dtype));
    all[checksum_key(entry.name)] = checksum_text(checksum);
    if (i < of_model) digest = digest_with(digest, checksum);
  }
  write_safetensors(path, all, entries);
  return digest;
}

/// Throws Error unless every value of a float tensor that was read lies in [low, high]; NaN never does.
void require_range(const std::filesystem::path& path, const TensorInfo& info, const void* values, double low,
                   double high) {
  const auto check = [&](const auto* value) {
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(info.elements()); ++i) {
      if (value[i] >= low && value[i] <= high) continue;
      throw Error("{}: \"{}\" holds {} at element {}, expected {:.3g} to {:.3g}; nothing was loaded: take another file",
                  path.string(), printable(info.name), value[i], i, low, high);
    }
  };
  if (info.dtype == SafeDtype::kF64) {
    check(static_cast<const double*>(values));
  } else {
    check(static_cast<const float*>(values));
  }
}

/// The checksum of a tensor that was read. Throws Error if its file has another for it.
std::uint64_t require_checksum(const SafetensorsFile& file, const TensorInfo& info, const void* values) {
  const std::uint64_t checksum = xxh64(values, info.bytes());
  const std::string key = checksum_key(info.name), text = checksum_text(checksum);
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end() || found->second == text) return checksum;
  throw Error(
      "{}: \"{}\" is damaged: the checksum of its bytes is {}, the file was written with {}; nothing was loaded: take "
      "another file or copy it again (whoever changes a tensor on purpose leaves out the metadata \"{}\")",
      file.path().string(), printable(info.name), text, printable(found->second), printable(key));
}

}  // namespace

std::uint64_t save_model(const std::filesystem::path& path, const Parameters& parameters, const Metadata& metadata) {
  return save(path, parameters, metadata, {});
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

void save_training(const std::filesystem::path& path, const Parameters& parameters, const Adam& optimizer,
                   const Metadata& metadata) {
  const SafeDtype dtype = file_dtype(parameters);
  const std::int64_t size = optimizer.m().size();
  const std::int64_t steps = optimizer.steps();
  const Tensor m = optimizer.m().to(Device{}), v = optimizer.v().to(Device{});
  save(path, parameters, metadata,
       {{kFirstMoment, dtype, {size}, m.data<void>(), {}},
        {kSecondMoment, dtype, {size}, v.data<void>(), {}},
        {kAdamSteps, SafeDtype::kI64, {}, &steps, {}}});
}

void load_training(const SafetensorsFile& file, Parameters& parameters, Adam& optimizer) {
  const SafeDtype dtype = file_dtype(parameters);
  const std::vector<std::int64_t> flat{optimizer.m().size()};
  const auto state = [&](const char* name, SafeDtype type,
                         const std::vector<std::int64_t>& shape) -> const TensorInfo& {
    const TensorInfo* info = file.find(name);
    if (info == nullptr || info->dtype != type || info->shape != shape) {
      throw Error("{}: \"{}\" is {}, expected {} {}; the file is not the state of this training; nothing was loaded",
                  file.path().string(), name,
                  info == nullptr ? "missing" : fmt::format("{} {}", safe_dtype_name(info->dtype), text(info->shape)),
                  safe_dtype_name(type), text(shape));
    }
    return *info;
  };
  const TensorInfo& m = state(kFirstMoment, dtype, flat);
  const TensorInfo& v = state(kSecondMoment, dtype, flat);
  const TensorInfo& steps = state(kAdamSteps, SafeDtype::kI64, {});
  const Tensor new_m = Tensor::empty(optimizer.m().shape(), parameters.dtype());
  const Tensor new_v = Tensor::empty(optimizer.v().shape(), parameters.dtype());
  std::int64_t count = 0;
  file.read(m, new_m.data<void>());
  file.read(v, new_v.data<void>());
  file.read(steps, &count);
  require_range(file.path(), m, new_m.data<void>(), -kMaxFirstMoment, kMaxFirstMoment);
  require_range(file.path(), v, new_v.data<void>(), 0, kMaxFirstMoment * kMaxFirstMoment);
  require_checksum(file, m, new_m.data<void>());
  require_checksum(file, v, new_v.data<void>());
  require_checksum(file, steps, &count);
  if (count < 0) {
    throw Error("{}: \"{}\" is {}, expected at least 0; nothing was loaded", file.path().string(), kAdamSteps, count);
  }
  load_model(file, parameters);
  upload(optimizer.m().data<void>(), parameters.device(), new_m.data<void>(), m.bytes());
  upload(optimizer.v().data<void>(), parameters.device(), new_v.data<void>(), v.bytes());
  optimizer.set_steps(count);
}

std::uint64_t load_model(const SafetensorsFile& file, Parameters& parameters) {
  const std::string path = file.path().string();
  const std::string damaged =
      "the file is damaged, holds another model or was written by another program; nothing was loaded";
  const HostArenas arenas = on_host(parameters);
  const std::vector<Named> tensors = float_tensors(parameters, arenas);
  std::set<std::string> expected;
  for (const Named& named : tensors) {
    const TensorInfo* info = file.find(named.name);
    if (info == nullptr) throw Error("{}: tensor \"{}\" is missing; {}", path, named.name, damaged);
    const std::vector<std::int64_t> shape = disk_shape(named.tensor.shape());
    if (info->shape != shape) {
      throw Error("{}: \"{}\" is {}, expected {}; {}", path, named.name, text(info->shape), text(shape), damaged);
    }
    if (info->dtype != SafeDtype::kF32 && info->dtype != SafeDtype::kF64) {
      throw Error("{}: \"{}\" is {}, expected F32 or F64; {}", path, named.name, safe_dtype_name(info->dtype), damaged);
    }
    expected.insert(named.name);
  }
  for (const Parameters::Stats& stats : parameters.stats()) {
    const TensorInfo* info = file.find(tracked_name(stats));
    if (info == nullptr) throw Error("{}: tensor \"{}\" is missing; {}", path, tracked_name(stats), damaged);
    if (info->dtype != SafeDtype::kI64 || info->elements() != 1) {
      throw Error("{}: \"{}\" is {} {}, expected one I64; {}", path, tracked_name(stats), safe_dtype_name(info->dtype),
                  text(info->shape), damaged);
    }
    expected.insert(tracked_name(stats));
  }
  for (const TensorInfo& info : file.tensors()) {
    if (!expected.contains(info.name) && !info.name.starts_with(kStatePrefix)) {
      throw Error("{}: tensor \"{}\" is not part of this model; {}", path, printable(info.name), damaged);
    }
  }

  // Everything is read before anything changes: a read error leaves the model as it was.
  std::vector<std::vector<std::byte>> bytes;
  std::uint64_t digest = 0;
  for (const Named& named : tensors) {
    const TensorInfo& info = *file.find(named.name);
    file.read(info, bytes.emplace_back(info.bytes()).data());
    const double low = named.name.ends_with(".running_var") ? 0 : -std::numeric_limits<double>::max();
    const double high = info.dtype == SafeDtype::kF64 && parameters.dtype() == Dtype::f64
                            ? std::numeric_limits<double>::max()
                            : std::numeric_limits<float>::max();
    require_range(file.path(), info, bytes.back().data(), low, high);
    digest = digest_with(digest, require_checksum(file, info, bytes.back().data()));
  }
  std::vector<std::int64_t> tracked;
  for (const Parameters::Stats& stats : parameters.stats()) {
    const TensorInfo& info = *file.find(tracked_name(stats));
    file.read(info, &tracked.emplace_back());
    digest = digest_with(digest, require_checksum(file, info, &tracked.back()));
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& tensor = tensors[i].tensor;
    kernels::dispatch_float(tensor.dtype(), [&](auto zero) {
      using T = decltype(zero);
      T* memory = tensor.data<T>();
      const auto copy = [&](const auto* disk) {
        for_each_place(tensor.shape(), [&](std::int64_t m, std::int64_t d) { memory[m] = static_cast<T>(disk[d]); });
      };
      if (file.find(tensors[i].name)->dtype == SafeDtype::kF64) {
        copy(reinterpret_cast<const double*>(bytes[i].data()));
      } else {
        copy(reinterpret_cast<const float*>(bytes[i].data()));
      }
    });
  }
  const Device device = parameters.device();
  if (!device.is_cpu()) {
    upload(parameters.values().data<void>(), device, arenas.values.data<void>(), arenas.values.bytes());
    upload(parameters.running().data<void>(), device, arenas.running.data<void>(), arenas.running.bytes());
  }
  parameters.values_changed();
  for (std::size_t i = 0; i < tracked.size(); ++i) parameters.stats()[i].batches_tracked = tracked[i];
  return digest;
}

}  // namespace unet
