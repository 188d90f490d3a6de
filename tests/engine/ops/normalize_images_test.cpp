#include "tests/support/op_case.h"

namespace unet::tests::normalize_images_test {
namespace {

TEST(NormalizeImages, FollowsTheFormulaAndPadsChannels) {
  const kernels::NormalizeSpec spec{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};
  for (const Dtype dtype : {Dtype::f64, Dtype::f32, Dtype::bf16}) {
    for (const std::int64_t channels : {3, 4, 8}) {
      const PoisonScope poison;
      const Shape shape{2, 5, 7, 3};
      std::vector<std::uint8_t> bytes;
      for (std::int64_t i = 0; i < shape.size(); ++i) bytes.push_back(static_cast<std::uint8_t>(i * 37 % 256));
      Tape tape;
      const Var y = normalize_images(tape, Tensor::of(shape, Dtype::u8, bytes), spec, channels, dtype);
      EXPECT_FALSE(y.wants_gradient());
      ASSERT_EQ(y.shape(), (Shape{2, 5, 7, channels}));
      std::vector<double> expected;
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        const std::size_t c = i % 3;
        expected.push_back((bytes[i] / 255.0 - double{spec.mean[c]}) / double{spec.deviation[c]});
        if (c == 2) expected.insert(expected.end(), static_cast<std::size_t>(channels - 3), 0.0);
      }
      EXPECT_LE(max_relative(y.value.values<double>(), expected), dtype == Dtype::bf16 ? 0x1p-8 : 4e-7);
    }
  }
}

TEST(NormalizeImages, SaysWhatIsWrong) {
  Tape tape;
  const kernels::NormalizeSpec spec{{0, 0, 0}, {1, 1, 1}};
  const Tensor images = Tensor::zeros({1, 2, 3, 3}, Dtype::u8);
  EXPECT_EQ(error_of([&] {
              normalize_images(tape, Tensor::zeros({1, 2, 3, 3}, Dtype::f32), spec, 3, Dtype::f32);
            }),
            "normalize_images: images must be dense u8 [N,H,W,C], got f32 [1,2,3,3]");
  EXPECT_EQ(error_of([&] {
              normalize_images(tape, Tensor::zeros({1, 2, 3, 4}, Dtype::u8), spec, 4, Dtype::f32);
            }),
            "normalize_images: 3 means and 3 deviations for images [1,2,3,4] (N,H,W,C)");
  EXPECT_EQ(error_of([&] { normalize_images(tape, images, spec, 2, Dtype::f32); }),
            "normalize_images: 2 channels asked for, images are [1,2,3,3] (N,H,W,C)");
  EXPECT_EQ(error_of([&] { normalize_images(tape, images, spec, 3, Dtype::u8); }),
            "normalize_images: the result must be f32, f64 or bf16, got u8");
}

}  // namespace
}  // namespace unet::tests::normalize_images_test
