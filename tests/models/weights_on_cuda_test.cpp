// What of other people's weights is changed after it has been read: on a device as on the CPU.
#include "models/weights.h"

#include "engine/train/checkpoint.h"
#include "tests/models/unet_support.h"
#include "tests/support/data_support.h"
#include "tests/support/needs_device.h"
#include "tests/support/tensor_file.h"

namespace unet::test::weights_on_cuda_test {
namespace {

class CudaWeights : public NeedsDevice {};

TEST_F(CudaWeights, OfOthersAreAdaptedAsOnTheCpu) {
  const Folder folder;
  models::SegmenterSpec spec;
  spec.base_channels = 4;
  models::UNet here(spec, 3), there(spec, 4, {.device = kCuda, .bf16_copies = true});
  save_model(folder / "t", here.parameters(), {});
  TensorFile file(folder / "t");
  file.metadata.clear();
  file.keep_rows("outc.conv.weight", 1);
  file.keep_rows("outc.conv.bias", 1);
  file.set("inc.double_conv.0.bias", {1, -2, 3, 0.5f});
  file.put_before_names("module.");
  file.write(folder / "t");
  const SafetensorsFile adapted(folder / "t");
  EXPECT_EQ(models::load_weights(adapted, here).size(), 3u);
  EXPECT_EQ(models::load_weights(adapted, there).size(), 3u);
  EXPECT_TRUE(there.parameters().values().values<double>() == here.parameters().values().values<double>());
  EXPECT_TRUE(there.parameters().running().values<double>() == here.parameters().running().values<double>());
  EXPECT_EQ(here.parameters().running({0}).mean.values<float>(), (std::vector<float>{-1, 2, -3, -0.5f}));
  const std::vector<float> weight = there.parameters().value({0}).values<float>(),
                           copy = there.parameters().operand({0}).values<float>();
  for (std::size_t i = 0; i < weight.size(); ++i) EXPECT_NEAR(copy[i], weight[i], std::abs(weight[i]) / 250);
}

}  // namespace
}  // namespace unet::test::weights_on_cuda_test
