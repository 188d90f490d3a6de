// What a forward pass is said to take, against what it takes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "engine/core/pool.h"
#include "models/registry.h"

namespace unet::test::inference_memory_test {
namespace {

/// malloc that keeps count.
class CountingSystem : public SystemAllocator {
 public:
  CountingSystem() { set_cpu_system_allocator(this); }
  ~CountingSystem() override { set_cpu_system_allocator(nullptr); }
  void* allocate(std::size_t bytes) override {
    peak = std::max(peak, held += bytes);
    return std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  }
  std::size_t segment(std::size_t bytes) const override { return bytes; }
  void release(void* block, std::size_t bytes) noexcept override {
    held -= bytes;
    std::free(block);
  }

  std::size_t held = 0, peak = 0;
};

TEST(InferenceBytes, AreNeverTooManyAndHalfOfTheTruthAtLeast) {
  constexpr std::int64_t N = 2, H = 384, W = 512;
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    for (const auto& [name, bilinear] : {std::pair{"unet", false}, {"unet", true}, {"resnet34_unet", false}}) {
      for (const std::int64_t base : {4, 16}) {
        const models::SegmenterSpec spec{.base_channels = base, .bilinear = bilinear, .model = name};
        const models::ModelRow& row = models::row_of(models::registry(), name);
        CountingSystem system;
        {
          const std::unique_ptr<models::Segmenter> model = row.make(spec, 0, {.activations = dtype});
          const std::size_t of_model = system.held;
          Tape tape(Tape::Mode::inference);
          models::logits(*model, tape, Tensor::empty({N, H, W, 3}, Dtype::u8));
          const auto peak = static_cast<double>(system.peak - of_model);
          const double said = row.inference_bytes(spec, N, H, W, dtype);
          EXPECT_LE(said, peak) << name << " " << base << " " << kernels::name_of(dtype) << bilinear;
          EXPECT_GE(2 * said, peak) << name << " " << base << " " << kernels::name_of(dtype) << bilinear;
        }
      }
    }
  }
}

}  // namespace
}  // namespace unet::test::inference_memory_test
