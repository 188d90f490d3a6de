#pragma once

#include <functional>
#include <string>

#include "engine/core/error.h"

namespace unet::tests {

/// The message of the unet::Error that `body` throws, "" if it throws none; any other exception passes.
inline std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace unet::tests
