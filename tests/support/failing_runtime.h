// A runtime that does what another does, but for one call, which fails: the N-th that can.
#pragma once

#include "kernels/cuda/runtime.h"

namespace unet::tests {

class FailingRuntime : public kernels::cuda::Runtime {
 public:
  /// fail_at: counted from 0; a large one only counts.
  FailingRuntime(kernels::cuda::Runtime& real, std::uint64_t fail_at) : real_(real), fail_at_(fail_at) {}
  std::uint64_t calls() const { return calls_; }

  kernels::cuda::DeviceCount devices() override { return real_.devices(); }
  kernels::cuda::DeviceProperties properties() override { return check("properties"), real_.properties(); }
  kernels::cuda::MemoryInfo memory() override { return real_.memory(); }
  void* allocate(std::size_t bytes) override { return fails() ? nullptr : real_.allocate(bytes); }
  void release(void* block) noexcept override { real_.release(block); }
  void* allocate_pinned(std::size_t bytes) override { return fails() ? nullptr : real_.allocate_pinned(bytes); }
  void release_pinned(void* block) noexcept override { real_.release_pinned(block); }
  void copy_to_device(void* to, const void* from, std::size_t bytes) override {
    check("copy_to_device");
    real_.copy_to_device(to, from, bytes);
  }
  void copy_to_host(void* to, const void* from, std::size_t bytes) override {
    check("copy_to_host");
    real_.copy_to_host(to, from, bytes);
  }
  void copy_on_device(void* to, const void* from, std::size_t bytes) override {
    check("copy_on_device");
    real_.copy_on_device(to, from, bytes);
  }
  void fill_bytes(void* to, int byte, std::size_t bytes) override {
    check("fill_bytes");
    real_.fill_bytes(to, byte, bytes);
  }
  void launch(const kernels::cuda::Launch& call) override {
    check("launch");
    real_.launch(call);
  }
  kernels::cuda::Event create_event(bool timed) override { return check("create_event"), real_.create_event(timed); }
  void destroy_event(kernels::cuda::Event event) noexcept override { real_.destroy_event(event); }
  void record(kernels::cuda::Event event) override { return check("record"), real_.record(event); }
  bool passed(kernels::cuda::Event event) override { return check("passed"), real_.passed(event); }
  void wait(kernels::cuda::Event event) override { return check("wait"), real_.wait(event); }
  float elapsed_ms(kernels::cuda::Event from, kernels::cuda::Event to) override {
    return check("elapsed_ms"), real_.elapsed_ms(from, to);
  }
  void synchronize() override { return check("synchronize"), real_.synchronize(); }
  void* stream() override { return real_.stream(); }

 private:
  bool fails() { return calls_++ == fail_at_; }
  void check(const char* call) {
    if (fails()) throw kernels::cuda::CudaError(std::string(call) + ": injected failure");
  }

  kernels::cuda::Runtime& real_;
  std::uint64_t fail_at_, calls_ = 0;
};

}  // namespace unet::tests
