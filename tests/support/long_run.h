// scripts/test.sh --long sets UNET_LONG=1: tests with a size of their own take the large one.
#pragma once

#include <cstdlib>
#include <string_view>

namespace unet::tests {

inline bool long_run() {
  const char* set = std::getenv("UNET_LONG");
  return set != nullptr && std::string_view(set) == "1";
}

}  // namespace unet::tests
