// The part of the CUDA runtime library that kernels/cuda/device_runtime.cpp calls, with notes in place of a device:
// each call is named, and `next_error` is the status of the next one that can fail.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/device.h"  // dim3

inline std::vector<std::string> notes;
using cudaError_t = int;
inline cudaError_t next_error = 0;

inline constexpr cudaError_t cudaSuccess = 0, cudaErrorMemoryAllocation = 2, cudaErrorStubLibrary = 34,
                             cudaErrorInsufficientDriver = 35, cudaErrorNoDevice = 100, cudaErrorNotReady = 600;
inline constexpr unsigned cudaEventBlockingSync = 1, cudaEventDisableTiming = 2, cudaStreamNonBlocking = 1,
                          cudaHostAllocDefault = 0;
inline constexpr int CUDART_VERSION = 13000;
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
using cudaStream_t = void*;
using cudaEvent_t = void*;
struct cudaDeviceProp {
  char name[16];
  int major, minor, multiProcessorCount;
  std::size_t totalGlobalMem;
};

inline cudaError_t noted(const std::string& call) {
  notes.push_back(call);
  return std::exchange(next_error, cudaSuccess);
}
/// Each thing made has an address of its own.
inline cudaError_t made(const std::string& call, void** to) {
  static std::size_t number = 0;
  *to = reinterpret_cast<void*>(++number);
  return noted(call);
}
/// The streams and events that copies, records and waits of a stream were given, in turn.
inline std::vector<std::pair<cudaStream_t, cudaEvent_t>> queued;
inline cudaError_t noted(const std::string& call, cudaStream_t stream, cudaEvent_t event = nullptr) {
  queued.emplace_back(stream, event);
  return noted(call);
}

inline const char* cudaGetErrorName(cudaError_t) { return "cudaErrorNoted"; }
inline const char* cudaGetErrorString(cudaError_t) { return "as the test wants"; }
inline cudaError_t cudaGetLastError() { return noted("cudaGetLastError"); }
inline cudaError_t cudaDriverGetVersion(int*) { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int*) { return noted("cudaGetDeviceCount"); }
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp*, int) { return noted("cudaGetDeviceProperties"); }
inline cudaError_t cudaMemGetInfo(std::size_t*, std::size_t*) { return noted("cudaMemGetInfo"); }
inline cudaError_t cudaMalloc(void** block, std::size_t) { return made("cudaMalloc", block); }
inline cudaError_t cudaFree(void*) { return noted("cudaFree"); }
inline cudaError_t cudaHostAlloc(void** block, std::size_t, unsigned) { return made("cudaHostAlloc", block); }
inline cudaError_t cudaFreeHost(void*) { return noted("cudaFreeHost"); }
inline cudaError_t cudaMemcpyAsync(void*, const void*, std::size_t, cudaMemcpyKind, cudaStream_t stream) {
  return noted("cudaMemcpyAsync", stream);
}
inline cudaError_t cudaMemsetAsync(void*, int, std::size_t, cudaStream_t) { return noted("cudaMemsetAsync"); }
inline cudaError_t cudaLaunchKernel(const void*, dim3, dim3, void**, std::size_t, cudaStream_t) {
  return noted("cudaLaunchKernel");
}
inline cudaError_t cudaFuncGetName(const char** name, const void*) {
  *name = "some_kernel";
  return cudaSuccess;
}
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return made("cudaEventCreateWithFlags " + std::to_string(flags), event);
}
inline cudaError_t cudaEventDestroy(cudaEvent_t) { return noted("cudaEventDestroy"); }
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return noted("cudaEventRecord", stream, event);
}
inline cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return noted("cudaStreamWaitEvent", stream, event);
}
inline cudaError_t cudaEventQuery(cudaEvent_t) { return noted("cudaEventQuery"); }
inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return noted("cudaEventSynchronize"); }
inline cudaError_t cudaEventElapsedTime(float*, cudaEvent_t, cudaEvent_t) { return noted("cudaEventElapsedTime"); }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return noted("cudaStreamSynchronize"); }
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return made("cudaStreamCreate", stream);
}
