#include "tests/support/cuda_shim/traffic.h"

namespace unet::shim {
namespace {

Footprint* current = nullptr;

// Of a byte. What was written first is not read from memory afterwards.
constexpr unsigned char kRead = 1, kWritten = 2;

}  // namespace

Footprint::Footprint() { current = this; }
Footprint::~Footprint() { current = nullptr; }

void Footprint::add(const void* block, std::size_t bytes) {
  blocks_[static_cast<const unsigned char*>(block)] = {bytes, {}};
}

void Footprint::mark(const void* at, std::size_t bytes, bool writes) {
  const auto* const begin = static_cast<const unsigned char*>(at);
  auto found = blocks_.upper_bound(begin);
  if (found == blocks_.begin()) return;
  auto& [first, block] = *--found;
  const auto offset = static_cast<std::size_t>(begin - first);
  if (offset + bytes > block.bytes) return;  // a stack, shared memory
  block.marks.resize(block.bytes);
  for (std::size_t i = offset; i < offset + bytes; ++i) {
    unsigned char& byte = block.marks[i];
    if (writes) byte |= kWritten;
    if (!writes && byte == 0) byte = kRead;
  }
}

Traffic Footprint::total() const {
  Traffic out;
  for (const auto& [begin, block] : blocks_) {
    for (const unsigned char byte : block.marks) {
      out.read += byte & kRead;
      out.written += (byte & kWritten) / kWritten;
    }
  }
  return out;
}

#if defined(UNET_SHIM_COUNTS)
bool counts_traffic() { return true; }
#else
bool counts_traffic() { return false; }
#endif

}  // namespace unet::shim

#if defined(UNET_SHIM_COUNTS)
// The names that the compiler calls.
extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

void __tsan_read_range(void* at, unsigned long bytes) {
  if (unet::shim::current != nullptr) unet::shim::current->mark(at, bytes, false);
}
void __tsan_write_range(void* at, unsigned long bytes) {
  if (unet::shim::current != nullptr) unet::shim::current->mark(at, bytes, true);
}
void __tsan_read1(void* at) { __tsan_read_range(at, 1); }
void __tsan_read2(void* at) { __tsan_read_range(at, 2); }
void __tsan_read4(void* at) { __tsan_read_range(at, 4); }
void __tsan_read8(void* at) { __tsan_read_range(at, 8); }
void __tsan_read16(void* at) { __tsan_read_range(at, 16); }
void __tsan_write1(void* at) { __tsan_write_range(at, 1); }
void __tsan_write2(void* at) { __tsan_write_range(at, 2); }
void __tsan_write4(void* at) { __tsan_write_range(at, 4); }
void __tsan_write8(void* at) { __tsan_write_range(at, 8); }
void __tsan_write16(void* at) { __tsan_write_range(at, 16); }
void __tsan_unaligned_read2(void* at) { __tsan_read_range(at, 2); }
void __tsan_unaligned_read4(void* at) { __tsan_read_range(at, 4); }
void __tsan_unaligned_read8(void* at) { __tsan_read_range(at, 8); }
void __tsan_unaligned_read16(void* at) { __tsan_read_range(at, 16); }
void __tsan_unaligned_write2(void* at) { __tsan_write_range(at, 2); }
void __tsan_unaligned_write4(void* at) { __tsan_write_range(at, 4); }
void __tsan_unaligned_write8(void* at) { __tsan_write_range(at, 8); }
void __tsan_unaligned_write16(void* at) { __tsan_write_range(at, 16); }
}
#endif
