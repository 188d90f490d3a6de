// What the tests of whole networks share: records in PyTorch's layout, one training step, scopes for global settings.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "engine/core/device_memory.h"
#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/io/safetensors.h"
#include "engine/ops/conv_plans.h"
#include "engine/ops/ops.h"
#include "engine/train/adam.h"
#include "engine/train/step.h"
#include "kernels/cpu/parallel.h"
#include "models/unet.h"

namespace unet::test {

enum class Loss { cross_entropy, soft_dice };

inline const char* name_of(Loss loss) { return loss == Loss::cross_entropy ? "cross_entropy" : "soft_dice"; }

inline Var loss_of(Tape& tape, Loss loss, const Var& logits, const Tensor& labels) {
  return loss == Loss::cross_entropy ? softmax_cross_entropy(tape, logits, labels)
                                     : soft_dice_loss(tape, logits, labels);
}

inline double scalar(const Var& var) { return var.value.values<double>().at(0); }

/// [A,B,K,L] -> [A,K,L,B]: PyTorch's weights (both kinds of convolution) and activations to ours. Others stay.
inline std::vector<double> channels_last(const std::vector<std::int64_t>& shape, const std::vector<double>& values) {
  if (shape.size() != 4) return values;
  const std::int64_t A = shape[0], B = shape[1], P = shape[2] * shape[3];
  std::vector<double> out(values.size());
  for (std::int64_t a = 0; a < A; ++a) {
    for (std::int64_t b = 0; b < B; ++b) {
      for (std::int64_t p = 0; p < P; ++p) {
        out[static_cast<std::size_t>((a * P + p) * B + b)] = values[static_cast<std::size_t>((a * B + b) * P + p)];
      }
    }
  }
  return out;
}

/// A safetensors file of U8, F32 and F64 tensors, read as f64 in our layout. Throws Error for a missing name.
class Record {
 public:
  explicit Record(const std::string& path) : file_(path) {}

  const TensorInfo& info(const std::string& name) const {
    const TensorInfo* found = file_.find(name);
    if (found == nullptr) throw Error("the record has no \"{}\"", name);
    return *found;
  }
  std::vector<double> values(const std::string& name) const {
    switch (info(name).dtype) {
      case SafeDtype::kU8:
        return read<std::uint8_t>(info(name));
      case SafeDtype::kF32:
        return read<float>(info(name));
      case SafeDtype::kF64:
        return read<double>(info(name));
      default:
        throw Error("the record's \"{}\" has an unexpected dtype", name);
    }
  }

 private:
  template <class T>
  std::vector<double> read(const TensorInfo& info) const {
    std::vector<T> raw(info.elements());
    file_.read(info, raw.data());
    return channels_last(info.shape, std::vector<double>(raw.begin(), raw.end()));
  }

  SafetensorsFile file_;
};

/// max|a - b| / max|b|; infinite for different sizes and for anything that is not finite; where b is all zero, 0 only
/// if a is too.
inline double relative_error(const std::vector<double>& a, const std::vector<double>& b) {
  constexpr double kBad = std::numeric_limits<double>::infinity();
  if (a.size() != b.size()) return kBad;
  double difference = 0, largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) return kBad;
    difference = std::max(difference, std::abs(a[i] - b[i]));
    largest = std::max(largest, std::abs(b[i]));
  }
  if (largest == 0) return difference == 0 ? 0 : kBad;
  return difference / largest;
}

/// sum (a - b)^2 / sum b^2.
inline double nmse(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double difference = 0, power = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    power += b[i] * b[i];
  }
  return difference / power;
}

/// The largest of the errors seen, and whose it was.
struct Worst {
  double error = 0;
  std::string name = "none";

  void see(double e, const std::string& whose) {
    if (!(e <= error)) {
      error = e;
      name = whose;
    }
  }
};

/// Forces a convolution provider for the length of a scope.
class ProviderScope {
 public:
  explicit ProviderScope(kernels::ConvProvider provider) { set_conv_provider(provider); }
  ~ProviderScope() { set_conv_provider(kernels::ConvProvider::automatic); }
  ProviderScope(const ProviderScope&) = delete;
  ProviderScope& operator=(const ProviderScope&) = delete;
};

inline bool provider_builtin(kernels::ConvProvider provider) {
  return kernels::cpu::conv_provider_available(
      provider, {kernels::ConvPass::forward, {1, 1, false, false}, {1, 16, 16, 16, 16, 3, 3}, Dtype::f32});
}

class ThreadScope {
 public:
  explicit ThreadScope(int n) : before_(kernels::cpu::threads()) { kernels::cpu::set_threads(n); }
  ~ThreadScope() { kernels::cpu::set_threads(before_); }
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

 private:
  int before_;
};

/// Uniform in [-2, 2).
inline Tensor random_images(const Shape& shape, Dtype dtype, std::uint64_t seed) {
  std::vector<double> values(static_cast<std::size_t>(shape.size()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 4 * random_uniform(seed, Purpose::test, i) - 2;
  return Tensor::of(shape, dtype, values);
}

/// Labels 0..classes-1 in patches of 4x4 pixels, about one pixel in ten ignored.
inline Tensor random_labels(std::int64_t N, std::int64_t H, std::int64_t W, std::int64_t classes, std::uint64_t seed) {
  std::vector<std::uint8_t> values;
  for (std::int64_t n = 0; n < N; ++n) {
    for (std::int64_t h = 0; h < H; ++h) {
      for (std::int64_t w = 0; w < W; ++w) {
        const auto patch = static_cast<std::uint64_t>((n * H + h / 4) * W + w / 4);
        const std::uint64_t label = random_bits(seed, Purpose::test, patch, 1) % static_cast<std::uint64_t>(classes);
        values.push_back(random_bits(seed, Purpose::test, values.size(), 2) % 10 == 0
                             ? std::uint8_t{255}
                             : static_cast<std::uint8_t>(label));
      }
    }
  }
  return Tensor::of({N, H, W}, Dtype::u8, values);
}

/// Forward and backward, no commit. Returns the loss, [1].
inline Tensor run_pass(models::Segmenter& model, Loss loss, const Tensor& images, const Tensor& labels) {
  Tape tape;
  const Var value = loss_of(tape, loss, model.forward(tape, tape.input(images)), labels);
  tape.backward(value);
  return value.value;
}

inline StepResult train_step(models::Segmenter& model, Adam& adam, Loss loss, const Tensor& images,
                             const Tensor& labels, double lr) {
  Step step(model.parameters(), adam);
  step.begin({.lr = lr});
  Tape tape;
  step.backward(tape, loss_of(tape, loss, model.forward(tape, tape.input(images)), labels));
  step.commit();
  return step.take_result().value();
}

inline ParamId id_of(std::size_t i) { return {static_cast<int>(i)}; }

/// Initial weights from a record: those under PREFIX + NAME.
inline void load_recorded(const Record& record, const std::string& prefix, const Parameters& parameters) {
  for (std::size_t i = 0; i < parameters.params().size(); ++i) {
    const std::string& name = parameters.params()[i].name;
    const std::vector<double> values = record.values(prefix + name);
    const Tensor value = parameters.value(id_of(i));
    if (static_cast<std::int64_t>(values.size()) != value.size()) throw Error("\"{}\" has another size", name);
    const Tensor rounded = Tensor::of(value.shape(), value.dtype(), values);
    upload(value.data<void>(), value.device(), rounded.data<void>(), rounded.bytes());
  }
}

inline bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.data<void>(), b.data<void>(),
                     static_cast<std::size_t>(a.size()) * kernels::size_of(a.dtype())) == 0;
}

}  // namespace unet::test
