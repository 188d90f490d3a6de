#include "kernels/sgd.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "kernels/cpu/isa/sgd.h"
#include "tests/kernels/cpu/losses.h"

namespace unet::kernels::test::sgd_test {
namespace {

struct State {
  std::vector<double> p, b;
};

struct Case {
  double lr = 0.05;
  SgdSpec spec;
};

using Gradients = std::vector<std::vector<double>>;

template <class T>
std::vector<double> as_doubles(Guarded<T>& values) {
  const std::vector<T> copy = values.values();
  return {copy.begin(), copy.end()};
}

/// All steps from b = 0; state after step `stop`.
template <class T>
State run(const Case& with, const std::vector<double>& start, const Gradients& gradients, std::size_t stop,
          double grad_scale = 1) {
  Guarded<T> p(start), b(std::vector<double>(start.size()));
  for (std::size_t t = 0; t < stop; ++t) {
    Guarded<T> g(gradients[t]);
    const StepControl control{.lr = with.lr, .grad_scale = grad_scale};
    cpu::sgd(with.spec, &control, g.flat(), p.flat(), b.flat(), {});
    EXPECT_EQ(g.values(), std::vector<T>(gradients[t].begin(), gradients[t].end()));
    EXPECT_TRUE(g.intact() && p.intact() && b.intact());
  }
  return {as_doubles(p), as_doubles(b)};
}

/// torch.optim.SGD word by word, but for a decay of its own (AdamW's: before the step, by the step's rate).
State naive(const Case& with, const std::vector<double>& start, const Gradients& gradients, double grad_scale) {
  State s{start, std::vector<double>(start.size())};
  const double lr = with.spec.lr_scale * with.lr;
  for (const std::vector<double>& gradient : gradients) {
    for (std::size_t i = 0; i < start.size(); ++i) {
      double g = grad_scale * gradient[i];
      s.p[i] -= lr * with.spec.weight_decay * s.p[i];
      s.b[i] = with.spec.momentum * s.b[i] + g;
      g = with.spec.nesterov ? g + with.spec.momentum * s.b[i] : s.b[i];
      s.p[i] -= lr * g;
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

TEST(Sgd, ParityWithRecordedPyTorchValues) {
  const auto records = nlohmann::json::parse(std::ifstream(places::source("tests/kernels/cpu/sgd_values.json")))["sgd"];
  ASSERT_EQ(records.size(), 4u);
  for (const auto& record : records) {
    const Case with{record["lr"], {.momentum = record["momentum"], .nesterov = record["nesterov"]}};
    const auto start = record["start"].get<std::vector<double>>();
    const auto gradients = record["gradients"].get<Gradients>();
    ASSERT_EQ(gradients.size(), 10u);
    for (const auto& [key, steps] : {std::pair("first", std::size_t{1}), std::pair("last", gradients.size())}) {
      SCOPED_TRACE(key);
      const State f64 = run<double>(with, start, gradients, steps), f32 = run<float>(with, start, gradients, steps);
      const auto p = record[key]["p"].get<std::vector<double>>(), b = record[key]["b"].get<std::vector<double>>();
      EXPECT_LE(nmse(f64.p, p), 1e-28);
      EXPECT_LE(nmse(f64.b, b), 1e-28);
      EXPECT_LE(nmse(f32.p, p), 1e-13);
      EXPECT_LE(nmse(f32.b, b), 1e-13);
    }
  }
}

TEST(Sgd, EqualsTheAlgorithmForAnyLength) {
  for (const std::size_t count : {1u, 7u, 16u, 33u, 1000u, 40001u}) {
    for (const Case& with : {Case{}, Case{0.02, {.momentum = 0, .weight_decay = 0.5, .lr_scale = 0.25}},
                             Case{0.02, {.momentum = 0.95, .weight_decay = 3}},
                             Case{0.02, {.momentum = 0.8, .nesterov = true, .weight_decay = 3, .lr_scale = 2}}}) {
      const auto start = random_values(count, 0);
      const Gradients gradients{random_values(count, 1), random_values(count, 2), random_values(count, 3)};
      const State expected = naive(with, start, gradients, 0.37), f64 = run<double>(with, start, gradients, 3, 0.37),
                  f32 = run<float>(with, start, gradients, 3, 0.37);
      EXPECT_LE(nmse(f64.p, expected.p), 1e-28);
      EXPECT_LE(nmse(f64.b, expected.b), 1e-28);
      EXPECT_LE(nmse(f32.p, expected.p), 1e-13);
      EXPECT_LE(nmse(f32.b, expected.b), 1e-13);
    }
  }
}

TEST(Sgd, EveryInstructionSetAgrees) {
  const auto tables = runnable(cpu::baseline::sgd_loops, cpu::avx2::sgd_loops, cpu::avx512::sgd_loops);
  const cpu::SgdFactors factors{0.5, 0.9, 0.99, 0.01, 0.02};
  const auto start = random_values(1003, 0), gradient = random_values(1003, 1);
  const auto with = [&](const auto& loops, auto zero) {
    using T = decltype(zero);
    Guarded<T> p(start), g(gradient), b(gradient);
    loops.step(factors, 1003, g.begin(), p.begin(), b.begin());
    EXPECT_TRUE(p.intact() && b.intact());
    return as_doubles(p);
  };
  const auto expected = with(tables[0]->of(double{}), double{});
  for (const auto* table : tables) {
    EXPECT_LE(nmse(with(table->of(float{}), float{}), expected), 1e-13);
    EXPECT_LE(nmse(with(table->of(double{}), double{}), expected), 1e-28);
  }
}

TEST(Sgd, AStepThatIsNotCommittedChangesNothing) {
  const auto start = random_values(100, 0);
  Guarded<float> p(start), b(start), g(random_values(100, 1));
  const std::vector<float> before = p.values();
  for (const StepVerdict verdict :
       {StepVerdict::bad_loss, StepVerdict::bad_lr, StepVerdict::bad_gradient, StepVerdict::bad_statistics}) {
    const StepControl control{.lr = 0.1, .verdict = verdict};
    cpu::sgd({.weight_decay = 0.1}, &control, g.flat(), p.flat(), b.flat(), {});
    EXPECT_EQ(p.values(), before);
    EXPECT_EQ(b.values(), before);
  }
}

TEST(Sgd, ZeroPaddingStaysZero) {
  std::vector<double> start = random_values(64, 0), gradient = random_values(64, 1);
  std::fill(start.begin() + 40, start.end(), 0.0);
  std::fill(gradient.begin() + 40, gradient.end(), 0.0);
  const State state = run<float>({0.1, {.nesterov = true, .weight_decay = 0.1}}, start, {gradient, gradient}, 2);
  for (std::size_t i = 40; i < 64; ++i) {
    EXPECT_EQ(state.p[i], 0);
    EXPECT_EQ(state.b[i], 0);
  }
}

TEST(Sgd, SameBytesForAnyNumberOfThreads) {
  const auto start = random_values(100'003, 0);
  const Gradients gradients{random_values(100'003, 1), random_values(100'003, 2)};
  expect_same_for_any_threads([&] {
    const State state = run<float>({}, start, gradients, 2);
    std::vector<unsigned char> bytes;
    append_bytes(bytes, state.p.data(), state.p.size());
    append_bytes(bytes, state.b.data(), state.b.size());
    return bytes;
  });
}

}  // namespace
}  // namespace unet::kernels::test::sgd_test
