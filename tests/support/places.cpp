#include "tests/support/places.h"

#include <cstdlib>

namespace unet::places {
namespace {

std::string from_environment(const char* name, const std::string& otherwise) {
  const char* set = std::getenv(name);
  return set != nullptr ? set : otherwise;
}

std::string below(const std::string& root, std::string_view inside) {
  return inside.empty() ? root : root + "/" + std::string(inside);
}

}  // namespace

std::string source(std::string_view inside) {
  return below(from_environment("UNET_SOURCE_DIR", UNET_SOURCE_DIR), inside);
}
std::string build(std::string_view inside) { return below(UNET_BINARY_DIR, inside); }
std::string given(std::string_view inside) {
  return below(from_environment("UNET_TEST_DATA", source("../shared")), inside);
}

std::string compiler() { return UNET_CXX; }
std::string cmake() { return UNET_CMAKE; }
std::string generator() { return UNET_GENERATOR; }
std::string cudnn_include() { return UNET_CUDNN_INCLUDE; }

}  // namespace unet::places
