// What the tests of files share: a folder that removes itself, whole files, the text of errors, memory seen by new.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace unet::tests {

class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }
  /// Names of all that is in it, sorted.
  std::vector<std::string> names() const;

 private:
  std::filesystem::path path_;
};

std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, std::string_view content);

/// The text of the unet::Error that `action` throws, "" if it throws none; any other exception passes.
std::string error_of(const std::function<void()>& action);

struct CommandResult {
  int status = -1;     // exit status; 127: not found
  std::string output;  // standard output and error
};
CommandResult run_command(const std::string& command);
/// For the shell.
std::string shell_quoted(const std::filesystem::path& path);

/// Bytes that operator new has handed out above those held at the start, at most, during `action`.
std::size_t peak_heap_bytes(const std::function<void()>& action);

/// Seconds of processor time of this process: a busy machine does not lengthen them.
double processor_seconds();

/// The format in the raw: length, header, data.
std::string safetensors_file(std::string_view header, std::string_view data);

}  // namespace unet::tests
