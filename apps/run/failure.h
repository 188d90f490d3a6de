// What a program says before it leaves.
#pragma once

#include <exception>

namespace unet {

/// The error's message; for std::bad_alloc, whose own says nothing, what happened and what to change. Allocates
/// nothing.
const char* failure_text(const std::exception& error) noexcept;

/// Says `program: text` on stderr, allocating nothing, and returns the exit code 1.
int fail(const char* program, const std::exception& error) noexcept;

}  // namespace unet
