// A GPU that does nothing, at once: what a program then takes is what its host side takes. Memory is the host's, which
// gives no page before it is touched; kernels, copies and libraries leave it as it is.
#include <cstdlib>
#include <string>

#include "kernels/conv_plan.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/runtime.h"

namespace unet::kernels::cuda {
namespace {

class NullRuntime : public Runtime {
 public:
  DeviceCount devices() override { return {1, ""}; }
  DeviceProperties properties() override { return {"null device", 9, 0, 132, kMemory}; }
  MemoryInfo memory() override { return {kMemory, kMemory}; }
  void* allocate(std::size_t bytes) override { return std::calloc(1, bytes); }
  void release(void* block) noexcept override { std::free(block); }
  void* allocate_pinned(std::size_t bytes) override { return std::calloc(1, bytes); }
  void release_pinned(void* block) noexcept override { std::free(block); }
  void copy_to_device(void*, const void*, std::size_t) override {}
  void copy_beside(void*, const void*, std::size_t, Event) override {}
  void copy_to_host(void*, const void*, std::size_t) override {}
  void copy_on_device(void*, const void*, std::size_t) override {}
  void fill_bytes(void*, int, std::size_t) override {}
  void launch(const Launch&) override {}
  Event create_event(bool) override { return this; }
  void destroy_event(Event) noexcept override {}
  void record(Event) override {}
  bool passed(Event) override { return true; }
  void wait(Event) override {}
  float elapsed_ms(Event, Event) override { return 1; }
  void synchronize() override {}
  void* stream() override { return nullptr; }

 private:
  static constexpr std::size_t kMemory = std::size_t{80} << 30;
};

ConvPlan null_plan() {
  ConvPlan out;
  out.id = "null";
  out.run = [](const ConvOperands&, void*) {};
  return out;
}

}  // namespace

Runtime& default_runtime() {
  static NullRuntime& instance = *new NullRuntime;
  return instance;
}

std::string library_versions() { return "no libraries"; }
ConvPlan plan_conv(const ConvCase&) { return null_plan(); }
std::vector<ConvPlan> plan_conv_candidates(const ConvCase&) { return {null_plan()}; }
ConvPlan plan_conv_by_id(const ConvCase&, const std::string&) { return null_plan(); }
void gemm(const GemmShape&, const void*, const void*, Dtype, void*, Dtype, void*) {}

}  // namespace unet::kernels::cuda
