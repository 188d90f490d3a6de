// A runtime whose call number N fails, for finding out what host code does then.
#pragma once

#include <cstdint>

#include "kernels/cuda/runtime.h"

namespace unet::shim {

/// Hands every call on to another runtime, except the N-th of those that may fail: an allocation then returns nullptr,
/// any other throws CudaError, "cudaX: cudaErrorUnknown (call N fails, as the test wants)". Calls that give something
/// back never fail. With `for_good` all calls after it fail, too, as after a crash of a kernel.
class FailingRuntime : public kernels::cuda::Runtime {
 public:
  FailingRuntime(kernels::cuda::Runtime& to, std::uint64_t fail_at, bool for_good = false)
      : to_(to), fail_at_(fail_at), for_good_(for_good) {}

  /// Calls so far that may fail. fail_at 0: none does, and this counts them.
  std::uint64_t calls() const { return calls_; }

  kernels::cuda::DeviceCount devices() override { return to_.devices(); }
  kernels::cuda::DeviceProperties properties() override {
    require("cudaGetDeviceProperties");
    return to_.properties();
  }
  kernels::cuda::MemoryInfo memory() override {
    require("cudaMemGetInfo");
    return to_.memory();
  }
  void* allocate(std::size_t bytes) override { return fails() ? nullptr : to_.allocate(bytes); }
  void release(void* block) noexcept override { to_.release(block); }
  void* allocate_pinned(std::size_t bytes) override { return fails() ? nullptr : to_.allocate_pinned(bytes); }
  void release_pinned(void* block) noexcept override { to_.release_pinned(block); }
  void copy_to_device(void* to, const void* from, std::size_t bytes) override {
    require("cudaMemcpyAsync");
    to_.copy_to_device(to, from, bytes);
  }
  void copy_beside(void* to, const void* from, std::size_t bytes, kernels::cuda::Event free) override {
    require("cudaMemcpyAsync");
    to_.copy_beside(to, from, bytes, free);
  }
  void copy_to_host(void* to, const void* from, std::size_t bytes) override {
    require("cudaMemcpyAsync");
    to_.copy_to_host(to, from, bytes);
  }
  void copy_on_device(void* to, const void* from, std::size_t bytes) override {
    require("cudaMemcpyAsync");
    to_.copy_on_device(to, from, bytes);
  }
  void fill_bytes(void* to, int byte, std::size_t bytes) override {
    require("cudaMemsetAsync");
    to_.fill_bytes(to, byte, bytes);
  }
  void launch(const kernels::cuda::Launch& call) override {
    require("cudaLaunchKernel");
    to_.launch(call);
  }
  kernels::cuda::Event create_event(bool timed) override {
    require("cudaEventCreate");
    return to_.create_event(timed);
  }
  void destroy_event(kernels::cuda::Event event) noexcept override { to_.destroy_event(event); }
  void record(kernels::cuda::Event event) override {
    require("cudaEventRecord");
    to_.record(event);
  }
  bool passed(kernels::cuda::Event event) override {
    require("cudaEventQuery");
    return to_.passed(event);
  }
  void wait(kernels::cuda::Event event) override {
    require("cudaEventSynchronize");
    to_.wait(event);
  }
  float elapsed_ms(kernels::cuda::Event from, kernels::cuda::Event to) override {
    require("cudaEventElapsedTime");
    return to_.elapsed_ms(from, to);
  }
  void synchronize() override {
    require("cudaStreamSynchronize");
    to_.synchronize();
  }
  void* stream() override {
    require("cudaStreamCreate");
    return to_.stream();
  }

 private:
  bool fails() {
    ++calls_;
    return calls_ == fail_at_ || (for_good_ && fail_at_ > 0 && calls_ > fail_at_);
  }
  void require(const char* call) {
    if (!fails()) return;
    throw kernels::cuda::CudaError(std::string(call) + ": cudaErrorUnknown (call " + std::to_string(calls_) +
                                   " fails, as the test wants)");
  }

  kernels::cuda::Runtime& to_;
  std::uint64_t fail_at_, calls_ = 0;
  bool for_good_;
};

}  // namespace unet::shim
