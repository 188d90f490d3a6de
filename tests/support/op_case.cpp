#include "tests/support/op_case.h"

#include <cmath>
#include <memory>

#include "engine/core/rng.h"

namespace unet::tests {
namespace {

constexpr double kStep = 1e-6;
constexpr double kAbsolute = 1e-5;
constexpr double kRelative = 1e-3;
constexpr std::int64_t kElements = 96;  // of an input that are differentiated; more: a random subset

/// Numbers of a case depend on its name alone, not on its place in a list.
std::uint64_t stream_of(const OpCase& op_case, std::uint64_t what) {
  std::uint64_t hash = 0;
  for (const char c : op_case.name) hash = mix64(hash ^ static_cast<unsigned char>(c));
  return mix64(hash ^ what);
}

std::vector<Sliced> make_inputs(const OpCase& op_case, Dtype dtype) {
  std::vector<Sliced> out;
  for (std::size_t i = 0; i < op_case.inputs.size(); ++i) {
    const Input& input = op_case.inputs[i];
    const std::uint64_t stream = stream_of(op_case, i);
    const std::int64_t count = input.shape.size();
    out.emplace_back(input.shape, dtype, input.extra,
                     input.fill == Fill::normal ? normal_values(count, stream) : spaced_values(count, stream));
  }
  return out;
}

std::vector<Tensor> tensors_of(const std::vector<Sliced>& inputs) {
  std::vector<Tensor> out;
  for (const Sliced& input : inputs) out.push_back(input.tensor());
  return out;
}

/// Runs forward on a tape; inputs whose `wanted` is set are leaves.
std::vector<Var> forward(const OpCase& op_case, Tape& tape, const std::vector<Tensor>& inputs,
                         const std::vector<bool>& wanted, std::vector<Var>& leaves) {
  leaves.clear();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    leaves.push_back(wanted[i] ? tape.leaf(inputs[i]) : tape.input(inputs[i]));
  }
  return op_case.run(tape, leaves);
}

/// Cotangents alternate between dense and pitched, so that backward sees both.
std::vector<Sliced> make_cotangents(const OpCase& op_case, const std::vector<Tensor>& inputs) {
  Tape tape(Tape::Mode::inference);
  std::vector<Var> vars;
  const std::vector<Var> outputs = forward(op_case, tape, inputs, std::vector<bool>(inputs.size(), false), vars);
  std::vector<Sliced> out;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Tensor& value = outputs[i].value;
    const std::uint64_t stream = stream_of(op_case, 100 + i);
    const std::int64_t extra = value.shape().rank() == 4 && stream % 2 == 0 ? 3 : 0;
    out.emplace_back(value.shape(), value.dtype(), extra, normal_values(value.size(), stream));
  }
  return out;
}

long double inner_product(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = a.values<double>(), y = b.values<double>();
  long double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += static_cast<long double>(x[i]) * y[i];
  return sum;
}

long double evaluate(const OpCase& op_case, const std::vector<Tensor>& inputs, const std::vector<Tensor>& cotangents) {
  Tape tape(Tape::Mode::inference);
  std::vector<Var> vars;
  const std::vector<Var> outputs = forward(op_case, tape, inputs, std::vector<bool>(inputs.size(), false), vars);
  long double sum = 0;
  for (std::size_t i = 0; i < outputs.size(); ++i) sum += inner_product(outputs[i].value, cotangents[i]);
  return sum;
}

struct Pass {
  std::vector<Tensor> outputs, gradients;
};

Pass recorded_pass(const OpCase& op_case, const std::vector<Tensor>& inputs, const std::vector<Tensor>& cotangents,
                   const std::vector<bool>& wanted) {
  Tape tape;
  std::vector<Var> leaves;
  const std::vector<Var> outputs = forward(op_case, tape, inputs, wanted, leaves);
  Pass out;
  for (const Var& output : outputs) out.outputs.push_back(output.value);
  tape.backward(weighted_sum(tape, outputs, cotangents));
  for (const Var& leaf : leaves) out.gradients.push_back(tape.gradient(leaf));
  return out;
}

std::string where(const OpCase& op_case, const char* what, std::size_t index) {
  return fmt::format("seed {}, {}: {} {}", kSeed, op_case.name, what, index);
}

/// Memory beside what an op may write, after a pass.
void check_memory(const OpCase& op_case, const std::vector<Sliced>& inputs, const std::vector<Sliced>& cotangents,
                  const Pass& pass, std::vector<std::string>& problems) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].guards_intact()) problems.push_back(where(op_case, "wrote beside input", i));
  }
  for (std::size_t i = 0; i < cotangents.size(); ++i) {
    if (!cotangents[i].guards_intact()) problems.push_back(where(op_case, "wrote beside cotangent", i));
  }
  for (std::size_t i = 0; i < pass.outputs.size(); ++i) {
    if (!slack_intact(pass.outputs[i])) problems.push_back(where(op_case, "wrote behind output", i));
  }
  for (std::size_t i = 0; i < pass.gradients.size(); ++i) {
    if (!slack_intact(pass.gradients[i])) problems.push_back(where(op_case, "wrote behind gradient", i));
  }
  if (broken_block_guards() > 0) problems.push_back(where(op_case, "wrote outside a block; blocks:", 0));
}

}  // namespace

