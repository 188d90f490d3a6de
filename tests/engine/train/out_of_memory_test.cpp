// The system below the pool fails at call N, for every N of a tiny training run with its checkpoint: either the run
// ends as if nothing had been, or an Error says what and how much; nothing leaks and the old file stays.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "engine/core/error.h"
#include "engine/core/pool.h"
#include "engine/ops/ops.h"
#include "engine/train/adam.h"
#include "engine/train/checkpoint.h"
#include "engine/train/step.h"
#include "kernels/cpu/parallel.h"
#include "models/unet.h"
#include "tests/support/data_support.h"

namespace unet::test::out_of_memory_test {
namespace {

/// malloc, but for the calls from number `first` to number `last`.
class FailingSystem : public SystemAllocator {
 public:
  void* allocate(std::size_t bytes) override {
    ++calls;
    if (calls >= first && calls <= last) return nullptr;
    void* block = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    if (block != nullptr) ++living;
    return block;
  }
  std::size_t segment(std::size_t bytes) const override { return bytes; }  // a call for each request
  void release(void* block, std::size_t) noexcept override {
    --living;
    std::free(block);
  }

  long calls = 0, living = 0, first = 0, last = 0;
};

class OutOfMemory : public testing::Test {
 protected:
  OutOfMemory() {
    kernels::cpu::set_threads(1);
    set_cpu_system_allocator(&system_);
  }
  ~OutOfMemory() override { set_cpu_system_allocator(nullptr); }

  /// A network, two steps, its state written and read back; the bytes of the file.
  std::string train(const fs::path& file) {
    models::UNet model(models::SegmenterSpec{3, 2, 2, false}, 1);
    Adam adam(model.parameters(), {});
    Step step(model.parameters(), adam);
    const std::vector<std::uint8_t> pixels(2 * 16 * 16 * 3, 99), labels(2 * 16 * 16, 1);
    for (int i = 0; i < 2; ++i) {
      step.begin({.lr = 1e-3});
      Tape tape;
      const Tensor images = Tensor::copy_of({2, 16, 16, 3}, Dtype::u8, pixels.data());
      const Var x = normalize_images(tape, images, imagenet_normalization(), 3, Dtype::f32);
      const Tensor truth = Tensor::copy_of({2, 16, 16}, Dtype::u8, labels.data());
      step.backward(tape, softmax_cross_entropy(tape, model.forward(tape, x), truth));
      step.commit();
      EXPECT_TRUE(step.take_result().value().committed);
    }
    save_training(file, model.parameters(), adam, {});
    load_training(SafetensorsFile(file), model.parameters(), adam);
    const std::vector<std::uint8_t> bytes = read_file(file);
    return {bytes.begin(), bytes.end()};
  }
  /// The same with calls first to last failing.
  std::string train_failing(const fs::path& file, long first, long last) {
    cpu_pool().trim();
    system_.calls = 0;
    system_.first = first;
    system_.last = last;
    std::string out;
    try {
      out = train(file);
    } catch (...) {
      system_.first = system_.last = 0;
      throw;
    }
    system_.first = system_.last = 0;
    return out;
  }

  FailingSystem system_;
  const Folder folder_;
};

TEST_F(OutOfMemory, ACallThatFailsOnceIsTriedAgain) {
  const std::string expected = train_failing(folder_ / "well", 0, 0);
  const long calls = system_.calls;
  ASSERT_GT(calls, 20);
  for (long at = 1; at <= calls; ++at) {
    EXPECT_TRUE(train_failing(folder_ / "file", at, at) == expected) << "call " << at << " of " << calls;
  }
  RecordProperty("calls", static_cast<int>(calls));
}

TEST_F(OutOfMemory, ASystemThatGivesNoMoreEndsInAnErrorThatSaysHowMuch) {
  const std::string expected = train_failing(folder_ / "file", 0, 0);
  const long calls = system_.calls;
  cpu_pool().trim();
  const std::size_t in_use = cpu_pool().stats().in_use;
  const long living = system_.living;
  long errors = 0, survived = 0;
  for (long at = 1; at <= calls; ++at) {
    try {
      // The convolutions' workspace of the run before is still there: a run may need fewer calls, and must end the
      // same.
      EXPECT_TRUE(train_failing(folder_ / "file", at, 1'000'000) == expected);
      ++survived;
    } catch (const Error& error) {
      ++errors;
      expect_parts(error.what(), {"out of memory: ", " MiB requested, ", " MiB in use, ", " MiB cached, ",
                                  " MiB at the peak", "--batch-size"});
    }
    EXPECT_EQ(cpu_pool().stats().in_use, in_use) << "call " << at << " leaks";
    cpu_pool().trim();
    EXPECT_EQ(system_.living, living) << "call " << at << " leaks";
    const std::vector<std::uint8_t> file = read_file(folder_ / "file");
    EXPECT_TRUE(std::string(file.begin(), file.end()) == expected) << "the old file is damaged, call " << at;
  }
  EXPECT_EQ(errors + survived, calls);
  EXPECT_GT(errors, calls * 9 / 10) << "the failures were not seen";
  EXPECT_TRUE(train_failing(folder_ / "file", 0, 0) == expected) << "and afterwards all is well";
}

}  // namespace
}  // namespace unet::test::out_of_memory_test
