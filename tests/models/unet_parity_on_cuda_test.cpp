// The recorded parity with PyTorch, through the CUDA back end in f32.
#include <gtest/gtest.h>

#include "tests/models/recorded_unet.h"
#include "tests/support/needs_device.h"

namespace unet::test::unet_parity_on_cuda_test {
namespace {

class CudaParity : public NeedsDevice, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Engine, CudaParity, testing::Values("transposed", "bilinear"),
                         [](const auto& param_info) { return std::string(param_info.param); });

TEST_P(CudaParity, LogitsLossesAndGradients) {
  const std::string variant = GetParam();
  for (const Loss loss : {Loss::cross_entropy, Loss::soft_dice}) {
    RecordedUNet recorded(variant, Dtype::f32, kCuda);
    const RecordedBatch data = batch(0, Dtype::f32, kCuda);
    Tape tape;
    const Var logits = recorded.model().forward(tape, tape.input(data.images));
    const Var value = loss_of(tape, loss, logits, data.labels);
    tape.backward(value);
    EXPECT_LE(nmse(logits.value.values<double>(), record().values(variant + "/logits")), 1e-8);
    EXPECT_LE(relative_error({scalar(value)}, record().values(variant + "/loss/" + name_of(loss))), 1e-5);
    Worst worst;
    const Parameters& parameters = recorded.model().parameters();
    for (std::size_t i = 0; i < parameters.params().size(); ++i) {
      const std::string& name = parameters.params()[i].name;
      ASSERT_TRUE(parameters.has_gradient(id_of(i))) << name;
      worst.see(relative_error(parameters.gradient(id_of(i)).values<double>(),
                               record().values(fmt::format("{}/gradient/{}/{}", variant, name_of(loss), name))),
                name);
    }
    std::printf("%s %s: worst gradient %.2g (%s)\n", variant.c_str(), name_of(loss), worst.error, worst.name.c_str());
    EXPECT_LE(worst.error, 1e-3) << worst.name;
  }
}

TEST_P(CudaParity, FirstTenLosses) {
  if (std::string(GetParam()) != "transposed") return;  // the other has no record of steps
  RecordedUNet recorded("transposed", Dtype::f32, kCuda);
  Adam adam(recorded.model().parameters(), {});
  const std::vector<double> losses = record().values("transposed/losses_1e-4");
  for (int step = 0; step < 10; ++step) {
    const RecordedBatch data = batch(step % 4, Dtype::f32, kCuda);
    const StepResult result = train_step(recorded.model(), adam, Loss::cross_entropy, data.images, data.labels, 1e-4);
    ASSERT_TRUE(result.committed) << result.reason;
    EXPECT_LE(relative_error({result.loss}, {losses[static_cast<std::size_t>(step)]}), 1e-3) << "step " << step + 1;
  }
}

}  // namespace
}  // namespace unet::test::unet_parity_on_cuda_test
