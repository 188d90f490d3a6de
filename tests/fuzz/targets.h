// What is thrown at the readers of files that others made. Each function takes any bytes, lets an unet::Error pass as a
// refusal, and throws std::logic_error where a promise is broken; any other exception, a crash, a sanitizer's report, a
// hang or an allocation out of proportion is a finding too. libfuzzer/ links them with libFuzzer, replay_test.cpp with
// GoogleTest.
#pragma once

#include <cstdint>
#include <functional>
#include <ostream>
#include <span>
#include <string>
#include <vector>

namespace unet::fuzz {

using Bytes = std::span<const std::uint8_t>;

/// The file as safetensors. What is accepted reads to its end, and is the same when its header is written and read
/// again. (What a model makes of a sound file is tests/apps/run/checkpoint_test.cpp's matter.)
void fuzz_checkpoint(Bytes bytes);

/// The file as one of PyTorch's and, unless it begins as an archive does, as the pickle in one. What is accepted reads
/// to its end, in proportion to the file.
void fuzz_torch_file(Bytes bytes);

/// The text as the record of a run. One that is accepted holds together, names no file outside its folder, and is the
/// same when it is written and read again.
void fuzz_record(Bytes bytes);

/// The file as a list of names, in both forms. Names that are accepted lead to no other folder.
void fuzz_list(Bytes bytes);

/// The file as photograph and as mask. An image that decodes has the size that its head tells. Images above 4 Mpx are
/// passed over, so that an input is done in milliseconds; the limits have a test of their own.
void fuzz_image(Bytes bytes);

/// The text as a class map. One that is accepted numbers its classes without a gap, has safe names, and is the same
/// when it is written and read again.
void fuzz_class_map(Bytes bytes);

/// The file as one of options. What is accepted is within the bounds of its option; a refusal is a CLI::ParseError.
void fuzz_options(Bytes bytes);

/// Small files made by code, of every kind that the readers know, for a start.
std::vector<std::vector<std::uint8_t>> checkpoint_seeds();
std::vector<std::vector<std::uint8_t>> torch_file_seeds();
std::vector<std::vector<std::uint8_t>> record_seeds();
std::vector<std::vector<std::uint8_t>> list_seeds();
std::vector<std::vector<std::uint8_t>> image_seeds();
std::vector<std::vector<std::uint8_t>> class_map_seeds();
std::vector<std::vector<std::uint8_t>> options_seeds();

struct Target {
  std::string name;
  void (*fuzz_one)(Bytes);
  std::vector<std::vector<std::uint8_t>> (*seeds)();
  std::vector<std::string> corpora;  // folders of the given data that fit
};
const std::vector<Target>& targets();
inline void PrintTo(const Target& target, std::ostream* out) { *out << target.name; }

/// Bytes under a path, for readers that open files; on no disk.
class MemoryFile {
 public:
  explicit MemoryFile(Bytes bytes);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  int descriptor_;
  std::string path_;
};

/// Throws std::logic_error.
void require(bool holds, const char* promise);

/// True if `action` ran through, false if it threw an unet::Error.
bool accepted(const std::function<void()>& action);

}  // namespace unet::fuzz
