#include "tests/support/op_case.h"

namespace unet::tests::join_test {
namespace {

/// Two upsampled inputs written into one tensor: the decoder's way.
OpCase up_join(const std::string& name, const Shape& a, std::int64_t b_channels, std::int64_t cat_extra = 0) {
  return {name, {Input(a), Input({a[0], a[1], a[2], b_channels})}, [=](Tape& tape, const std::vector<Var>& in) {
            const Shape shape{a[0], 2 * a[1], 2 * a[2], a[3] + b_channels};
            const Sliced cat(shape, in[0].value.dtype(), cat_extra);
            const Var left = upsample_bilinear(tape, in[0], false, cat.tensor().slice(0, a[3]));
            const Var right = upsample_bilinear(tape, in[1], true, cat.tensor().slice(a[3], shape[3]));
            EXPECT_TRUE(cat.guards_intact());
            const Var out = join(tape, cat.tensor(), {left, right});
            EXPECT_EQ(out.value.data<void>(), cat.tensor().data<void>()) << "join copied";
            return std::vector<Var>{out};
          }};
}

/// The block of a UNet: norm_act writes the skip (used twice: pooled and joined), the transposed convolution the rest.
OpCase unet_join(const std::string& name, const Shape& x, std::int64_t up_channels) {
  const Shape vector{x[3]};
  const std::vector<Input> inputs{Input(x), Input(vector), Input(vector), Input({x[3], 2, 2, up_channels}),
                                  Input({up_channels})};
  return {name, inputs, [=](Tape& tape, const std::vector<Var>& in) {
            const Tensor cat = Tensor::empty({x[0], x[1], x[2], x[3] + up_channels}, in[0].value.dtype());
            NormActOptions options;
            options.pool = true;
            options.out = cat.slice(0, x[3]);
            const NormActResult skip = norm_act(tape, in[0], in[1], in[2], {}, options);
            const Var up = conv_transpose2d(tape, skip.pooled, in[3], in[4], cat.slice(x[3], cat.shape()[3]));
            return std::vector<Var>{join(tape, cat, {skip.y, up})};
          }};
}

std::vector<OpCase> cases() {
  return {
      up_join("two", {2, 2, 3, 4}, 4),
      up_join("odd", {1, 3, 5, 3}, 5),
      up_join("one_pixel", {1, 1, 1, 2}, 1),
      up_join("one_channel_each", {2, 2, 2, 1}, 1),
      up_join("wide", {1, 2, 2, 40}, 24),
      up_join("into_a_slice", {1, 2, 3, 3}, 2, 3),
      unet_join("unet_block", {2, 4, 6, 8}, 8),
      unet_join("unet_block_odd_channels", {1, 4, 4, 5}, 3),
      unet_join("unet_block_one_window", {3, 2, 2, 4}, 2),
      {"one_part_used_twice",
       {Input({1, 2, 2, 3})},
       [](Tape& tape, const std::vector<Var>& in) {
         const Tensor cat = Tensor::empty({1, 4, 4, 3}, in[0].value.dtype());
         const Var up = upsample_bilinear(tape, in[0], false, cat);
         return std::vector<Var>{join(tape, cat, {up}), up};
       }},
  };
}

INSTANTIATE_TEST_SUITE_P(Join, GradCheck, testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Join, Precision, testing::ValuesIn(cases()), case_name);

TEST(Join, BackwardHandsOutSlicesOfTheGradient) {
  Tape tape;
  const Tensor cat = Tensor::of({1, 2, 2, 5}, Dtype::f64, normal_values(20, 1));
  const Var a = tape.leaf(cat.slice(0, 2)), b = tape.leaf(cat.slice(2, 5));
  const Tensor dcat = Tensor::of({1, 2, 2, 5}, Dtype::f64, normal_values(20, 2));
  tape.backward(weighted_sum(tape, {join(tape, cat, {a, b})}, {dcat}));
  EXPECT_EQ(tape.gradient(a).data<void>(), dcat.slice(0, 2).data<void>());
  EXPECT_EQ(tape.gradient(b).data<void>(), dcat.slice(2, 5).data<void>());
  EXPECT_EQ(tape.gradient(b).pitch(), 5);
}

TEST(Join, SaysWhatIsWrong) {
  Tape tape;
  const Tensor cat = Tensor::zeros({1, 4, 4, 8}, Dtype::f32);
  const Var elsewhere = tape.input(Tensor::zeros({1, 4, 4, 8}, Dtype::f32));
  EXPECT_EQ(error_of([&] { join(tape, cat, {elsewhere}); }),
            "join: part [1,4,4,8] was not written into channels [0, 8) of the tensor [1,4,4,8]");
  EXPECT_EQ(error_of([&] {
              join(tape, cat, {tape.input(cat.slice(4, 8)), tape.input(cat.slice(0, 4))});
            }),
            "join: part [1,4,4,4] was not written into channels [0, 4) of the tensor [1,4,4,8]");
  EXPECT_EQ(error_of([&] { join(tape, cat, {tape.input(cat.slice(0, 4))}); }),
            "join: the parts have 4 channels together, the tensor is [1,4,4,8] (N,H,W,C)");
  EXPECT_EQ(error_of([&] { join(tape, {}, {elsewhere}); }), "join: cat is not given");
  const Tensor taller = Tensor::zeros({1, 8, 4, 8}, Dtype::f32);
  const Tensor top = taller.range(0, {1, 4, 4, 8});
  EXPECT_EQ(error_of([&] { join(tape, taller, {tape.input(top)}); }),
            "join: part [1,4,4,8] was not written into channels [0, 8) of the tensor [1,8,4,8]");
}

}  // namespace
}  // namespace unet::tests::join_test
