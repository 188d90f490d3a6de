#include "apps/run/inference.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/core/error.h"

namespace unet {
namespace {

/// No network that has learnt anything comes near; its squares still fit into a float.
constexpr float kMost = 1e15f;

bool all_sound(std::span<const float> values) {
  unsigned odd = 0;
  for (const float value : values) odd |= std::abs(value) <= kMost ? 0u : 1u;
  return odd == 0;
}

/// The same for a layer's values, which may lie in a slice, on a device or in bf16.
bool all_sound(const Tensor& values) {
  if (!values.device().is_cpu() || values.dtype() != Dtype::f32 || !values.dense()) {
    return all_sound(values.values<float>());
  }
  return all_sound(std::span(values.data<float>(), static_cast<std::size_t>(values.size())));
}

}  // namespace

std::vector<float> host_values(const Tensor& tensor) {
  const Tensor host = tensor.to(Device());
  return {host.data<float>(), host.data<float>() + host.size()};
}

void FiniteCheck::watch_every_layer(Tape& tape) {
  tape.watch([this](const std::string& layer, const Tensor& values) {
    if (where_.empty() && !all_sound(values)) where_ = layer;
  });
}

void FiniteCheck::watch(Tape& tape) {
  if (!std::exchange(watched_, true)) watch_every_layer(tape);
}

void FiniteCheck::operator()(const Tensor& images, std::span<const float> logits, const std::string& of) {
  const bool sound = all_sound(logits);
  if (sound && where_.empty()) return;
  if (where_.empty()) {
    Tape tape(Tape::Mode::inference);
    watch_every_layer(tape);
    models::logits(model_, tape, images);
  }
  throw Error(
      "{}: on {} the network's values make no sense; the first layer with values that are not finite, or beyond "
      "{:.0e}, "
      "is \"{}\". The file is damaged or its training diverged: use another checkpoint",
      checkpoint_, of, kMost, where_);
}

}  // namespace unet
