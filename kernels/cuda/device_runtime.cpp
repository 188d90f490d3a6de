// The real runtime, on the static CUDA runtime library: the program starts, and says what is missing, on a machine
// without CUDA.
#include <cuda_runtime.h>

#include <cstdlib>

#include "kernels/cuda/runtime.h"

namespace unet::kernels::cuda {
namespace {

std::string message(const char* call, cudaError_t error) {
  return std::string(call) + ": " + cudaGetErrorName(error) + " (" + cudaGetErrorString(error) + ")";
}

void check(const char* call, cudaError_t error) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // else a later call would report it again
  throw CudaError(message(call, error));
}

std::string version(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }

/// Why cudaGetDeviceCount found no device.
std::string reason_of(cudaError_t error) {
  if (error == cudaErrorStubLibrary) {
    return "the CUDA driver library found (libcuda.so.1) is the toolkit's stub; take its folder out of LD_LIBRARY_PATH";
  }
  if (error == cudaErrorInsufficientDriver) {
    int driver = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return "no NVIDIA driver is installed";
    return "the NVIDIA driver supports CUDA " + version(driver) + ", but this program needs " + version(CUDART_VERSION);
  }
  if (error == cudaErrorNoDevice) {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    if (visible != nullptr) return std::string("CUDA_VISIBLE_DEVICES=\"") + visible + "\" leaves no device";
    return "the NVIDIA driver finds no device";
  }
  return message("cudaGetDeviceCount", error);
}

class DeviceRuntime : public Runtime {
 public:
  DeviceCount devices() override {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) {
      cudaGetLastError();
      return {0, reason_of(error)};
    }
    if (count == 0) return {0, reason_of(cudaErrorNoDevice)};
    return {count, ""};
  }

  DeviceProperties properties() override {
    cudaDeviceProp of{};
    check("cudaGetDeviceProperties", cudaGetDeviceProperties(&of, 0));
    return {of.name, of.major, of.minor, of.multiProcessorCount, of.totalGlobalMem};
  }

  MemoryInfo memory() override {
    MemoryInfo info;
    check("cudaMemGetInfo", cudaMemGetInfo(&info.free, &info.total));
    return info;
  }

  void* allocate(std::size_t bytes) override {
    void* block = nullptr;
    return allocated("cudaMalloc", cudaMalloc(&block, bytes)) ? block : nullptr;
  }
  void release(void* block) noexcept override { cudaFree(block); }

  void* allocate_pinned(std::size_t bytes) override {
    void* block = nullptr;
    return allocated("cudaHostAlloc", cudaHostAlloc(&block, bytes, cudaHostAllocDefault)) ? block : nullptr;
  }
  void release_pinned(void* block) noexcept override { cudaFreeHost(block); }

  void copy_to_device(void* to, const void* from, std::size_t bytes) override {
    check("cudaMemcpyAsync", cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, made_stream()));
  }
  void copy_beside(void* to, const void* from, std::size_t bytes, Event free) override {
    if (copied_ == nullptr) copied_ = create_event(false);
    const auto copied = static_cast<cudaEvent_t>(copied_);
    check("cudaStreamWaitEvent", cudaStreamWaitEvent(made(beside_), static_cast<cudaEvent_t>(free), 0));
    check("cudaMemcpyAsync", cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, beside_));
    check("cudaEventRecord", cudaEventRecord(copied, beside_));
    check("cudaStreamWaitEvent", cudaStreamWaitEvent(made_stream(), copied, 0));
  }
  void copy_to_host(void* to, const void* from, std::size_t bytes) override {
    check("cudaMemcpyAsync", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, made_stream()));
  }
  void copy_on_device(void* to, const void* from, std::size_t bytes) override {
    check("cudaMemcpyAsync", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, made_stream()));
  }
  void fill_bytes(void* to, int byte, std::size_t bytes) override {
    check("cudaMemsetAsync", cudaMemsetAsync(to, byte, bytes, made_stream()));
  }

  void launch(const Launch& call) override {
    const auto size = [](const Grid& of) { return dim3(of.x, of.y, of.z); };
    const cudaError_t error =
        cudaLaunchKernel(call.kernel, size(call.grid), size(call.block), call.arguments, 0, made_stream());
    if (error == cudaSuccess) return;
    cudaGetLastError();
    const char* name = "a kernel";
    cudaFuncGetName(&name, call.kernel);
    throw CudaError(message("cudaLaunchKernel", error) + " of " + name);
  }

  Event create_event(bool timed) override {
    cudaEvent_t event = nullptr;
    // Blocking: a host that waits does not spin.
    const unsigned flags = timed ? cudaEventBlockingSync : cudaEventBlockingSync | cudaEventDisableTiming;
    check("cudaEventCreate", cudaEventCreateWithFlags(&event, flags));
    return event;
  }
  void destroy_event(Event event) noexcept override { cudaEventDestroy(static_cast<cudaEvent_t>(event)); }
  void record(Event event) override {
    check("cudaEventRecord", cudaEventRecord(static_cast<cudaEvent_t>(event), made_stream()));
  }
  bool passed(Event event) override {
    const cudaError_t state = cudaEventQuery(static_cast<cudaEvent_t>(event));
    if (state == cudaErrorNotReady) return false;
    check("cudaEventQuery", state);
    return true;
  }
  void wait(Event event) override {
    check("cudaEventSynchronize", cudaEventSynchronize(static_cast<cudaEvent_t>(event)));
  }
  float elapsed_ms(Event from, Event to) override {
    float milliseconds = 0;
    check("cudaEventElapsedTime",
          cudaEventElapsedTime(&milliseconds, static_cast<cudaEvent_t>(from), static_cast<cudaEvent_t>(to)));
    return milliseconds;
  }
  void synchronize() override {  // cudaStreamSynchronize would spin
    if (end_ == nullptr) end_ = create_event(false);
    record(end_);
    wait(end_);
  }
  void* stream() override { return made_stream(); }

 private:
  /// False when there was too little memory.
  static bool allocated(const char* call, cudaError_t error) {
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      return false;
    }
    check(call, error);
    return true;
  }

  static cudaStream_t made(cudaStream_t& stream) {
    if (stream == nullptr) check("cudaStreamCreate", cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
  }
  cudaStream_t made_stream() { return made(stream_); }

  cudaStream_t stream_ = nullptr, beside_ = nullptr;
  Event end_ = nullptr;     // of what is queued, for synchronize()
  Event copied_ = nullptr;  // of the latest copy beside
};

}  // namespace

Runtime& default_runtime() {
  // Never destroyed: CUDA may have been unloaded before the destructors of statics run.
  static DeviceRuntime& real = *new DeviceRuntime;
  return real;
}

}  // namespace unet::kernels::cuda
