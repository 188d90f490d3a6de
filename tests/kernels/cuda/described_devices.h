// GPUs as cuDNN wants them described, from their data sheets: enough to plan for them without one.
#pragma once

#include <fmt/format.h>

#include <ostream>
#include <string>
#include <vector>

namespace unet::tests {

struct DescribedDevice {
  std::string name;
  int compute_capability = 0;  // major * 10 + minor
  int multiprocessors = 0;
  int l2_mib = 0;
  int shared_memory_kib = 0;        // of a multiprocessor
  int threads = 2048, blocks = 32;  // of a multiprocessor, at most

  std::string json() const {
    // A block may use all shared memory of its multiprocessor but 1 KiB.
    return fmt::format(
        R"({{"deviceVer": {}, "deviceName": "{}", "cudaDeviceId": 0, "multiProcessorCount": {}, "l2CacheSize": {},)"
        R"( "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": {}, "reservedSharedMemoryPerBlock": 1024,)"
        R"( "regsPerBlock": 65536, "maxRegistersPerSM": 65536, "maxCtasPerSM": {}, "maxThreadsPerBlock": 1024,)"
        R"( "maxThreadsPerSM": {}, "warpSize": 32, "maxGridSize": [2147483647, 65535, 65535],)"
        R"( "maxBlockSize": [1024, 1024, 64], "smClockRateKHz": 1500000, "memClockRateKHz": 2500000,)"
        R"( "totalGlobalMem": 34359738368, "supportCoopLaunch": 1, "driverVer": 13000, "pciDeviceId": 0,)"
        R"( "isTccDriver": 0}})",
        compute_capability * 10, name, multiprocessors, l2_mib << 20, (shared_memory_kib - 1) << 10, blocks, threads);
  }

  friend std::ostream& operator<<(std::ostream& out, const DescribedDevice& device) { return out << device.name; }
};

inline std::vector<DescribedDevice> described_devices() {
  return {{"NVIDIA A100", 80, 108, 40, 164},
          {"NVIDIA H200", 90, 132, 60, 228},
          {"NVIDIA B200", 100, 148, 126, 228},
          {"NVIDIA GeForce RTX 5090", 120, 170, 96, 100, 1536, 24}};
}

}  // namespace unet::tests
