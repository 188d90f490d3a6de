#include "tests/apps/faults.h"

#include <cstdlib>

#include "tests/support/places.h"

namespace unet::test {
namespace {

/// A library of tests/support/preload for LD_PRELOAD. The address sanitizer wants to be told that it is not the first.
Words preload(const std::string& library) {
  Words out{"LD_PRELOAD=" + places::build("lib/" + library)};
  if (!sanitized) return out;
  const char* options = std::getenv("ASAN_OPTIONS");
  return out + Words{fmt::format("ASAN_OPTIONS={}verify_asan_link_order=0",
                                 options == nullptr ? "" : fmt::format("{}:", options))};
}

Words file_faults(const fs::path& folder, const std::string& calls, const std::string& name) {
  return preload("unet_file_faults.so") +
         Words{"UNET_FAULT_UNDER=" + folder.string(), "UNET_FAULT_CALLS=" + calls, "UNET_FAULT_NAME=" + name};
}

Words settings_of(const Fault& fault, const fs::path& folder) {
  return file_faults(folder, fault.calls, fault.name) +
         Words{fmt::format("UNET_FAULT_AT={}", fault.at), "UNET_FAULT_DO=" + fault.act};
}

}  // namespace

ProgramResult run_into(const Fault& fault, const Words& words, const fs::path& folder) {
  return run(words, settings_of(fault, folder));
}

FaultyRun logged_run_into(const Fault& fault, const Words& words, const fs::path& folder) {
  const Folder log;
  FaultyRun out;
  out.result = run(words, settings_of(fault, folder) + Words{"UNET_FAULT_LOG=" + (log / "calls").string()});
  if (fs::exists(log / "calls")) out.calls = lines_of(text_of(log / "calls"));
  return out;
}

Words with_fault(const Fault& fault, const Words& words, const fs::path& folder) {
  return Words{"sh", "-c", "exec env \"$@\" 2>&1", "sh"} + settings_of(fault, folder) + words;
}

std::vector<std::string> calls_of(const Words& words, const fs::path& folder, const std::string& calls,
                                  const std::string& name) {
  const Folder log;
  const ProgramResult result =
      run(words, file_faults(folder, calls, name) + Words{"UNET_FAULT_LOG=" + (log / "calls").string()});
  EXPECT_EQ(result.code, 0) << result.err;
  return lines_of(text_of(log / "calls"));
}

ProgramResult run_without_memory(long at, const Words& words, long* total) {
  const Folder log;
  const ProgramResult result =
      run(words, preload("unet_allocation_faults.so") + Words{fmt::format("UNET_FAULT_NEW_AT={}", at),
                                                              "UNET_FAULT_NEW_BYTES=4096",
                                                              "UNET_FAULT_NEW_LOG=" + (log / "count").string()});
  if (total != nullptr) *total = std::stol(text_of(log / "count"));
  return result;
}

ProgramResult run_with_threads(int most, const Words& words) {
  return run(words, preload("unet_thread_faults.so") + Words{fmt::format("UNET_FAULT_THREADS={}", most)});
}

fs::path fast_folder() {
  const fs::path memory = "/dev/shm";
  return ::access(memory.c_str(), W_OK | X_OK) == 0 ? memory : fs::temp_directory_path();
}

}  // namespace unet::test
