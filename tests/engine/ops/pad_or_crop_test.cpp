#include "tests/support/op_case.h"

namespace unet::tests::pad_or_crop_test {
namespace {

OpCase pad_case(const std::string& name, const Shape& x, std::int64_t height, std::int64_t width,
                std::int64_t extra = 0) {
  return {name, {Input(x, Fill::normal, extra)}, [=](Tape& tape, const std::vector<Var>& in) {
            return std::vector<Var>{pad_or_crop(tape, in[0], height, width)};
          }};
}

std::vector<OpCase> cases() {
  return {
      pad_case("pad_both", {2, 3, 5, 4}, 8, 8),
      pad_case("pad_height", {1, 5, 4, 3}, 6, 4),
      pad_case("pad_width", {1, 4, 3, 8}, 4, 7),
      pad_case("crop_both", {2, 6, 7, 5}, 4, 3),
      pad_case("crop_to_one_pixel", {2, 4, 4, 3}, 1, 1),
      pad_case("pad_height_crop_width", {1, 3, 8, 6}, 5, 5),
      pad_case("crop_height_pad_width", {1, 8, 3, 9}, 5, 6),
      pad_case("one_pixel", {1, 1, 1, 7}, 3, 2),
      pad_case("pitched_pad", {2, 3, 3, 4}, 5, 4, 3),
      pad_case("pitched_crop", {1, 5, 6, 3}, 3, 4, 2),
      pad_case("same_size", {1, 3, 4, 5}, 3, 4),
  };
}

INSTANTIATE_TEST_SUITE_P(PadOrCrop, GradCheck, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(PadOrCrop, Precision, testing::ValuesIn(cases()), case_name);

TEST(PadOrCrop, SaysWhatIsWrong) {
  Tape tape;
  const Var x = tape.input(Tensor::zeros({1, 2, 3, 4}, Dtype::f32));
  EXPECT_EQ(error_of([&] { pad_or_crop(tape, x, 0, 3); }), "pad_or_crop: height and width must be >= 1, got 0x3");
  EXPECT_EQ(error_of([&] { pad_or_crop(tape, {}, 3, 3); }), "pad_or_crop: x is not given");
}

}  // namespace
}  // namespace unet::tests::pad_or_crop_test
