// What a program says before it leaves.
#pragma once

#include <CLI/CLI.hpp>
#include <exception>

namespace unet {

/// The error's message; for std::bad_alloc, whose own says nothing, what happened and what to change. Allocates
/// nothing.
const char* failure_text(const std::exception& error) noexcept;

/// Says `program: text` on stderr, allocating nothing, and returns the exit code 1.
int fail(const char* program, const std::exception& error) noexcept;

/// Says what the parser wants to be said, --help or what is wrong with the words; returns the exit code, 0 or 2.
int end_of_parsing(const CLI::App& app, const CLI::ParseError& error);

}  // namespace unet
