// The tape and the arenas: what is added, freed, recorded and left out.
#include "engine/autograd/tape.h"

#include <cmath>

#include "engine/core/pool.h"
#include "tests/support/op_case.h"

namespace unet::tests::tape_test {
namespace {

Tensor ones(const Shape& shape, Dtype dtype = Dtype::f64) {
  return Tensor::of(shape, dtype, std::vector<double>(static_cast<std::size_t>(shape.size()), 1.0));
}

TEST(Tape, GradientsOfAVariableUsedTwiceAreAdded) {
  Tape tape;
  const Var x = tape.leaf(Tensor::of<double>({1, 1, 1, 3}, Dtype::f64, {-1, 2, 3}));
  const Var y = add(tape, relu(tape, x), add(tape, x, x));
  tape.backward(
      weighted_sum(tape, {y, x}, {ones({1, 1, 1, 3}), Tensor::of<double>({1, 1, 1, 3}, Dtype::f64, {10, 20, 30})}));
  EXPECT_EQ(tape.gradient(x).values<double>(), (std::vector<double>{12, 23, 33}));
}

TEST(Tape, ASharedGradientIsNotChangedByAnAddition) {
  // add hands the same dy to a and b; a gets a second gradient, b must not see it.
  Tape tape;
  const Var a = tape.leaf(ones({1, 1, 1, 2})), b = tape.leaf(ones({1, 1, 1, 2}));
  const Tensor three = Tensor::of<double>({1, 1, 1, 2}, Dtype::f64, {3, 3});
  const Var other = relu(tape, a);
  tape.backward(weighted_sum(tape, {add(tape, a, b), other}, {ones({1, 1, 1, 2}), three}));
  EXPECT_EQ(tape.gradient(a).values<double>(), (std::vector<double>{4, 4}));
  EXPECT_EQ(tape.gradient(b).values<double>(), (std::vector<double>{1, 1}));
}

TEST(Tape, TheSeedIsTheGradientOfTheLoss) {
  Tape tape;
  const Var logits = tape.leaf(Tensor::zeros({1, 1, 1, 2}, Dtype::f64));
  tape.backward(softmax_cross_entropy(tape, logits, Tensor::zeros({1, 1, 1}, Dtype::u8)),
                Tensor::of<double>({1}, Dtype::f64, {0.5}));
  EXPECT_EQ(tape.gradient(logits).values<double>(), (std::vector<double>{-0.25, 0.25}));
}

TEST(Tape, FreesWhatANodeSavedAsItUnwinds) {
  const Shape shape{1, 64, 64, 16};  // 512 KiB in f64: a block of its own class
  const std::size_t block = static_cast<std::size_t>(shape.size()) * sizeof(double);
  Tape tape;
  Var x = tape.leaf(Tensor::of(shape, Dtype::f64, normal_values(shape.size(), 1)));
  constexpr int kDepth = 8;
  std::vector<std::size_t> in_use;
  const auto watch = [&](const Var& in) {  // an op that only looks at the pool when backward passes
    const Var out = tape.output(in.value, {&in});
    tape.record([&tape, &in_use, in_id = in.id, out_id = out.id] {
      in_use.push_back(cpu_pool().stats().in_use);
      tape.add_gradient(in_id, tape.take_gradient(out_id));
    });
    return out;
  };
  const std::size_t before = cpu_pool().stats().in_use;
  Var y = x;
  for (int i = 0; i < kDepth; ++i) y = watch(relu(tape, y));
  EXPECT_GE(cpu_pool().stats().in_use, before + kDepth * block);
  const Var loss = weighted_sum(tape, {y}, {ones(shape)});
  y = {};
  tape.backward(loss);
  ASSERT_EQ(in_use.size(), std::size_t{kDepth});
  for (std::size_t i = 2; i < in_use.size(); ++i) {
    EXPECT_LE(in_use[i] + block, in_use[i - 1]) << "node " << i << " still holds what it saved";
  }
}

TEST(Tape, AGradientTakesTheMemoryOfAValueThatNobodyElseHolds) {
  Tape tape;
  const Shape shape{1, 4, 4, 3};
  Parameters parameters(Dtype::f64);
  const ParamId parameter = parameters.add("w", shape, {.bound = 1});
  parameters.initialize(0);
  const Var x = tape.leaf(ones(shape)), y = relu(tape, x), w = tape.param(parameters, parameter);
  Tensor value = ones(shape);
  const auto place = [&](const Var& of, const Tensor& spare) {
    return tape.gradient_target(of.id, spare).data<void>();
  };
  EXPECT_EQ(place(y, value), value.data<void>());
  {
    const Tensor same = value;
    EXPECT_NE(place(y, value), value.data<void>()) << "two hold it";
  }
  EXPECT_NE(place(w, value), value.data<void>()) << "a parameter's gradient has a place of its own";
  EXPECT_EQ(place(tape.input(value), value), nullptr) << "a constant has none";
  const Tensor part = value.slice(0, 2);
  EXPECT_NE(place(y, value), value.data<void>()) << "a slice is still there";
  value = ones({1, 4, 4, 5}).slice(1, 4);
  EXPECT_NE(place(y, value), value.data<void>()) << "what lies between its pixels is not the gradient's";
}

TEST(Tape, HoldsNothingAfterBackward) {
  const std::size_t before = cpu_pool().stats().in_use;
  {
    Tape tape;
    const Var x = tape.leaf(Tensor::of({2, 8, 8, 4}, Dtype::f32, normal_values(512, 1)));
    tape.backward(weighted_sum(tape, {max_pool2d(tape, relu(tape, x))}, {ones({2, 4, 4, 4}, Dtype::f32)}));
  }
  EXPECT_EQ(cpu_pool().stats().in_use, before);
}

TEST(Tape, AnInferenceTapeRecordsNothing) {
  Tape tape(Tape::Mode::inference);
  Parameters parameters(Dtype::f64);
  const ParamId id = parameters.add("w", {4, 3, 3, 3}, {.bound = 1});
  parameters.initialize(0);
  const Var x = tape.leaf(Tensor::of({1, 4, 4, 3}, Dtype::f64, normal_values(48, 1)));
  EXPECT_FALSE(x.wants_gradient());
  const std::size_t before = cpu_pool().stats().in_use;
  {
    const Var y = relu(tape, conv2d(tape, x, tape.param(parameters, id), {}, {.pad = 1}));
    EXPECT_FALSE(y.wants_gradient());
    const Var loss = softmax_cross_entropy(tape, y, Tensor::zeros({1, 4, 4}, Dtype::u8));
    EXPECT_EQ(error_of([&] { tape.backward(loss); }),
              "backward: nothing was recorded for this loss; is the tape an inference tape?");
  }
  // The convolution's workspace may have been made; the tape itself holds no activation.
  {
    const std::size_t held = cpu_pool().stats().in_use;
    conv2d(tape, x, tape.param(parameters, id), {}, {.pad = 1});
    EXPECT_EQ(cpu_pool().stats().in_use, held);
  }
  EXPECT_GE(cpu_pool().stats().in_use, before);
  EXPECT_FALSE(parameters.has_gradient(id));
}

TEST(Tape, ALossMustBeAScalar) {
  Tape tape;
  const Var x = tape.leaf(ones({1, 1, 1, 2}));
  EXPECT_EQ(error_of([&] { tape.backward(x); }), "backward: the loss must be a scalar [1], got [1,1,1,2]");
}

/// conv -> norm_act -> head -> cross-entropy, with every parameter in arenas.
struct Model {
  explicit Model(Dtype dtype) : parameters(dtype) {
    weight = parameters.add("conv.weight", {6, 3, 3, 3}, {.bound = 0.3});
    gamma = parameters.add("norm.weight", {6}, {.constant = 1});
    beta = parameters.add("norm.bias", {6}, {.bound = 0.1});
    stats = parameters.add_stats("norm", 6);
    head = parameters.add("head.weight", {2, 1, 1, 6}, {.bound = 0.5});
    bias = parameters.add("head.bias", {2}, {.bound = 0.5});
    parameters.initialize(7);
  }
  Var loss(Tape& tape, std::uint64_t batch) {
    const Var x = tape.input(Tensor::of({2, 5, 6, 3}, parameters.dtype(), normal_values(180, batch)));
    Var y = conv2d(tape, x, tape.param(parameters, weight), {}, {.pad = 1});
    y = norm_act(tape, y, tape.param(parameters, gamma), tape.param(parameters, beta),
                 parameters.record_statistics(stats))
            .y;
    y = conv2d(tape, y, tape.param(parameters, head), tape.param(parameters, bias));
    return softmax_cross_entropy(tape, y, random_labels({2, 5, 6}, 2, batch));
  }
  std::vector<double> gradients_of(const std::vector<std::uint64_t>& batches) {
    parameters.end_step();
    for (const std::uint64_t batch : batches) {
      Tape tape;
      tape.backward(loss(tape, batch));
    }
    parameters.complete_gradients();
    return parameters.gradients().at(0).values<double>();
  }
  Parameters parameters;
  ParamId weight, gamma, beta, head, bias;
  StatsId stats;
};

TEST(Accumulation, TwoPassesGiveTheSum) {
  for (const Dtype dtype : {Dtype::f64, Dtype::f32}) {
    Model model(dtype);
    const std::vector<double> first = model.gradients_of({1}), second = model.gradients_of({2});
    const std::vector<double> both = model.gradients_of({1, 2});
    std::vector<double> sum;
    for (std::size_t i = 0; i < first.size(); ++i) {
      const double exact = first[i] + second[i];
      sum.push_back(dtype == Dtype::f32 ? static_cast<double>(static_cast<float>(exact)) : exact);
    }
    EXPECT_EQ(both, sum);
    EXPECT_NE(first, second);
    EXPECT_EQ(model.gradients_of({1}), first) << "the step before shows";
  }
}

TEST(Accumulation, AParameterUsedTwiceInOnePassGetsTheSum) {
  Parameters parameters(Dtype::f64);
  const ParamId id = parameters.add("w", {3, 1, 1, 3}, {.bound = 1});
  parameters.initialize(1);
  const auto gradient = [&](int uses) {
    parameters.end_step();
    Tape tape;
    const Var x = tape.input(Tensor::of({1, 2, 2, 3}, Dtype::f64, normal_values(12, 1)));
    std::vector<Var> outputs;
    std::vector<Tensor> cotangents;
    for (int i = 0; i < uses; ++i) {
      outputs.push_back(conv2d(tape, x, tape.param(parameters, id), {}));
      cotangents.push_back(ones({1, 2, 2, 3}));
    }
    tape.backward(weighted_sum(tape, outputs, cotangents));
    return parameters.gradient(id).values<double>();
  };
  std::vector<double> twice = gradient(1);
  for (double& v : twice) v *= 2;
  EXPECT_EQ(gradient(2), twice);
}

TEST(Accumulation, GradientsLieInTheArena) {
  Model model(Dtype::f32);
  model.gradients_of({1});
  for (const ParamId id : {model.weight, model.gamma, model.beta, model.head, model.bias}) {
    EXPECT_TRUE(model.parameters.has_gradient(id));
    const Tensor gradient = model.parameters.gradient(id);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(gradient.data<void>()) % 256, 0u);
    double size = 0;
    for (const double v : gradient.values<double>()) size += v * v;
    EXPECT_GT(size, 0);
  }
  model.parameters.end_step();
  EXPECT_FALSE(model.parameters.has_gradient(model.weight));
}

TEST(Accumulation, APlaceWithoutGradientIsZeroAfterCompletion) {
  Model model(Dtype::f64);
  model.gradients_of({1});
  model.parameters.end_step();
  model.parameters.complete_gradients();
  for (const double v : model.parameters.gradients().at(0).values<double>()) EXPECT_EQ(v, 0);
}

TEST(PendingStatistics, ComeInTheOrderOfThePassesAndRunningOnesStay) {
  Model model(Dtype::f64);
  const std::vector<double> running = model.parameters.running().values<double>();
  std::vector<std::vector<double>> alone;
  for (const std::uint64_t batch : {1, 2, 3}) {
    model.gradients_of({batch});
    ASSERT_EQ(model.parameters.pending().size(), 1u);
    alone.push_back(model.parameters.pending()[0].values<double>());
  }
  EXPECT_NE(alone[0], alone[1]);
  model.gradients_of({1, 2, 3});
  ASSERT_EQ(model.parameters.pending().size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(model.parameters.pending()[i].values<double>(), alone[i]) << i;
  EXPECT_EQ(model.parameters.running().values<double>(), running);
  model.parameters.end_step();
  EXPECT_TRUE(model.parameters.pending().empty());
}

TEST(UnwantedGradient, IsNotComputed) {
  // The first convolution's input is data: backward must not make room for its gradient, which would be by far the
  // largest block here.
  const Shape x_shape{1, 256, 256, 8};
  const std::size_t block = static_cast<std::size_t>(x_shape.size()) * sizeof(float);
  const auto peak_rise = [&](bool wanted) {
    Tape tape;
    const Tensor value = Tensor::zeros(x_shape, Dtype::f32);
    const Var x = wanted ? tape.leaf(value) : tape.input(value);
    const Var w = tape.leaf(ones({1, 1, 1, 8}, Dtype::f32));
    const Var y = conv2d(tape, x, w, {}, {.stride = 16});
    std::size_t in_use = 0;
    const Var loss = weighted_sum(tape, {y}, {ones({1, 16, 16, 1}, Dtype::f32)});
    const std::size_t before = cpu_pool().stats().in_use;
    tape.backward(loss);
    in_use = cpu_pool().stats().in_use;
    EXPECT_EQ(tape.gradient(x).defined(), wanted);
    return in_use > before ? in_use - before : 0;
  };
  peak_rise(true);  // plans and their workspace
  EXPECT_GE(peak_rise(true), block / 2);
  EXPECT_LT(peak_rise(false), block / 2);
}

TEST(UnwantedGradient, OfAConstantIsUndefined) {
  Tape tape;
  const Var x = tape.input(ones({1, 2, 2, 3})), w = tape.leaf(ones({2, 1, 1, 3}));
  EXPECT_FALSE(tape.gradient_target(x.id).defined());
  tape.backward(weighted_sum(tape, {conv2d(tape, x, w, {})}, {ones({1, 2, 2, 2})}));
  EXPECT_FALSE(tape.gradient(x).defined());
  EXPECT_TRUE(tape.gradient(w).defined());
  const Var constant = relu(tape, x);
  EXPECT_FALSE(constant.wants_gradient());
}

TEST(Parameters, RefuseANameTwice) {
  Parameters parameters;
  parameters.add("a", {1}, {});
  parameters.add_stats("n", 2);
  EXPECT_EQ(error_of([&] { parameters.add("a", {2}, {}); }), "parameter \"a\" is declared twice");
  EXPECT_EQ(error_of([&] { parameters.add_stats("n", 2); }), "batch norm \"n\" is declared twice");
  parameters.initialize(0);
  EXPECT_EQ(error_of([&] { parameters.add("b", {2}, {}); }), "parameter \"b\" is declared after initialize()");
}

TEST(Parameters, StartFromTheSeedWithZeroPadding) {
  const auto values = [](std::uint64_t seed) {
    Model model(Dtype::f32);
    model.parameters.initialize(seed);
    return model.parameters.values().values<double>();
  };
  EXPECT_EQ(values(3), values(3));
  EXPECT_NE(values(3), values(4));
  const Model model(Dtype::f32);
  const std::vector<double> all = model.parameters.values().values<double>();
  std::vector<bool> used(all.size(), false);
  for (const Parameters::Param& param : model.parameters.params()) {
    EXPECT_EQ(param.offset % 64, 0) << param.name;
    for (std::int64_t i = 0; i < param.shape.size(); ++i) {
      const auto at = static_cast<std::size_t>(param.offset + i);
      EXPECT_LE(std::abs(all[at]), param.init.bound > 0 ? param.init.bound : 1.0);
      used[at] = true;
    }
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!used[i]) {
      EXPECT_EQ(all[i], 0) << i;
    }
  }
  EXPECT_EQ(model.parameters.count(), 6 * 27 + 6 + 6 + 12 + 2);
}

}  // namespace
}  // namespace unet::tests::tape_test
