// Python's pickles, read as what they say and not as what they do: a call is kept as the name of a function and its
// arguments, and nothing is ever called, imported or made. Of the instructions those are known that PyTorch writes for
// a dictionary of tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string_view>
#include <vector>

#include "engine/core/error.h"

namespace unet {

/// Limits of what is read: memory is some 100 bytes an instruction at most.
inline constexpr std::size_t kPickleInstructions = std::size_t{1} << 20;
inline constexpr std::size_t kPickleValues = 400'000;
inline constexpr std::size_t kPickleStack = std::size_t{1} << 16;
inline constexpr std::size_t kPickleMarks = 64;

/// What a pickle holds: values that hold others by their indices, in circles too, if it says so.
struct PickleValue {
  enum class Kind : std::uint8_t { none, boolean, integer, number, text, tuple, list, dict, global, call, persistent };

  Kind kind = Kind::none;
  std::int64_t integer = 0;            // also of a boolean; a number is a real one or beyond 64 bits, and is not kept
  std::string_view text{};             // of a text, UTF-8; "module\nname" of a global
  std::vector<std::uint32_t> items{};  // dict: key, value, ...; call: function, arguments; persistent: what names it
};

struct Pickle {
  std::deque<PickleValue> values;
  std::uint32_t root = 0;

  const PickleValue& operator[](std::uint32_t index) const { return values[index]; }
};

/// "module\nname" of the one function that is understood and not kept as a call: its result is a dict.
inline constexpr std::string_view kOrderedDict = "collections\nOrderedDict";

/// A pickle names something that may not be named.
struct ForbiddenGlobal : Error {
  using Error::Error;
};

/// `bytes`, which the values point into, as protocol 2 wants them. Of globals, OrderedDict and `globals` may be named,
/// any other is a ForbiddenGlobal. Throws unet::Error with the instruction and its place (the caller adds the file).
Pickle read_pickle(std::string_view bytes, std::span<const std::string_view> globals);

}  // namespace unet
