#include "tests/support/op_case.h"

namespace unet::tests::add_test {
namespace {

OpCase add_case(const std::string& name, const Shape& x, std::int64_t a_extra = 0, std::int64_t b_extra = 0) {
  return {name,
          {Input(x, Fill::normal, a_extra), Input(x, Fill::normal, b_extra)},
          [](Tape& tape, const std::vector<Var>& in) { return std::vector<Var>{add(tape, in[0], in[1])}; }};
}

std::vector<OpCase> cases() {
  return {
      add_case("even", {2, 4, 4, 8}),
      add_case("odd", {1, 5, 3, 7}),
      add_case("one_value", {1, 1, 1, 1}),
      add_case("one_pixel", {1, 1, 1, 9}),
      add_case("wide", {1, 3, 2, 65}),
      add_case("first_pitched", {2, 3, 3, 4}, 3),
      add_case("second_pitched", {1, 4, 5, 6}, 0, 2),
      add_case("both_pitched", {2, 2, 5, 3}, 5, 1),
      add_case("many_pixels", {1, 41, 37, 3}),
      {"same_twice",
       {Input({2, 3, 4, 5})},
       [](Tape& tape, const std::vector<Var>& in) { return std::vector<Var>{add(tape, in[0], in[0])}; }},
  };
}

INSTANTIATE_TEST_SUITE_P(Add, GradCheck, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Add, Precision, testing::ValuesIn(cases()), case_name);

TEST(Add, SaysWhatIsWrong) {
  Tape tape;
  const auto zeros = [&](const Shape& shape, Dtype dtype = Dtype::f32) {
    return tape.input(Tensor::zeros(shape, dtype));
  };
  EXPECT_EQ(error_of([&] {
              add(tape, zeros({1, 2, 2, 8}), zeros({1, 2, 2, 4}));
            }),
            "add: b must be [1,2,2,8] (N,H,W,C), got [1,2,2,4]");
  EXPECT_EQ(error_of([&] {
              add(tape, zeros({1, 2, 2, 8}), zeros({1, 2, 2, 8}, Dtype::f64));
            }),
            "add: b is f64 but a is f32");
}

}  // namespace
}  // namespace unet::tests::add_test
