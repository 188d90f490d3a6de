// One exception for whatever the user can mend: the message names the file, tensor or option, the value found, what was
// expected and what to do. Apps print it as `program: message` and exit with 1. Arguments that are text are escaped,
// for they come from files and their names: the lines of a message are the program's own.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "engine/core/text.h"

namespace unet {

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
  template <class First, class... Rest>
  explicit Error(fmt::format_string<Shown<First>, Shown<Rest>...> format, First&& first, Rest&&... rest)
      : std::runtime_error(fmt::format(format, shown(std::forward<First>(first)), shown(std::forward<Rest>(rest))...)) {
  }
};

}  // namespace unet
