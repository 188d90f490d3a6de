#include "tests/support/op_case.h"

namespace unet::tests::concat_test {
namespace {

OpCase concat_case(const std::string& name, const Shape& pixels, const std::vector<std::int64_t>& channels,
                   std::int64_t extra = 0) {
  std::vector<Input> inputs;
  for (const std::int64_t c : channels) {
    inputs.push_back(Input({pixels[0], pixels[1], pixels[2], c}, Fill::normal, extra));
  }
  return {name, inputs, [](Tape& tape, const std::vector<Var>& in) { return std::vector<Var>{concat(tape, in)}; }};
}

std::vector<OpCase> cases() {
  return {
      concat_case("two", {2, 4, 4}, {8, 8}),
      concat_case("odd", {1, 5, 3}, {3, 7}),
      concat_case("three", {2, 3, 2}, {1, 4, 2}),
      concat_case("one", {1, 3, 3}, {5}),
      concat_case("one_pixel", {1, 1, 1}, {2, 3}),
      concat_case("wide", {1, 2, 3}, {64, 33}),
      concat_case("pitched", {2, 3, 4}, {4, 5}, 3),
      concat_case("one_row", {1, 1, 7}, {6, 1}),
      concat_case("many_pixels", {2, 29, 31}, {2, 3}),
      {"same_twice",
       {Input({1, 3, 4, 5})},
       [](Tape& tape, const std::vector<Var>& in) {
         return std::vector<Var>{concat(tape, {in[0], in[0]})};
       }},
  };
}

INSTANTIATE_TEST_SUITE_P(Concat, GradCheck, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Concat, Precision, testing::ValuesIn(cases()), case_name);

TEST(Concat, SaysWhatIsWrong) {
  Tape tape;
  const auto zeros = [&](const Shape& shape, Dtype dtype = Dtype::f32) {
    return tape.input(Tensor::zeros(shape, dtype));
  };
  EXPECT_EQ(error_of([&] { concat(tape, {}); }), "concat: at least one tensor is expected");
  EXPECT_EQ(error_of([&] {
              concat(tape, {zeros({1, 4, 4, 2}), zeros({1, 5, 4, 3})});
            }),
            "concat: a part must be [1,4,4,3] (N,H,W,C), got [1,5,4,3]");
  EXPECT_EQ(error_of([&] {
              concat(tape, {zeros({1, 4, 4, 2}), zeros({1, 4, 4, 3}, Dtype::f64)});
            }),
            "concat: a part is f64 but the first is f32");
}

}  // namespace
}  // namespace unet::tests::concat_test
