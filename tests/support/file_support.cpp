#include "tests/support/file_support.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <new>

namespace {

// Counted only while somebody asks: other tests of the program are held to times.
std::atomic<bool> metering{false};
std::atomic<std::int64_t> heap_bytes{0};  // since the meter was turned on; below 0 once older blocks are freed
std::atomic<std::int64_t> heap_peak{0};

void* metered_allocate(std::size_t bytes) {
  void* block = std::malloc(bytes == 0 ? 1 : bytes);
  if (block == nullptr) throw std::bad_alloc();
  if (!metering.load(std::memory_order_relaxed)) return block;
  const std::int64_t now = heap_bytes += static_cast<std::int64_t>(malloc_usable_size(block));
  std::int64_t peak = heap_peak;
  while (now > peak && !heap_peak.compare_exchange_weak(peak, now)) {
  }
  return block;
}

void metered_release(void* block) noexcept {
  if (block == nullptr) return;
  if (metering.load(std::memory_order_relaxed)) heap_bytes -= static_cast<std::int64_t>(malloc_usable_size(block));
  std::free(block);
}

struct Metering {
  Metering() {
    heap_bytes = heap_peak = 0;
    metering = true;
  }
  ~Metering() { metering = false; }
};

}  // namespace

void* operator new(std::size_t bytes) { return metered_allocate(bytes); }
void* operator new[](std::size_t bytes) { return metered_allocate(bytes); }
// std::stable_sort's: what the operators above do not replace, delete below would get from another allocator.
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return metered_allocate(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new[](std::size_t bytes, const std::nothrow_t& none) noexcept { return operator new(bytes, none); }
void operator delete(void* block) noexcept { metered_release(block); }
void operator delete[](void* block) noexcept { metered_release(block); }
void operator delete(void* block, std::size_t) noexcept { metered_release(block); }
void operator delete[](void* block, std::size_t) noexcept { metered_release(block); }

namespace unet::tests {

namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder() {
  std::string name = testing::TempDir() + "/unet_files_XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
  path_ = fs::canonical(name);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::vector<std::string> TemporaryFolder::names() const {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(path_)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const fs::path& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path.string());
}

CommandResult run_command(const std::string& command) {
  CommandResult result;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return result;
  std::array<char, 4096> buffer;
  while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe))
    result.output.append(buffer.data(), got);
  const int status = ::pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

std::string shell_quoted(const fs::path& path) { return fmt::format("'{}'", path.string()); }

std::size_t peak_heap_bytes(const std::function<void()>& action) {
  const Metering on;
  action();
  return static_cast<std::size_t>(heap_peak.load());
}

double processor_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::string safetensors_file(std::string_view header, std::string_view data) {
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(static_cast<std::uint64_t>(header.size()) >> (8 * i));
  return file.append(header).append(data);
}

}  // namespace unet::tests
