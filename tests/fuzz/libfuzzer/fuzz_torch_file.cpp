#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  unet::fuzz::fuzz_torch_file({data, size});
  return 0;
}
