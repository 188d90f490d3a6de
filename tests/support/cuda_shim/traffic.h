// Which bytes of device memory a kernel reads and writes. The kernels are compiled with the compiler's hooks for data
// races (-fsanitize=thread, but not its library): every access that they make calls a function of traffic.cpp. Not
// with a sanitizer, which has hooks of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace unet::shim {

/// One launch, or a product of a library in its place. Bytes of device memory, each of them once: what has to come from
/// memory, and what has to go there, if a cache keeps all that the launch touches and nothing of the launches before.
struct Traffic {
  std::string name;  // of the kernel, as demangled; "gemm", "convolution forward", ...
  std::uint64_t read = 0, written = 0;
};

/// False in a build with a sanitizer: nothing is counted there.
bool counts_traffic();

/// Marks what is accessed while it lives, in the blocks that it knows. One at a time.
class Footprint {
 public:
  Footprint();
  ~Footprint();
  Footprint(const Footprint&) = delete;
  Footprint& operator=(const Footprint&) = delete;

  void add(const void* block, std::size_t bytes);
  void mark(const void* at, std::size_t bytes, bool writes);
  Traffic total() const;

 private:
  struct Block {
    std::size_t bytes;
    std::vector<unsigned char> marks;  // of every byte; none: never touched
  };
  std::map<const unsigned char*, Block> blocks_;
};

}  // namespace unet::shim
