#include "engine/io/safetensors.h"

#include <algorithm>
#include <bit>

#include "engine/core/error.h"
#include "engine/io/durable_file.h"
#include "engine/io/safetensors_header.h"

namespace unet {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian and copied as it is");

constexpr std::size_t kChunkBytes = std::size_t{1} << 20;

std::vector<TensorInfo> lay_out(const std::vector<const SafetensorsEntry*>& order) {
  std::vector<TensorInfo> infos;
  infos.reserve(order.size());
  std::uint64_t offset = 0;
  for (const SafetensorsEntry* entry : order) {
    const auto refuse = [&](std::string_view reason) {
      throw Error("tensor \"{}\" {}", printable(entry->name), reason);
    };
    if (entry->name == "__metadata__") refuse("has a name that the format keeps for itself");
    if (std::any_of(entry->shape.begin(), entry->shape.end(), [](std::int64_t dim) { return dim < 0; })) {
      refuse("has a negative dimension");
    }
    std::uint64_t end = 0;
    if (__builtin_add_overflow(offset, safetensors_bytes(entry->shape, entry->dtype), &end)) refuse("is too large");
    if (end > offset && entry->data == nullptr && !entry->fill) refuse("has neither data nor a function that makes it");
    infos.push_back({entry->name, entry->dtype, entry->shape, offset, end});
    offset = end;
  }
  return infos;
}

void write_data(DurableFile& file, const SafetensorsEntry& entry, std::uint64_t bytes, std::vector<std::byte>& chunk) {
  if (!entry.fill) {
    file.write(entry.data, bytes);
    return;
  }
  chunk.resize(kChunkBytes);
  for (std::uint64_t offset = 0; offset < bytes;) {
    const std::size_t length = static_cast<std::size_t>(std::min<std::uint64_t>(kChunkBytes, bytes - offset));
    entry.fill(offset, std::span(chunk.data(), length));
    file.write(chunk.data(), length);
    offset += length;
  }
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : TensorFile(path) {
  try {
    if (file_.size() < 8) throw Error("it has {} bytes, less than the 8 of the header's length", file_.size());
    unsigned char length[8];
    file_.read(length, sizeof length, 0);
    std::uint64_t header_bytes = 0;
    for (int i = 7; i >= 0; --i) header_bytes = header_bytes << 8 | length[i];
    if (header_bytes > kSafeHeaderBytes) {
      throw Error("its first 8 bytes give a header of {} bytes, more than the format allows ({})", header_bytes,
                  kSafeHeaderBytes);
    }
    if (header_bytes > file_.size() - 8) {
      throw Error("its header should have {} bytes, but the file has only {}: it is cut short or damaged", header_bytes,
                  file_.size());
    }
    std::string text(header_bytes, '\0');
    file_.read(text.data(), header_bytes, 8);
    data_start_ = 8 + header_bytes;
    SafetensorsHeader header = parse_safetensors_header(text, file_.size() - data_start_);
    metadata_ = std::move(header.metadata);
    tensors_ = std::move(header.tensors);
    by_name_ = std::move(header.by_name);
  } catch (const Error& error) {
    throw Error("\"{}\" is not a valid safetensors file: {}; take another checkpoint, or write or copy it again",
                path.string(), error.what());
  }
}

void SafetensorsFile::read(const TensorInfo& info, void* destination) const {
  file_.read(destination, info.bytes(), data_start_ + info.begin);
}

void write_safetensors(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                       const std::vector<SafetensorsEntry>& entries) {
  std::vector<const SafetensorsEntry*> order;
  for (const SafetensorsEntry& entry : entries) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const SafetensorsEntry* a, const SafetensorsEntry* b) {
    const std::size_t size_a = safe_dtype_size(a->dtype), size_b = safe_dtype_size(b->dtype);
    return size_a != size_b ? size_a > size_b : a->name < b->name;
  });
  std::string text;
  std::vector<TensorInfo> infos;
  try {
    infos = lay_out(order);
    text = make_safetensors_header(metadata, infos);
    // The reader is the judge of what may be written: duplicate names, limits, everything.
    parse_safetensors_header(text, infos.empty() ? 0 : infos.back().end);
    if (text.size() > kSafeHeaderBytes) throw Error("the header would have {} bytes", text.size());
  } catch (const Error& error) {
    throw Error("cannot write \"{}\" as safetensors: {}", path.string(), error.what());
  }
  unsigned char length[8];
  for (int i = 0; i < 8; ++i) length[i] = static_cast<unsigned char>(text.size() >> (8 * i));
  DurableFile file(path, sizeof length + text.size() + (infos.empty() ? 0 : infos.back().end));
  text.insert(0, reinterpret_cast<const char*>(length), sizeof length);
  file.write(text.data(), text.size());
  std::vector<std::byte> chunk;
  for (std::size_t i = 0; i < order.size(); ++i) write_data(file, *order[i], infos[i].bytes(), chunk);
  file.commit();
}

}  // namespace unet
