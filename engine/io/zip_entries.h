// What lies in a zip archive that is stored and not compressed, as PyTorch writes it. Nothing is taken on trust: the
// archive is read twice, from its directory and from the entries themselves, and both have to say the same of every
// byte of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/input_file.h"

namespace unet {

inline constexpr std::uint64_t kZipDirectoryBytes = std::uint64_t{32} << 20;  // of what is read

struct ZipEntry {
  std::string name;
  std::uint64_t begin = 0;  // of its bytes in the file
  std::uint64_t bytes = 0;
};

/// Ordered by name. Every entry is read and agrees with its checksum; the entries lie one behind the other from the
/// start of the file to the directory, which ends with the file. Throws unet::Error with entry and reason (the caller
/// adds the file) where that is not so, and for what is compressed, encrypted, in several parts or named twice.
std::vector<ZipEntry> zip_entries(const InputFile& file);

/// Null if there is none of this name.
const ZipEntry* find_entry(const std::vector<ZipEntry>& entries, std::string_view name);

}  // namespace unet
