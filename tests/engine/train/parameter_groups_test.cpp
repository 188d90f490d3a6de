// Groups of parameters: frozen and thawed as PyTorch does it, decayed or not, against a plain loop in f64.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "tests/engine/train/toy.h"

namespace unet::tests::parameter_groups_test {
namespace {

std::vector<ParamId> ids_of(const Parameters& parameters) {
  std::vector<ParamId> out;
  for (int i = 0; i < static_cast<int>(parameters.params().size()); ++i) out.push_back({i});
  return out;
}

bool is_weight(const std::string& name) { return name.ends_with("conv.weight") || name == "head.weight"; }

/// torch.optim.AdamW (or Adam) on one parameter, word by word: it has a step count of its own, and a parameter without
/// a gradient is passed over.
struct Plain {
  std::vector<double> p, m, v;
  int t = 0;

  void update(const std::vector<double>& gradient, double scale, double lr, const kernels::AdamSpec& spec,
              double decay) {
    ++t;
    for (std::size_t i = 0; i < p.size(); ++i) {
      double g = scale * gradient[i];
      if (spec.decoupled) {
        p[i] *= 1 - lr * decay;
      } else {
        g += decay * p[i];
      }
      m[i] = spec.beta1 * m[i] + (1 - spec.beta1) * g;
      v[i] = spec.beta2 * v[i] + (1 - spec.beta2) * g * g;
      p[i] -=
          lr / (1 - std::pow(spec.beta1, t)) * m[i] / (std::sqrt(v[i] / (1 - std::pow(spec.beta2, t))) + spec.epsilon);
    }
  }
};

struct Setting {
  double weight_decay;
  bool decoupled;
  Decay decay;
};

class GroupsOfParameters : public testing::TestWithParam<Setting> {};
INSTANTIATE_TEST_SUITE_P(, GroupsOfParameters,
                         testing::Values(Setting{0, false, Decay::weights}, Setting{0.3, true, Decay::weights},
                                         Setting{0.3, true, Decay::all}, Setting{0.3, false, Decay::weights},
                                         Setting{0.3, false, Decay::all}));

TEST_P(GroupsOfParameters, AreFrozenAndThawedAsInPyTorch) {
  const kernels::AdamSpec spec{.weight_decay = GetParam().weight_decay, .decoupled = GetParam().decoupled};
  Toy toy;
  Adam adam(toy.parameters, spec, GetParam().decay);
  Step step(toy.parameters, adam);
  std::vector<Plain> plain;
  for (const ParamId id : ids_of(toy.parameters)) {
    const std::vector<double> start = toy.parameters.value(id).values<double>();
    plain.push_back({start, std::vector<double>(start.size()), std::vector<double>(start.size())});
  }
  constexpr double kLr = 0.02, kClip = 0.02, kScale = 0.3;
  toy.parameters.set_lr_scale("encoder", kScale);
  for (int t = 1; t <= 12; ++t) {
    toy.parameters.set_trainable("encoder", t > 5);
    toy.parameters.set_trainable("head", t != 9 && t != 10);
    step.begin({.lr = kLr, .clip_norm = kClip});
    toy.pass(step, static_cast<std::uint64_t>(t));
    std::map<int, std::vector<double>> gradients;  // of the parameters that have one
    double squares = 0;
    for (const ParamId id : ids_of(toy.parameters)) {
      EXPECT_EQ(toy.parameters.has_gradient(id), toy.parameters.trainable(id)) << toy.parameters.name(id);
      if (!toy.parameters.has_gradient(id)) continue;
      gradients[id.index] = toy.parameters.gradient(id).values<double>();
      for (const double g : gradients[id.index]) squares += g * g;
    }
    const double scale = std::min(1.0, kClip / (std::sqrt(squares) + 1e-6));
    EXPECT_LT(scale, 1) << "clipping must be seen";
    for (const auto& [index, gradient] : gradients) {
      const bool decayed = GetParam().decay == Decay::all || is_weight(toy.parameters.name({index}));
      const double lr = toy.parameters.name({index}).starts_with("head") ? kLr : kScale * kLr;
      plain[static_cast<std::size_t>(index)].update(gradient, scale, lr, spec, decayed ? spec.weight_decay : 0);
    }
    step.commit();
    const StepResult result = step.take_result().value();
    ASSERT_TRUE(result.committed) << result.reason;
    EXPECT_NEAR(result.grad_norm, std::sqrt(squares), 1e-12);
    for (const ParamId id : ids_of(toy.parameters)) {
      const Plain& expected = plain[static_cast<std::size_t>(id.index)];
      EXPECT_LE(max_relative(toy.parameters.value(id).values<double>(), expected.p), 1e-12)
          << toy.parameters.name(id) << " after step " << t;
    }
  }
  EXPECT_EQ(adam.group_steps(), (std::vector<std::int64_t>{7, 10}));
  EXPECT_EQ(adam.steps(), 10);
}

TEST(Groups, AFrozenOneCostsNoGradientAndItsBatchNormsAreThoseOfInference) {
  Toy frozen;
  frozen.parameters.set_trainable("encoder", false);
  Adam adam_frozen(frozen.parameters, {});
  Step step_frozen(frozen.parameters, adam_frozen);
  const Tensor before = frozen.parameters.running().clone();
  step_frozen.begin({.lr = 1e-2});
  Tape tape;
  EXPECT_FALSE(tape.param(frozen.parameters, {0}).wants_gradient());
  frozen.pass(step_frozen, 1);
  const Parameters& parameters = frozen.parameters;
  for (const ParamId id : ids_of(parameters)) {
    EXPECT_EQ(parameters.has_gradient(id), parameters.trainable(id)) << parameters.name(id);
  }
  step_frozen.commit();
  ASSERT_TRUE(step_frozen.take_result()->committed);
  for (const ParamId id : ids_of(parameters)) {
    if (parameters.trainable(id)) continue;
    for (const double g : parameters.gradient(id).values<double>()) EXPECT_EQ(g, 0);
  }
  EXPECT_EQ(parameters.stats()[0].batches_tracked, 0);
  EXPECT_EQ(parameters.running().values<double>(), before.values<double>());
}

TEST(Groups, BelongToTheModel) {
  Toy toy;
  ASSERT_EQ(toy.parameters.groups().size(), 2u);
  EXPECT_EQ(toy.parameters.groups()[0].name, "encoder");
  EXPECT_TRUE(toy.parameters.groups()[0].trainable);
  EXPECT_EQ(error_of([&] { toy.parameters.set_trainable("decoder", false); }),
            "there is no group \"decoder\" of parameters");
  EXPECT_EQ(error_of([&] { toy.parameters.set_lr_scale("decoder", 2); }),
            "there is no group \"decoder\" of parameters");
  EXPECT_EQ(error_of([&] {
              Adam(toy.parameters, {}).set_group_steps({1, 2, 3});
            }),
            "adam: steps of 3 groups for 2 groups of parameters");

  Parameters parameters;
  const ParamId first = parameters.add("a", {1}, {});
  parameters.begin_group("b");
  parameters.add("b", {1}, {});
  parameters.begin_group("");
  const ParamId last = parameters.add("c", {1}, {});
  EXPECT_EQ(parameters.groups().size(), 2u);
  EXPECT_EQ(parameters.params()[static_cast<std::size_t>(last.index)].group,
            parameters.params()[static_cast<std::size_t>(first.index)].group);

  toy.parameters.set_trainable("encoder", false);
  toy.parameters.set_trainable("head", false);
  Tape tape;
  EXPECT_EQ(error_of([&] { tape.backward(toy.loss(tape, 1)); }),
            "backward: nothing was recorded for this loss; is the tape an inference tape?");
}

TEST(WeightDecay, LeavesBiasesAndNormsAloneByteForByte) {
  const auto after_a_step = [](double weight_decay, Decay decay) {
    Toy toy(Dtype::f32);
    Adam adam(toy.parameters, {.weight_decay = weight_decay, .decoupled = true}, decay);
    Step step(toy.parameters, adam);
    EXPECT_TRUE(toy.step(step, 1, 0.01).committed);
    std::map<std::string, std::vector<double>> out;
    for (const ParamId id : ids_of(toy.parameters)) {
      out[toy.parameters.name(id)] = toy.parameters.value(id).values<double>();
    }
    return out;
  };
  const auto without = after_a_step(0, Decay::weights), weights = after_a_step(50, Decay::weights),
             all = after_a_step(50, Decay::all);
  ASSERT_EQ(without.size(), 5u);
  for (const auto& [name, values] : without) {
    EXPECT_EQ(weights.at(name) == values, !is_weight(name)) << name;
    const bool began_at_zero = name == "encoder.norm.bias";
    EXPECT_EQ(all.at(name) == values, began_at_zero) << name;
  }
}

}  // namespace
}  // namespace unet::tests::parameter_groups_test
