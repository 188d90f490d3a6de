#include "tests/support/op_case.h"

namespace unet::tests::upsample_nearest_test {
namespace {

OpCase up_case(const std::string& name, const Shape& x, std::int64_t extra = 0, std::int64_t out_extra = -1) {
  return {name, {Input(x, Fill::normal, extra)}, [=](Tape& tape, const std::vector<Var>& in) {
            if (out_extra < 0) return std::vector<Var>{upsample_nearest(tape, in[0])};
            const Sliced out({x[0], 2 * x[1], 2 * x[2], x[3]}, in[0].value.dtype(), out_extra);
            const Var y = upsample_nearest(tape, in[0], out.tensor());
            EXPECT_TRUE(out.guards_intact()) << "wrote beside the slice";
            return std::vector<Var>{y};
          }};
}

std::vector<OpCase> cases() {
  return {
      up_case("even", {2, 4, 6, 8}),
      up_case("odd", {1, 5, 3, 7}),
      up_case("one_pixel", {1, 1, 1, 3}),
      up_case("one_row", {2, 1, 5, 4}),
      up_case("one_column", {1, 4, 1, 1}),
      up_case("wide", {1, 3, 2, 66}),
      up_case("pitched", {2, 3, 3, 5}, 3),
      up_case("into_slice", {1, 3, 4, 4}, 0, 4),
      up_case("pitched_into_odd_slice", {2, 2, 3, 3}, 1, 2),
  };
}

INSTANTIATE_TEST_SUITE_P(UpsampleNearest, GradCheck, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(UpsampleNearest, Precision, testing::ValuesIn(cases()), case_name);

TEST(UpsampleNearest, SaysWhatIsWrong) {
  Tape tape;
  const Var x = tape.input(Tensor::zeros({1, 2, 3, 4}, Dtype::f32));
  EXPECT_EQ(error_of([&] {
              upsample_nearest(tape, x, Tensor::zeros({1, 2, 3, 4}, Dtype::f32));
            }),
            "upsample_nearest: out must be [1,4,6,4] (N,H,W,C), got [1,2,3,4]");
  EXPECT_EQ(error_of([&] { upsample_nearest(tape, {}); }), "upsample_nearest: x is not given");
}

}  // namespace
}  // namespace unet::tests::upsample_nearest_test
