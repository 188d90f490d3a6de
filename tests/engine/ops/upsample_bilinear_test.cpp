#include "tests/support/op_case.h"

namespace unet::tests::upsample_bilinear_test {
namespace {

OpCase up_case(const std::string& name, const Shape& x, bool align_corners, std::int64_t extra = 0,
               std::int64_t out_extra = -1) {
  return {name, {Input(x, Fill::normal, extra)}, [=](Tape& tape, const std::vector<Var>& in) {
            if (out_extra < 0) return std::vector<Var>{upsample_bilinear(tape, in[0], align_corners)};
            const Sliced out({x[0], 2 * x[1], 2 * x[2], x[3]}, in[0].value.dtype(), out_extra);
            const Var y = upsample_bilinear(tape, in[0], align_corners, out.tensor());
            EXPECT_TRUE(out.guards_intact()) << "wrote beside the slice";
            return std::vector<Var>{y};
          }};
}

std::vector<OpCase> cases() {
  std::vector<OpCase> out;
  for (const bool align : {true, false}) {
    const std::string prefix = align ? "aligned_" : "half_pixel_";
    out.push_back(up_case(prefix + "even", {2, 4, 6, 8}, align));
    out.push_back(up_case(prefix + "odd", {1, 5, 3, 7}, align));
    out.push_back(up_case(prefix + "one_pixel", {1, 1, 1, 3}, align));
    out.push_back(up_case(prefix + "one_row", {2, 1, 5, 4}, align));
    out.push_back(up_case(prefix + "one_column", {1, 4, 1, 1}, align));
    out.push_back(up_case(prefix + "wide", {1, 3, 2, 66}, align));
    out.push_back(up_case(prefix + "pitched", {2, 3, 3, 5}, align, 3));
    out.push_back(up_case(prefix + "into_slice", {1, 3, 4, 4}, align, 0, 4));
    out.push_back(up_case(prefix + "pitched_into_odd_slice", {2, 2, 3, 3}, align, 1, 2));
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(UpsampleBilinear, GradCheck, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(UpsampleBilinear, Precision, testing::ValuesIn(cases()), case_name);

TEST(UpsampleBilinear, SaysWhatIsWrong) {
  Tape tape;
  const Var x = tape.input(Tensor::zeros({1, 2, 3, 4}, Dtype::f32));
  EXPECT_EQ(error_of([&] {
              upsample_bilinear(tape, x, true, Tensor::zeros({1, 2, 3, 4}, Dtype::f32));
            }),
            "upsample_bilinear: out must be [1,4,6,4] (N,H,W,C), got [1,2,3,4]");
  EXPECT_EQ(error_of([&] {
              upsample_bilinear(tape, x, true, Tensor::zeros({1, 4, 6, 4}, Dtype::f64));
            }),
            "upsample_bilinear: out is f64 but x is f32");
  EXPECT_EQ(error_of([&] { upsample_bilinear(tape, {}, true); }), "upsample_bilinear: x is not given");
}

}  // namespace
}  // namespace unet::tests::upsample_bilinear_test
