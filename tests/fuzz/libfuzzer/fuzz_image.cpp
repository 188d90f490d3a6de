// Most random changes of a PNG spoil a checksum, and nothing behind it is read: three in four are mended.
#include <cstring>

#include "tests/fuzz/targets.h"
#include "tests/support/data_support.h"

extern "C" {
std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 4 == 0 || size < 8 || std::memcmp(data, "\x89PNG", 4) != 0) return size;
  for (std::size_t at = 8; size - at >= 12;) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8 | data[at + i];
    if (length > size - at - 12) break;
    const std::uint32_t sum = unet::test::crc32(data + at + 4, length + 4);
    for (std::size_t i = 0; i < 4; ++i) data[at + 8 + length + i] = static_cast<std::uint8_t>(sum >> (24 - 8 * i));
    at += 12 + length;
  }
  return size;
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  unet::fuzz::fuzz_image({data, size});
  return 0;
}
}
