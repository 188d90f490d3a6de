// Where a tensor lives. A property of the tensor: operations on tensors of two devices throw.
#pragma once

#include <string>

namespace unet {

struct Device {
  enum class Type { cpu };
  Type type = Type::cpu;

  bool operator==(const Device&) const = default;
  std::string str() const { return "cpu"; }
};

}  // namespace unet
