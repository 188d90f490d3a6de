#include "tests/support/op_case.h"

namespace unet::tests::pad_channels_test {
namespace {

OpCase pad_case(const std::string& name, const Shape& x, std::int64_t channels, std::int64_t extra = 0) {
  return {name, {Input(x, Fill::normal, extra)}, [=](Tape& tape, const std::vector<Var>& in) {
            return std::vector<Var>{pad_channels(tape, in[0], channels)};
          }};
}

std::vector<OpCase> cases() {
  return {
      pad_case("weights_of_rgb", {16, 3, 3, 3}, 8), pad_case("one_to_eight", {5, 3, 3, 1}, 8),
      pad_case("by_one", {2, 5, 3, 7}, 8),          pad_case("past_eight", {2, 3, 4, 9}, 16),
      pad_case("to_odd", {1, 4, 3, 4}, 11),         pad_case("one_pixel", {1, 1, 1, 3}, 8),
      pad_case("pitched", {2, 3, 3, 4}, 8, 3),      pad_case("as_it_is", {2, 3, 4, 8}, 8),
  };
}

INSTANTIATE_TEST_SUITE_P(PadChannels, GradCheck, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(PadChannels, Precision, testing::ValuesIn(cases()), case_name);

TEST(PadChannels, PutsZerosBehind) {
  const PoisonScope poison;
  Tape tape;
  const Var x = tape.input(Tensor::of({1, 1, 2, 2}, Dtype::f32, std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(pad_channels(tape, x, 4).value.values<float>(), (std::vector<float>{1, 2, 0, 0, 3, 4, 0, 0}));
}

TEST(PadChannels, SaysWhatIsWrong) {
  Tape tape;
  const Var x = tape.input(Tensor::zeros({1, 2, 3, 4}, Dtype::f32));
  EXPECT_EQ(error_of([&] { pad_channels(tape, x, 3); }), "pad_channels: 3 channels asked for, x is [1,2,3,4]");
  EXPECT_EQ(error_of([&] { pad_channels(tape, {}, 3); }), "pad_channels: x is not given");
}

}  // namespace
}  // namespace unet::tests::pad_channels_test
