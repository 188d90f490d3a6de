// The runtime for tests on a machine without a GPU: device memory is host memory between guard zones, kernels run as
// fibers.h says. The stream is a queue that is worked off as late as the interface allows (or, at the drawing of lots,
// a little earlier), so that host code that touches pinned memory too soon reads or writes the wrong bytes here too; a
// copy beside it, as early or as late as the interface allows, by lot. A thread that waits works it off itself.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/runtime.h"
#include "tests/support/cuda_shim/traffic.h"

namespace unet::shim {

class ShimRuntime : public kernels::cuda::Runtime {
 public:
  explicit ShimRuntime(std::size_t memory = std::size_t{4} << 30) : capacity_(memory) {}
  ~ShimRuntime() override;

  kernels::cuda::DeviceCount devices() override { return {1, ""}; }
  kernels::cuda::DeviceProperties properties() override;
  kernels::cuda::MemoryInfo memory() override;
  void* allocate(std::size_t bytes) override;
  void release(void* block) noexcept override;
  void* allocate_pinned(std::size_t bytes) override;
  void release_pinned(void* block) noexcept override;
  void copy_to_device(void* to, const void* from, std::size_t bytes) override;
  void copy_beside(void* to, const void* from, std::size_t bytes, kernels::cuda::Event free) override;
  void copy_to_host(void* to, const void* from, std::size_t bytes) override;
  void copy_on_device(void* to, const void* from, std::size_t bytes) override;
  void fill_bytes(void* to, int byte, std::size_t bytes) override;
  void launch(const kernels::cuda::Launch& call) override;
  kernels::cuda::Event create_event(bool timed) override;
  void destroy_event(kernels::cuda::Event event) noexcept override;
  void record(kernels::cuda::Event event) override;
  bool passed(kernels::cuda::Event event) override;
  void wait(kernels::cuda::Event event) override;
  float elapsed_ms(kernels::cuda::Event from, kernels::cuda::Event to) override;
  void synchronize() override;
  void* stream() override { return nullptr; }

  /// What a test asks at its end: blocks and events that nobody gave back, and blocks written outside their bounds.
  int live_blocks() const { return static_cast<int>(device_.size() + pinned_.size()); }
  int live_events() const { return static_cast<int>(events_.size()); }
  int broken_guards() const;
  std::uint64_t launches() const { return launches_; }
  /// Copies beside the stream, and those of them that could begin when they were asked for.
  std::uint64_t copies_beside() const { return copies_beside_; }
  std::uint64_t copies_at_once() const { return copies_at_once_; }
  /// From now on the traffic of every launch is counted, which takes a while.
  void begin_traffic() { traffic_.emplace(); }
  /// What the stand-ins for libraries have moved.
  void note(const Traffic& call);
  /// Launches and calls of libraries since begin_traffic(), in the order of the stream; no more are counted.
  std::vector<Traffic> take_traffic();

 private:
  struct Block {
    std::vector<unsigned char> memory;
    unsigned char* begin;
    std::size_t bytes;
  };
  using Blocks = std::map<const void*, Block>;
  struct EventState {
    std::uint64_t recorded = 0;  // what the stream must have done; counted from its beginning
    bool timed = false;
    double at_ms = 0;
  };

  void* allocate_in(Blocks& blocks, std::size_t bytes, std::size_t capacity);
  void release_in(Blocks& blocks, void* block, const char* what) noexcept;
  static bool intact(const Block& block);
  static bool holds(const Blocks& blocks, const void* data, std::size_t bytes);
  void require_on_device(const char* call, const void* data, std::size_t bytes) const;
  EventState& state_of(const char* call, kernels::cuda::Event event);
  void enqueue(std::function<void()> work);
  void copy_what_may_begin();
  void run(const kernels::cuda::Launch& call, const kernels::cuda::OnCpu& code);
  void run_until(std::uint64_t count);

  std::recursive_mutex mutex_;  // wait() may be another thread's; what it runs may call
  std::size_t capacity_;
  Blocks device_, pinned_;
  int broken_ = 0;
  std::map<kernels::cuda::Event, EventState> events_;
  std::uint64_t next_event_ = 1;
  std::deque<std::function<void()>> queue_;
  std::uint64_t queued_ = 0, done_ = 0, launches_ = 0;
  struct Beside {
    std::uint64_t after;         // what the stream must have done
    std::function<void()> copy;  // empty once it is made
    void make() {
      if (const std::function<void()> now = std::exchange(copy, nullptr)) now();
    }
  };
  std::deque<std::shared_ptr<Beside>> beside_;  // in their order
  std::uint64_t copies_beside_ = 0, copies_at_once_ = 0;
  std::optional<std::vector<Traffic>> traffic_;
};

/// Of the stand-in for cuDNN.
struct ConvolutionNotes {
  std::map<std::string, int> runs;  // of each plan, by its id
  bool one_is_broken = false;       // the first candidate, "shim:broken", fails when it runs
};
ConvolutionNotes& convolution_notes();

/// The one that runtime() is in test programs.
ShimRuntime& shim_runtime();

}  // namespace unet::shim
