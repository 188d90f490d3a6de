// Encoders from elsewhere: what is taken, what is said of it, and what is refused before anything has changed.
#include "models/encoder_weights.h"

#include <gtest/gtest.h>

#include "engine/train/checkpoint.h"
#include "models/resnet34_unet.h"
#include "tests/models/unet_support.h"
#include "tests/support/data_support.h"
#include "tests/support/error_of.h"
#include "tests/support/tensor_file.h"

namespace unet::test::encoder_weights_test {
namespace {

using Lines = std::vector<std::string>;

models::SegmenterSpec narrow(std::int64_t channels = 3) {
  return {.in_channels = channels, .classes = 2, .base_channels = 4, .model = "resnet34_unet"};
}

class EncoderWeights : public testing::Test {
 protected:
  EncoderWeights() {
    for (Parameters::Stats& stats : trained_.parameters().stats()) stats.batches_tracked = 7;
    save_model(folder_ / "ours", trained_.parameters(), {});
    whole_ = TensorFile(folder_ / "ours");
    whole_.metadata.clear();
    constexpr std::string_view kPrefix = "encoder.";
    for (const auto& [name, tensor] : whole_.tensors) {
      if (name.starts_with(kPrefix)) classifier_.tensors[name.substr(kPrefix.size())] = tensor;
    }
    classifier_.set("fc.weight", {10, 32}, std::vector<float>(320));
    classifier_.set("fc.bias", std::vector<float>(10));
  }

  Lines load(const TensorFile& file, models::Segmenter& model) const {
    file.write(folder_ / "t");
    return models::load_encoder_weights(SafetensorsFile(folder_ / "t"), model);
  }
  /// The encoder is the trained one's, all else as drawn.
  void expect_taken(const models::Segmenter& model, std::int64_t tracked = 7) const {
    const models::ResNet34UNet drawn(narrow(), 99);
    const Parameters& parameters = model.parameters();
    for (std::size_t i = 0; i < parameters.params().size(); ++i) {
      const std::string& name = parameters.params()[i].name;
      const models::Segmenter& from =
          name.starts_with("encoder.") ? static_cast<const models::Segmenter&>(trained_) : drawn;
      EXPECT_TRUE(same_bytes(parameters.value(id_of(i)), from.parameters().value(id_of(i)))) << name;
    }
    for (const Parameters::Stats& stats : parameters.stats()) {
      EXPECT_EQ(stats.batches_tracked, stats.name.starts_with("encoder.") ? tracked : 0) << stats.name;
    }
  }
  void expect_refused(const TensorFile& file, const Lines& parts) const {
    models::ResNet34UNet model(narrow(), 99);
    const Tensor before = model.parameters().values().clone();
    const std::string error = tests::error_of([&] { load(file, model); });
    expect_parts(error, parts);
    EXPECT_TRUE(error.starts_with((folder_ / "t").string() + ": ")) << error;
    EXPECT_TRUE(same_bytes(model.parameters().values(), before)) << error;
  }

  const Folder folder_;
  models::ResNet34UNet trained_{narrow(), 5};
  TensorFile whole_, classifier_;  // smp's network, torchvision's
};

TEST_F(EncoderWeights, OfAClassifier) {
  models::ResNet34UNet model(narrow(), 99);
  EXPECT_EQ(load(classifier_, model), Lines{"not the encoder's, left out: fc.bias, fc.weight"});
  expect_taken(model);
}

TEST_F(EncoderWeights, OfAWholeNetwork) {
  models::ResNet34UNet model(narrow(), 99);
  EXPECT_EQ(load(whole_, model),
            Lines{"not the encoder's, left out: decoder.* (60), segmentation_head.0.bias, segmentation_head.0.weight"});
  expect_taken(model);
}

TEST_F(EncoderWeights, BehindAWrapper) {
  models::ResNet34UNet model(narrow(), 99);
  classifier_.tensors.erase("fc.weight");
  classifier_.tensors.erase("fc.bias");
  classifier_.put_before_names("module.");
  EXPECT_EQ(load(classifier_, model), Lines{});
  expect_taken(model);
}

TEST_F(EncoderWeights, InHalfPrecisionAndWithoutCounts) {
  models::ResNet34UNet model(narrow(), 99);
  std::erase_if(classifier_.tensors, [](const auto& one) { return one.first.ends_with("num_batches_tracked"); });
  classifier_.narrow(SafeDtype::kBF16);
  expect_parts(load(classifier_, model).at(0), {"tensors are F16 or BF16, converted to F32"});
  for (const Parameters::Stats& stats : model.parameters().stats()) EXPECT_EQ(stats.batches_tracked, 0);
}

TEST_F(EncoderWeights, AreAdaptedToOtherChannels) {
  const std::vector<float> rgb = trained_.parameters().value({0}).values<float>();  // [4,7,7,3]
  for (const std::int64_t channels : {1, 2, 4}) {
    models::ResNet34UNet model(narrow(channels), 99);
    expect_parts(load(whole_, model).at(0), {fmt::format("encoder.conv1.weight reads 3 channels, not {}: ", channels),
                                             channels == 1 ? "summed" : "repeated in turn and scaled"});
    const std::vector<float> values = model.parameters().value({0}).values<float>();
    ASSERT_EQ(values.size() / static_cast<std::size_t>(channels), rgb.size() / 3);
    for (std::size_t p = 0; p < rgb.size() / 3; ++p) {
      const float* slices = &rgb[3 * p];
      for (std::size_t c = 0; c < static_cast<std::size_t>(channels); ++c) {
        const double expected = channels == 1 ? 0.0 + slices[0] + slices[1] + slices[2]
                                              : slices[c % 3] * 3.0 / static_cast<double>(channels);
        EXPECT_FLOAT_EQ(values[p * static_cast<std::size_t>(channels) + c], static_cast<float>(expected));
      }
    }
  }
}

TEST_F(EncoderWeights, ThatDoNotFitAreRefused) {
  TensorFile file = classifier_;
  file.tensors.erase("layer3.5.bn2.running_mean");
  expect_refused(file, {"\"encoder.layer3.5.bn2.running_mean\"", "missing"});
  file = classifier_;
  file.set("layer2.0.downsample.0.weight", {8, 5, 1, 1}, std::vector<float>(40));
  expect_refused(file, {"layer2.0.downsample.0.weight", "[8,5,1,1], expected [8,4,1,1]"});
  file = classifier_;
  file.set("conv1.weight", {4, 3, 3, 3}, std::vector<float>(108));
  expect_refused(file, {"conv1.weight", "[4,3,3,3], expected [4,3,7,7]"});
  file = classifier_;
  file.set("conv1.weight", {4, 1 << 20, 0, 0}, {});
  expect_refused(file, {"conv1.weight"});
  file = classifier_;
  file.tensors.erase("conv1.weight");
  expect_refused(file, {"holds no encoder of resnet34_unet: tensor \"conv1.weight\" is missing"});
  file = classifier_;
  std::vector<float> values(4, std::numeric_limits<float>::quiet_NaN());
  file.set("bn1.bias", values);
  expect_refused(file, {"bn1.bias", "nan"});
}

TEST_F(EncoderWeights, AreNotForANetworkWithoutEncoder) {
  models::UNet model({.base_channels = 4});
  classifier_.write(folder_ / "t");
  expect_parts(tests::error_of([&] { models::load_encoder_weights(SafetensorsFile(folder_ / "t"), model); }),
               {"unet has no encoder that is trained apart from it; weights of the whole network are --init's"});
}

}  // namespace
}  // namespace unet::test::encoder_weights_test
