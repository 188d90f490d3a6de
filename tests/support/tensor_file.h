// A safetensors file taken apart, to be changed and written again as no program of ours writes it.
#pragma once

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "engine/io/safetensors.h"
#include "kernels/bf16.h"
#include "tests/support/torch_writer.h"

namespace unet::test {

/// The nearest IEEE binary16, of values that have one.
inline std::uint16_t narrow_f16(float value) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000 : 0);
  int exponent = 0;
  const double mantissa = std::frexp(std::abs(value), &exponent);
  if (value == 0 || exponent < -13)
    return static_cast<std::uint16_t>(sign | std::lrint(std::ldexp(std::abs(value), 24)));
  return static_cast<std::uint16_t>(sign | ((exponent + 14) * 1024 + std::lrint(2048 * mantissa) - 1024));
}

struct TensorFile {
  struct One {
    SafeDtype dtype = SafeDtype::kF32;
    std::vector<std::int64_t> shape;
    std::vector<char> bytes;

    std::vector<float> floats() const {
      std::vector<float> out(bytes.size() / sizeof(float));
      std::memcpy(out.data(), bytes.data(), bytes.size());
      return out;
    }
  };

  std::map<std::string, std::string> metadata;
  std::map<std::string, One> tensors;

  TensorFile() = default;
  explicit TensorFile(const std::filesystem::path& path) {
    const SafetensorsFile file(path);
    metadata = file.metadata();
    for (const TensorInfo& info : file.tensors()) {
      One& one = tensors[info.name] = {info.dtype, info.shape, std::vector<char>(info.bytes())};
      file.read(info, one.bytes.data());
    }
  }

  void set(const std::string& name, const std::vector<std::int64_t>& shape, const std::vector<float>& values) {
    One& one = tensors[name] = {SafeDtype::kF32, shape, std::vector<char>(values.size() * sizeof(float))};
    std::memcpy(one.bytes.data(), values.data(), one.bytes.size());
  }
  /// A vector.
  void set(const std::string& name, const std::vector<float>& values) {
    set(name, {static_cast<std::int64_t>(values.size())}, values);
  }
  /// The last n rows of a tensor alone.
  void keep_rows(const std::string& name, std::int64_t n) {
    One& one = tensors.at(name);
    const std::size_t row = one.bytes.size() / static_cast<std::size_t>(one.shape[0]);
    one.bytes.erase(one.bytes.begin(),
                    one.bytes.end() - static_cast<std::ptrdiff_t>(row * static_cast<std::size_t>(n)));
    one.shape[0] = n;
  }
  void put_before_names(const std::string& prefix) {
    std::map<std::string, One> out;
    for (auto& [name, one] : tensors) out[prefix + name] = std::move(one);
    tensors = std::move(out);
  }
  /// F32 to F16 or BF16.
  void narrow(SafeDtype dtype) {
    for (auto& [name, one] : tensors) {
      if (one.dtype != SafeDtype::kF32) continue;
      const std::vector<float> values = one.floats();
      one.dtype = dtype;
      one.bytes.resize(values.size() * 2);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const std::uint16_t bits = dtype == SafeDtype::kF16 ? narrow_f16(values[i]) : kernels::narrow(values[i]).bits;
        std::memcpy(one.bytes.data() + 2 * i, &bits, 2);
      }
    }
  }

  void write(const std::filesystem::path& path) const {
    std::vector<SafetensorsEntry> entries;
    for (const auto& [name, one] : tensors) {
      // Also of a tensor without elements.
      static const char nothing = 0;
      entries.push_back({name, one.dtype, one.shape, one.bytes.empty() ? &nothing : one.bytes.data(), {}});
    }
    write_safetensors(path, metadata, entries);
  }
  /// As PyTorch saves it, without metadata; `outer`: in a dictionary under this name. It holds what milesial's do, too.
  void write_torch(const std::filesystem::path& path, const std::string& outer = {}, bool channels_last = false) const {
    tests::Entries entries;
    std::vector<std::string> storages;
    for (const auto& [name, one] : tensors) {
      std::int64_t elements = 1;
      for (const std::int64_t size : one.shape) elements *= size;
      const std::vector<std::int64_t> strides = tests::strides_of(one.shape, channels_last);
      const std::string storage =
          tests::pickled_storage(tests::storage_type(one.dtype), std::to_string(storages.size()), elements);
      entries.emplace_back(name, tests::pickled_view(storage, 0, one.shape, strides));
      storages.push_back(tests::laid_out(one.bytes, one.shape, strides, safe_dtype_size(one.dtype)));
    }
    if (outer.empty()) entries.emplace_back("mask_values", "](K\1K\2e");
    const std::string state = tests::pickled_dict(entries);
    const std::string bytes =
        tests::torch_file(outer.empty() ? state : tests::pickled_dict({{outer, state}}), storages);
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
};

}  // namespace unet::test
