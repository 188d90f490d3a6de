// PyTorch's files as tests want them: pickles piece by piece, and the zip archive around them, also as PyTorch would
// never write them.
#pragma once

#include <fmt/core.h>
#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/io/tensor_file.h"

namespace unet::tests {

/// `bytes` bytes, least significant first.
inline std::string little(std::uint64_t value, std::size_t bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes; ++i) out += i < 8 ? static_cast<char>(value >> (8 * i)) : '\0';
  return out;
}

// ---- pickles: each function gives the instructions that leave one value on the stack -------------------------------

inline std::string pickled(std::string_view text) { return "X" + little(text.size(), 4) + std::string(text); }
inline std::string pickled(std::int64_t value) {
  if (value >= 0 && value < 256) return "K" + little(static_cast<std::uint64_t>(value), 1);
  return "\x8a\x08" + little(static_cast<std::uint64_t>(value), 8);
}
inline std::string pickled_global(std::string_view module, std::string_view name) {
  return fmt::format("c{}\n{}\n", module, name);
}
inline std::string pickled_tuple(const std::vector<std::string>& items) {
  std::string out = "(";
  for (const std::string& item : items) out += item;
  return out + "t";
}
inline std::string pickled_sizes(const std::vector<std::int64_t>& sizes) {
  std::vector<std::string> items;
  for (const std::int64_t size : sizes) items.push_back(pickled(size));
  return pickled_tuple(items);
}
using Entries = std::vector<std::pair<std::string, std::string>>;  // keys as text; values pickled
inline std::string pickled_dict(const Entries& entries) {
  std::string out = "}(";
  for (const auto& [key, value] : entries) out += pickled(key) + value;
  return out + "u";
}
inline std::string ordered_dict() { return pickled_global("collections", "OrderedDict") + ")R"; }
inline std::string pickled_storage(std::string_view type, std::string_view key, std::int64_t elements) {
  return pickled_tuple(
             {pickled("storage"), pickled_global("torch", type), pickled(key), pickled("cpu"), pickled(elements)}) +
         "Q";
}
inline std::string pickled_view(const std::string& storage, std::int64_t offset, const std::vector<std::int64_t>& shape,
                                const std::vector<std::int64_t>& strides) {
  return pickled_global("torch._utils", "_rebuild_tensor_v2") +
         pickled_tuple(
             {storage, pickled(offset), pickled_sizes(shape), pickled_sizes(strides), "\x89", ordered_dict()}) +
         "R";
}
inline std::string pickled_parameter(const std::string& view) {
  return pickled_global("torch._utils", "_rebuild_parameter") + pickled_tuple({view, "\x88", ordered_dict()}) + "R";
}
inline std::string pickle_of(const std::string& root) { return "\x80\x02" + root + "."; }

// ---- archives
// ---------------------------------------------------------------------------------------------------------

using Parts = std::vector<std::pair<std::string, std::string>>;  // names and contents of entries

/// As PyTorch writes it: sizes and checksums behind each entry, the data of storages at multiples of 64, two ends.
/// Otherwise as zip does that is told to store.
inline std::string zip_of(const Parts& parts, bool as_torch = true) {
  const std::uint64_t flags = as_torch ? 0x0808 : 0;
  std::string out, directory;
  for (const auto& [name, content] : parts) {
    const auto crc = static_cast<std::uint64_t>(
        ::crc32(0, reinterpret_cast<const Bytef*>(content.data()), static_cast<uInt>(content.size())));
    const std::string sizes = little(crc, 4) + little(content.size(), 4) + little(content.size(), 4);
    const std::string fixed = little(flags, 2) + little(0, 6);  // stored; no time, no date
    const std::size_t at = out.size();
    std::string padding;
    if (as_torch) {
      padding.resize((64 - (at + 34 + name.size()) % 64) % 64, 'Z');
      padding = "FB" + little(padding.size(), 2) + padding;
    }
    const std::string name_length = little(name.size(), 2);
    out += "PK\x03\x04" + little(0, 2) + fixed + (as_torch ? std::string(12, '\0') : sizes) + name_length +
           little(padding.size(), 2) + name + padding + content;
    if (as_torch) out += "PK\x07\x08" + sizes;
    directory += "PK\x01\x02" + little(0, 4) + fixed + sizes + name_length + little(0, 12) + little(at, 4) + name;
  }
  const std::size_t begin = out.size(), end = begin + directory.size();
  out += directory;
  if (as_torch) {
    out += "PK\x06\x06" + little(44, 8) + little(0x2d031e, 4) + little(0, 8) + little(parts.size(), 8) +
           little(parts.size(), 8) + little(directory.size(), 8) + little(begin, 8);
    out += "PK\x06\x07" + little(0, 4) + little(end, 8) + little(1, 4);
  }
  return out + "PK\x05\x06" + little(0, 4) + little(parts.size(), 2) + little(parts.size(), 2) +
         little(directory.size(), 4) + little(begin, 4) + little(0, 2);
}

/// A file of PyTorch's of a pickled root and the storages "0", "1", ...
inline std::string torch_file(const std::string& root, const std::vector<std::string>& storages) {
  Parts parts{{"m/data.pkl", pickle_of(root)}, {"m/byteorder", "little"}};
  for (std::size_t i = 0; i < storages.size(); ++i) parts.emplace_back("m/data/" + std::to_string(i), storages[i]);
  parts.emplace_back("m/version", "3\n");
  return zip_of(parts);
}

/// Strides of tensors row by row or, of four dimensions, channels last.
inline std::vector<std::int64_t> strides_of(const std::vector<std::int64_t>& shape, bool channels_last = false) {
  std::vector<std::int64_t> out(shape.size());
  std::vector<std::size_t> order(shape.size());  // from the innermost on
  for (std::size_t i = 0; i < shape.size(); ++i) order[i] = shape.size() - 1 - i;
  if (channels_last && shape.size() == 4) order = {1, 3, 2, 0};
  std::int64_t stride = 1;
  for (const std::size_t d : order) {
    out[d] = stride;
    stride *= shape[d];
  }
  return out;
}

/// The bytes of a tensor, row by row, as a storage that its strides belong to.
inline std::string laid_out(const std::vector<char>& rows, const std::vector<std::int64_t>& shape,
                            const std::vector<std::int64_t>& strides, std::size_t element) {
  std::string out(rows.size(), '\0');
  for (std::size_t i = 0; i < rows.size() / element; ++i) {
    std::size_t rest = i, place = 0;
    for (std::size_t d = shape.size(); d-- > 0; rest /= static_cast<std::size_t>(shape[d])) {
      place += rest % static_cast<std::size_t>(shape[d]) * static_cast<std::size_t>(strides[d]);
    }
    std::copy_n(rows.data() + i * element, element, out.data() + place * element);
  }
  return out;
}

inline std::string_view storage_type(SafeDtype dtype) {
  switch (dtype) {
    case SafeDtype::kF16:
      return "HalfStorage";
    case SafeDtype::kBF16:
      return "BFloat16Storage";
    case SafeDtype::kF64:
      return "DoubleStorage";
    case SafeDtype::kI64:
      return "LongStorage";
    case SafeDtype::kI32:
      return "IntStorage";
    case SafeDtype::kU8:
      return "ByteStorage";
    case SafeDtype::kBool:
      return "BoolStorage";
    default:
      return "FloatStorage";
  }
}

}  // namespace unet::tests