Var weighted_sum(Tape& tape, const std::vector<Var>& outputs, const std::vector<Tensor>& cotangents) {
  Var any;
  long double sum = 0;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    sum += inner_product(outputs[i].value, cotangents[i]);
    if (outputs[i].wants_gradient()) any = outputs[i];
  }
  const Var out = tape.output(Tensor::of<double>({1}, Dtype::f64, {static_cast<double>(sum)}), {&any});
  if (!out.wants_gradient()) return out;
  std::vector<VarId> ids;
  for (const Var& output : outputs) ids.push_back(output.id);
  tape.record([&tape, ids, cotangents, id = out.id] {
    tape.take_gradient(id);
    for (std::size_t i = 0; i < ids.size(); ++i) tape.add_gradient(ids[i], cotangents[i]);
  });
  return out;
}

PassResult run_pass(const OpCase& op_case, const std::vector<Tensor>& inputs, const std::vector<Tensor>& cotangents) {
  const Pass pass = recorded_pass(op_case, inputs, cotangents, std::vector<bool>(inputs.size(), true));
  PassResult out;
  for (const Tensor& output : pass.outputs) out.outputs.push_back(output.values<double>());
  for (const Tensor& gradient : pass.gradients) {
    out.gradients.push_back(gradient.defined() ? gradient.values<double>() : std::vector<double>());
  }
  return out;
}

std::vector<std::string> check_gradients(const OpCase& op_case) {
  const PoisonScope poison;
  std::vector<std::string> problems;
  const std::vector<Sliced> sliced = make_inputs(op_case, Dtype::f64);
  const std::vector<Tensor> inputs = tensors_of(sliced);
  std::vector<std::vector<double>> before;
  for (const Tensor& input : inputs) before.push_back(input.values<double>());
  const std::vector<Sliced> sliced_cotangents = make_cotangents(op_case, inputs);
  const std::vector<Tensor> cotangents = tensors_of(sliced_cotangents);

  const Pass pass = recorded_pass(op_case, inputs, cotangents, std::vector<bool>(inputs.size(), true));
  check_memory(op_case, sliced, sliced_cotangents, pass, problems);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].values<double>() != before[i]) problems.push_back(where(op_case, "changed input", i));
    if (!pass.gradients[i].defined()) {
      problems.push_back(where(op_case, "no gradient for input", i));
      continue;
    }
    const std::vector<double> gradient = pass.gradients[i].values<double>();
    if (pass.gradients[i].shape() != inputs[i].shape()) {
      problems.push_back(where(op_case, "shape of the gradient of input", i));
      continue;
    }
    std::vector<bool> only(inputs.size(), false);
    only[i] = true;
    const Pass alone = recorded_pass(op_case, inputs, cotangents, only);
    if (alone.gradients[i].values<double>() != gradient) {
      problems.push_back(where(op_case, "gradient alone differs, input", i));
    }

    const std::int64_t size = inputs[i].size(), channels = inputs[i].shape().channels();
    const std::uint64_t stream = stream_of(op_case, 200 + i);
    for (std::int64_t k = 0; k < std::min(size, kElements); ++k) {
      const std::uint64_t draw = random_bits(kSeed, Purpose::test, stream, static_cast<std::uint64_t>(k));
      const std::int64_t at =
          size <= kElements ? k : static_cast<std::int64_t>(draw % static_cast<std::uint64_t>(size));
      double& element = inputs[i].data<double>()[at / channels * inputs[i].pitch() + at % channels];
      const double value = element;
      element = value + kStep;
      const long double above = evaluate(op_case, inputs, cotangents);
      element = value - kStep;
      const long double below = evaluate(op_case, inputs, cotangents);
      element = value;
      const auto numeric = static_cast<double>((above - below) / (2 * kStep));
      const double analytic = gradient[static_cast<std::size_t>(at)];
      const bool close = std::abs(analytic - numeric) <= kAbsolute + kRelative * std::abs(numeric);
      if (!close && problems.size() < 10) {  // a NaN is not close
        problems.push_back(fmt::format("{}, element {}: backward {:.9g}, differences {:.9g}",
                                       where(op_case, "gradient of input", i), at, analytic, numeric));
      }
    }
  }
  return problems;
}

std::vector<std::string> check_precision(const OpCase& op_case) {
  const PoisonScope poison;
  std::vector<std::string> problems;
  Pass passes[2];
  for (const Dtype dtype : {Dtype::f32, Dtype::f64}) {
    const std::vector<Sliced> inputs = make_inputs(op_case, dtype);
    const std::vector<Sliced> cotangents = make_cotangents(op_case, tensors_of(inputs));
    Pass& pass = passes[dtype == Dtype::f32 ? 0 : 1];
    pass = recorded_pass(op_case, tensors_of(inputs), tensors_of(cotangents), std::vector<bool>(inputs.size(), true));
    check_memory(op_case, inputs, cotangents, pass, problems);
  }
  const auto compare = [&](const char* what, const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (!a[i].defined() || !b[i].defined()) {
        problems.push_back(where(op_case, what, i) + " is missing");
        continue;
      }
      const double error = nmse(a[i].values<double>(), b[i].values<double>());
      worst = std::max(worst, error);
      if (!(error <= op_case.nmse)) {
        problems.push_back(fmt::format("{}: NMSE {:.3g} > {:.3g}", where(op_case, what, i), error, op_case.nmse));
      }
    }
    testing::Test::RecordProperty(std::string("nmse_") + what, fmt::format("{:.3g}", worst));
  };
  compare("output", passes[0].outputs, passes[1].outputs);
  compare("gradient", passes[0].gradients, passes[1].gradients);
  return problems;
}

}  // namespace unet::tests
