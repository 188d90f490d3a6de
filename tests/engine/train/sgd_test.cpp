// SGD over groups of parameters, against a plain loop in f64; its state in a file; misuse. The step itself against
// PyTorch: tests/kernels/cpu/sgd_test.cpp.
#include "engine/train/sgd.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "engine/train/checkpoint.h"
#include "tests/engine/train/toy.h"
#include "tests/support/file_support.h"

namespace unet::tests::sgd_test {
namespace {

bool is_weight(const std::string& name) { return name.ends_with("conv.weight") || name == "head.weight"; }

/// One parameter: torch.optim.SGD, which passes over it while it has no gradient, behind a decay of its own.
struct Plain {
  std::vector<double> p, b;

  void update(const std::vector<double>& gradient, double scale, double lr, const kernels::SgdSpec& spec,
              double decay) {
    for (std::size_t i = 0; i < p.size(); ++i) {
      const double g = scale * gradient[i];
      p[i] *= 1 - lr * decay;
      b[i] = spec.momentum * b[i] + g;
      p[i] -= lr * (spec.nesterov ? g + spec.momentum * b[i] : b[i]);
    }
  }
};

struct Setting {
  kernels::SgdSpec spec;
  Decay decay = Decay::weights;
};

/// What ctest lists the case by.
void PrintTo(const Setting& setting, std::ostream* out) {
  *out << setting.spec.momentum << (setting.spec.nesterov ? " Nesterov" : "") << ", decay " << setting.spec.weight_decay
       << (setting.decay == Decay::all ? " of all" : "");
}

class SgdGroups : public testing::TestWithParam<Setting> {};
INSTANTIATE_TEST_SUITE_P(, SgdGroups,
                         testing::Values(Setting{{.momentum = 0}}, Setting{{.momentum = 0.9}},
                                         Setting{{.momentum = 0.9, .weight_decay = 0.3}},
                                         Setting{{.momentum = 0.8, .nesterov = true, .weight_decay = 0.3},
                                                 Decay::all}));

TEST_P(SgdGroups, AreFrozenAndThawedAsInPyTorch) {
  const kernels::SgdSpec spec = GetParam().spec;
  Toy toy;
  Sgd sgd(toy.parameters, spec, GetParam().decay);
  Step step(toy.parameters, sgd);
  const auto ids = static_cast<int>(toy.parameters.params().size());
  std::vector<Plain> plain;
  for (int i = 0; i < ids; ++i) {
    const std::vector<double> start = toy.parameters.value({i}).values<double>();
    plain.push_back({start, std::vector<double>(start.size())});
  }
  constexpr double kLr = 0.2, kClip = 0.02, kScale = 0.3;
  toy.parameters.set_lr_scale("encoder", kScale);
  for (int t = 1; t <= 12; ++t) {
    toy.parameters.set_trainable("encoder", t > 5);
    toy.parameters.set_trainable("head", t != 9 && t != 10);
    step.begin({.lr = kLr, .clip_norm = kClip});
    toy.pass(step, static_cast<std::uint64_t>(t));
    std::map<int, std::vector<double>> gradients;  // of the parameters that have one
    double squares = 0;
    for (int i = 0; i < ids; ++i) {
      if (!toy.parameters.has_gradient({i})) continue;
      gradients[i] = toy.parameters.gradient({i}).values<double>();
      for (const double g : gradients[i]) squares += g * g;
    }
    const double scale = std::min(1.0, kClip / (std::sqrt(squares) + 1e-6));
    EXPECT_LT(scale, 1) << "clipping must be seen";
    for (const auto& [index, gradient] : gradients) {
      const std::string& name = toy.parameters.name({index});
      const bool decayed = GetParam().decay == Decay::all || is_weight(name);
      plain[static_cast<std::size_t>(index)].update(gradient, scale, name.starts_with("head") ? kLr : kScale * kLr,
                                                    spec, decayed ? spec.weight_decay : 0);
    }
    step.commit();
    ASSERT_TRUE(step.take_result()->committed);
    for (int i = 0; i < ids; ++i) {
      EXPECT_LE(max_relative(toy.parameters.value({i}).values<double>(), plain[static_cast<std::size_t>(i)].p), 1e-12)
          << toy.parameters.name({i}) << " after step " << t;
    }
  }
  EXPECT_EQ(sgd.group_steps(), (std::vector<std::int64_t>{7, 10}));
  EXPECT_EQ(sgd.steps(), 10);
}

TEST(Sgd, GoesOnExactlyFromAFile) {
  const TemporaryFolder folder;
  const kernels::SgdSpec spec{.momentum = 0.9, .nesterov = true, .weight_decay = 0.1};
  Toy whole, halves, again;
  Sgd sgd(whole.parameters, spec), sgd_halves(halves.parameters, spec), sgd_again(again.parameters, spec);
  Step step(whole.parameters, sgd), step_halves(halves.parameters, sgd_halves), step_again(again.parameters, sgd_again);
  for (std::uint64_t i = 1; i <= 6; ++i) whole.step(step, i, 0.1);
  for (std::uint64_t i = 1; i <= 3; ++i) halves.step(step_halves, i, 0.1);
  save_training(folder / "t", halves.parameters, sgd_halves, {});
  const SafetensorsFile file(folder / "t");
  EXPECT_EQ(file.find("state.sgd_steps")->shape, std::vector<std::int64_t>{2});
  load_training(file, again.parameters, sgd_again);
  for (std::uint64_t i = 4; i <= 6; ++i) again.step(step_again, i, 0.1);
  EXPECT_EQ(again.parameters.values().values<double>(), whole.parameters.values().values<double>());
  EXPECT_EQ(sgd_again.moments()[0].values.values<double>(), sgd.moments()[0].values.values<double>());
  EXPECT_EQ(sgd_again.group_steps(), sgd.group_steps());
}

TEST(Sgd, MomentaThatNoTrainingLeavesAreRefused) {
  const TemporaryFolder folder;
  Toy toy;
  Sgd sgd(toy.parameters, {.momentum = 0.5});
  for (const double bad : {3e18, -3e18, std::nan("")}) {
    sgd.moments()[0].values.data<double>()[3] = bad;
    save_training(folder / "bad", toy.parameters, sgd, {});
    const std::string error = error_of([&] { load_training(SafetensorsFile(folder / "bad"), toy.parameters, sgd); });
    EXPECT_NE(error.find("\"state.sgd_momentum\" holds "), error.npos) << error;
    EXPECT_NE(error.find("at element 3, expected -2e+18 to 2e+18"), error.npos) << error;
  }
}

TEST(Sgd, MisuseIsAnErrorThatSaysWhat) {
  Toy toy;
  for (const double momentum : {-0.1, 1.0, std::nan("")}) {
    EXPECT_NE(error_of([&] { Sgd(toy.parameters, {.momentum = momentum}); }).find("expected 0 or more and less than 1"),
              std::string::npos);
  }
  EXPECT_EQ(error_of([&] { Sgd(toy.parameters, {.momentum = 0, .nesterov = true}); }),
            "sgd: Nesterov's form needs a momentum above 0");
  EXPECT_EQ(error_of([&] {
              Sgd(toy.parameters, {}).set_group_steps({1, 2, 3});
            }),
            "sgd: steps of 3 groups for 2 groups of parameters");
}

}  // namespace
}  // namespace unet::tests::sgd_test
