#include "kernels/adam.h"

#include "kernels/cpu/isa/adam.h"
#include "tests/kernels/cpu/losses.h"

namespace unet::kernels::test::adam_test {
namespace {

struct State {
  std::vector<double> p, m, v;
};

template <class T>
std::vector<double> as_doubles(Guarded<T>& values) {
  const std::vector<T> copy = values.values();
  return {copy.begin(), copy.end()};
}

/// All steps from m = v = 0; state after step `stop`.
struct Case {
  double lr = 1e-3;
  AdamSpec spec;
};

template <class T>
State run(const Case& with, const std::vector<double>& start, const std::vector<std::vector<double>>& gradients,
          std::size_t stop, double grad_scale = 1) {
  Guarded<T> p(start), m(std::vector<double>(start.size())), v(std::vector<double>(start.size()));
  AdamClock clock;
  for (std::size_t t = 0; t < stop; ++t) {
    Guarded<T> g(gradients[t]);
    const StepControl control{.lr = with.lr, .grad_scale = grad_scale};
    cpu::adam_clock(with.spec, &control, &clock);
    cpu::adam(with.spec, &control, &clock, g.flat(), p.flat(), m.flat(), v.flat(), {});
    EXPECT_EQ(g.values(), std::vector<T>(gradients[t].begin(), gradients[t].end()));
    EXPECT_TRUE(g.intact() && p.intact() && m.intact() && v.intact());
  }
  return {as_doubles(p), as_doubles(m), as_doubles(v)};
}

/// Algorithm 1 with PyTorch's conventions, word by word.
State naive(const Case& with, const std::vector<double>& start, const std::vector<std::vector<double>>& gradients,
            double grad_scale) {
  State s{start, std::vector<double>(start.size()), std::vector<double>(start.size())};
  const AdamSpec& spec = with.spec;
  for (std::size_t t = 1; t <= gradients.size(); ++t) {
    for (std::size_t i = 0; i < start.size(); ++i) {
      double g = grad_scale * gradients[t - 1][i];
      if (spec.decoupled) {
        s.p[i] *= 1 - with.lr * spec.weight_decay;
      } else {
        g += spec.weight_decay * s.p[i];
      }
      s.m[i] = spec.beta1 * s.m[i] + (1 - spec.beta1) * g;
      s.v[i] = spec.beta2 * s.v[i] + (1 - spec.beta2) * g * g;
      const double unbiased = s.v[i] / (1 - std::pow(spec.beta2, static_cast<double>(t)));
      s.p[i] -=
          with.lr / (1 - std::pow(spec.beta1, static_cast<double>(t))) * s.m[i] / (std::sqrt(unbiased) + spec.epsilon);
    }
  }
  return s;
}

std::vector<double> random_values(std::size_t count, std::uint64_t stream) {
  std::mt19937_64 random(kSeed + stream);
  std::normal_distribution<double> normal(0, 0.3);
  std::vector<double> values;
  for (std::size_t i = 0; i < count; ++i) values.push_back(static_cast<double>(static_cast<float>(normal(random))));
  return values;
}

TEST(Adam, ParityWithRecordedPyTorchValues) {
  ASSERT_EQ(torch_values()["adam"].size(), 3u);
  for (const auto& record : torch_values()["adam"]) {
    const Case with{record["lr"],
                    {.beta1 = record["beta1"],
                     .beta2 = record["beta2"],
                     .epsilon = record["epsilon"],
                     .weight_decay = record["weight_decay"],
                     .decoupled = record["decoupled"]}};
    const auto start = record["start"].get<std::vector<double>>();
    const auto gradients = record["gradients"].get<std::vector<std::vector<double>>>();
    ASSERT_EQ(gradients.size(), 10u);
    for (const auto& [key, steps] : {std::pair("first", std::size_t{1}), std::pair("last", gradients.size())}) {
      SCOPED_TRACE(key);
      const State f64 = run<double>(with, start, gradients, steps), f32 = run<float>(with, start, gradients, steps);
      const auto& expected = record[key];
      EXPECT_LE(nmse(f64.p, expected["p"].get<std::vector<double>>()), 1e-22);
      EXPECT_LE(nmse(f64.m, expected["m"].get<std::vector<double>>()), 1e-22);
      EXPECT_LE(nmse(f64.v, expected["v"].get<std::vector<double>>()), 1e-22);
      EXPECT_LE(nmse(f32.p, expected["p"].get<std::vector<double>>()), 1e-13);
      EXPECT_LE(nmse(f32.m, expected["m"].get<std::vector<double>>()), 1e-13);
      EXPECT_LE(nmse(f32.v, expected["v"].get<std::vector<double>>()), 1e-13);
    }
  }
}

TEST(Adam, EqualsTheAlgorithmForAnyLength) {
  for (const std::size_t count : {1u, 7u, 16u, 33u, 1000u, 40001u}) {
    for (const Case& with : {Case{}, Case{0.02, {.weight_decay = 0.1}},
                             Case{0.02, {.epsilon = 1e-3, .weight_decay = 0.1, .decoupled = true}}}) {
      const auto start = random_values(count, 0);
      const std::vector<std::vector<double>> gradients{random_values(count, 1), random_values(count, 2),
                                                       random_values(count, 3)};
      const State expected = naive(with, start, gradients, 0.37), f64 = run<double>(with, start, gradients, 3, 0.37),
                  f32 = run<float>(with, start, gradients, 3, 0.37);
      EXPECT_LE(nmse(f64.p, expected.p), 1e-28);
      EXPECT_LE(nmse(f64.m, expected.m), 1e-28);
      EXPECT_LE(nmse(f64.v, expected.v), 1e-28);
      EXPECT_LE(nmse(f32.p, expected.p), 1e-13);
      EXPECT_LE(nmse(f32.m, expected.m), 1e-13);
      EXPECT_LE(nmse(f32.v, expected.v), 1e-13);
    }
  }
}

TEST(Adam, EveryInstructionSetAgrees) {
  const auto tables = runnable(cpu::baseline::adam_loops, cpu::avx2::adam_loops, cpu::avx512::adam_loops);
  const cpu::AdamFactors factors{0.5, 0.1, 0.99, 0.9, 0.999, 0.01, 1.5, 1e-8};
  const auto start = random_values(1003, 0), gradient = random_values(1003, 1);
  const auto with = [&](const auto& loops, auto zero) {
    using T = decltype(zero);
    Guarded<T> p(start), g(gradient), m(gradient), v(std::vector<double>(start.size(), 0.25));
    loops.step(factors, 1003, g.begin(), p.begin(), m.begin(), v.begin());
    EXPECT_TRUE(p.intact() && m.intact() && v.intact());
    return as_doubles(p);
  };
  const auto expected = with(tables[0]->of(double{}), double{});
  for (const auto* table : tables) {
    EXPECT_LE(nmse(with(table->of(float{}), float{}), expected), 1e-13);
    EXPECT_LE(nmse(with(table->of(double{}), double{}), expected), 1e-28);
  }
}

TEST(Adam, AStepThatIsNotCommittedChangesNothing) {
  const auto start = random_values(100, 0);
  Guarded<float> p(start), m(start), v(start), g(random_values(100, 1));
  const std::vector<float> before = p.values();
  StepControl control{.lr = 0.1};
  AdamClock clock{.steps = 3, .step_size = 0.1};
  for (const StepVerdict verdict :
       {StepVerdict::bad_loss, StepVerdict::bad_lr, StepVerdict::bad_gradient, StepVerdict::bad_statistics}) {
    control.verdict = verdict;
    cpu::adam_clock({}, &control, &clock);
    EXPECT_EQ(clock.steps, 3);
    cpu::adam({.weight_decay = 0.1}, &control, &clock, g.flat(), p.flat(), m.flat(), v.flat(), {});
    EXPECT_EQ(p.values(), before);
    EXPECT_EQ(m.values(), before);
    EXPECT_EQ(v.values(), before);
  }
}

TEST(StepControl, TheFirstReasonThatAppliesDecides) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  struct Row {
    double loss, lr, gradients, statistics;
    StepVerdict verdict;
  };
  for (const Row& row :
       {Row{1, 0.1, 25, 1, StepVerdict::commit}, Row{nan, nan, nan, nan, StepVerdict::bad_loss},
        Row{1, nan, nan, nan, StepVerdict::bad_lr}, Row{1, 1e30, 25, 1, StepVerdict::bad_lr},
        Row{1, -1, 25, 1, StepVerdict::bad_lr}, Row{1, 0, nan, nan, StepVerdict::bad_gradient},
        Row{1, 0, 1.1e36, 1, StepVerdict::bad_gradient}, Row{1, 0, 25, nan, StepVerdict::bad_statistics}}) {
    StepControl control{.loss = 9};  // of the step before
    // Two blocks of each; what is bad in a later one, or a later range, is not the first.
    const SquareSum gradients[2] = {{row.gradients, 4}, {0, 12}};
    const SquareSum statistics[4] = {{1, -1}, {1, -1}, {row.statistics, -1}, {row.statistics, 9}};
    const double clip_norm = 2.5, shares[2] = {0.25, 0.75}, losses[2] = {row.loss, row.loss};
    cpu::decide(&control, {&row.lr, &clip_norm, shares, losses, 2}, {gradients, 2}, {statistics, 2}, 2);
    EXPECT_EQ(control.verdict, row.verdict);
    EXPECT_EQ(control.first_bad_gradient, 4);
    EXPECT_EQ(control.first_bad_statistic, 9);
    if (row.verdict != StepVerdict::commit) continue;
    EXPECT_EQ(control.loss, 1);
    EXPECT_EQ(control.grad_norm, 5);
    EXPECT_EQ(control.grad_scale, 2.5 / (5 + 1e-6));
    EXPECT_EQ(control.lr, row.lr);
  }
}

TEST(AdamClock, GoesOnByACommittedStep) {
  AdamClock clock{.steps = 6};
  const StepControl control{.lr = 0.1};
  cpu::adam_clock({.beta1 = 0.5, .beta2 = 0.75}, &control, &clock);
  EXPECT_EQ(clock.steps, 7);
  EXPECT_EQ(clock.step_size, 0.1 / (1 - std::pow(0.5, 7)));
  EXPECT_EQ(clock.root_factor, 1 / std::sqrt(1 - std::pow(0.75, 7)));
}

TEST(Adam, ZeroPaddingStaysZero) {
  std::vector<double> start = random_values(64, 0), gradient = random_values(64, 1);
  std::fill(start.begin() + 40, start.end(), 0.0);
  std::fill(gradient.begin() + 40, gradient.end(), 0.0);
  const State state = run<float>({1e-3, {.weight_decay = 0.1}}, start, {gradient, gradient}, 2);
  for (std::size_t i = 40; i < 64; ++i) {
    EXPECT_EQ(state.p[i], 0);
    EXPECT_EQ(state.m[i], 0);
    EXPECT_EQ(state.v[i], 0);
  }
}

TEST(Adam, SameBytesForAnyNumberOfThreads) {
  const auto start = random_values(100'003, 0);
  const std::vector<std::vector<double>> gradients{random_values(100'003, 1), random_values(100'003, 2)};
  expect_same_for_any_threads([&] {
    const State state = run<float>({}, start, gradients, 2);
    std::vector<unsigned char> bytes;
    append_bytes(bytes, state.p.data(), state.p.size());
    append_bytes(bytes, state.v.data(), state.v.size());
    return bytes;
  });
}

}  // namespace
}  // namespace unet::kernels::test::adam_test
