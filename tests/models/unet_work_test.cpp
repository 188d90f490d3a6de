// The multiply-adds that UNet::work tells, against the layers of the network written out.
#include <gtest/gtest.h>

#include "models/unet.h"

namespace unet::test::unet_work_test {
namespace {

struct Layer {
  double side;  // of the square that the weights are used on
  double weights;
};

double sum(const std::vector<Layer>& layers) {
  double out = 0;
  for (const Layer& layer : layers) out += layer.side * layer.side * layer.weights;
  return out;
}

TEST(UNetWork, IsThatOfItsLayers) {
  models::SegmenterSpec spec;
  spec.base_channels = 64;
  const std::vector<Layer> layers{{256, 9 * 3 * 64},    {256, 9 * 64 * 64},                           // inc
                                  {128, 9 * 64 * 128},  {128, 9 * 128 * 128},                         // down1
                                  {64, 9 * 128 * 256},  {64, 9 * 256 * 256},                          // down2
                                  {32, 9 * 256 * 512},  {32, 9 * 512 * 512},                          // down3
                                  {16, 9 * 512 * 1024}, {16, 9 * 1024 * 1024},                        // down4
                                  {16, 4 * 1024 * 512}, {32, 9 * 1024 * 512},  {32, 9 * 512 * 512},   // up1
                                  {32, 4 * 512 * 256},  {64, 9 * 512 * 256},   {64, 9 * 256 * 256},   // up2
                                  {64, 4 * 256 * 128},  {128, 9 * 256 * 128},  {128, 9 * 128 * 128},  // up3
                                  {128, 4 * 128 * 64},  {256, 9 * 128 * 64},   {256, 9 * 64 * 64},    // up4
                                  {256, 64 * 2}};                                                     // outc
  const models::UNet model(spec);
  EXPECT_EQ(model.work(256, 256).forward, sum(layers));
  EXPECT_EQ(model.work(256, 256).training, 3 * sum(layers) - sum({layers[0]})) << "the image needs no gradient";
  EXPECT_EQ(model.work(250, 241).forward, sum(layers)) << "padded to multiples of 16";
  EXPECT_EQ(model.work(128, 512).forward, sum(layers)) << "as many pixels";
}

TEST(UNetWork, BilinearUpsamplingHasNoWeights) {
  models::SegmenterSpec spec;
  spec.base_channels = 4;
  spec.bilinear = true;
  EXPECT_EQ(models::UNet(spec).work(32, 32).forward, sum({{32, 9 * 3 * 4},
                                                          {32, 9 * 4 * 4},
                                                          {16, 9 * 4 * 8},
                                                          {16, 9 * 8 * 8},
                                                          {8, 9 * 8 * 16},
                                                          {8, 9 * 16 * 16},
                                                          {4, 9 * 16 * 32},
                                                          {4, 9 * 32 * 32},
                                                          {2, 9 * 32 * 32},
                                                          {2, 9 * 32 * 32},
                                                          {4, 9 * 64 * 32},
                                                          {4, 9 * 32 * 16},
                                                          {8, 9 * 32 * 16},
                                                          {8, 9 * 16 * 8},
                                                          {16, 9 * 16 * 8},
                                                          {16, 9 * 8 * 4},
                                                          {32, 9 * 8 * 4},
                                                          {32, 9 * 4 * 4},
                                                          {32, 4 * 2}}));
}

}  // namespace
}  // namespace unet::test::unet_work_test
