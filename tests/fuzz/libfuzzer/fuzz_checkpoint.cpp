// Most random changes of a header spoil its length, and nothing behind it is read: three in four are mended.
#include <algorithm>

#include "tests/fuzz/targets.h"

extern "C" {
std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 4 == 0 || size <= 8) return size;
  std::size_t end = size;
  while (end > 8 && data[end - 1] != '}') --end;
  for (std::size_t i = 0; i < 8; ++i) data[i] = static_cast<std::uint8_t>((end - 8) >> (8 * i));
  return size;
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  unet::fuzz::fuzz_checkpoint({data, size});
  return 0;
}
}
