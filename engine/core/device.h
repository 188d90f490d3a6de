// Where a tensor lives. A property of the tensor: operations on tensors of two devices throw.
#pragma once

#include <compare>
#include <string>

namespace unet {

struct Device {
  enum class Type { cpu, cuda };
  Type type = Type::cpu;

  auto operator<=>(const Device&) const = default;
  bool is_cpu() const { return type == Type::cpu; }
  std::string str() const { return is_cpu() ? "cpu" : "cuda"; }
};

/// The CUDA device that CUDA_VISIBLE_DEVICES shows first.
inline constexpr Device kCuda{Device::Type::cuda};

struct DeviceChoice {
  Device device;
  std::string text;              // one line for the log: what was chosen, with versions, and why
  bool multiplies_bf16 = false;  // a GPU of compute capability 8.0 and later
};

/// "cpu", "cuda" or "auto": CUDA where it works, else the CPU. Throws Error if "cuda" is asked for and cannot be had,
/// and names what is missing.
DeviceChoice choose_device(const std::string& wanted);

/// The host waits until the device has done all it was asked for.
void synchronize(Device device);

}  // namespace unet
