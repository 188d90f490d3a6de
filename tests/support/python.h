// A Python interpreter to check against, where there is one.
#pragma once

#include <cstdlib>
#include <string>

namespace unet::tests {

/// The first interpreter that imports these modules ("torch, numpy"), UNET_PYTHON's before others; empty if none does.
inline std::string python_with(const std::string& modules) {
  const char* named = std::getenv("UNET_PYTHON");
  for (const std::string candidate : {named == nullptr ? "python3" : named, "python3", "/usr/bin/python3"}) {
    if (std::system(("'" + candidate + "' -c 'import " + modules + "' >/dev/null 2>&1").c_str()) == 0) return candidate;
  }
  return "";
}

}  // namespace unet::tests
