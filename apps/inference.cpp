#include "apps/inference.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"

namespace unet {
namespace {

bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

}  // namespace

Var logits_of(Tape& tape, models::UNet& model, const Machine& machine, const Tensor& images) {
  return model.forward(tape, normalize_images(tape, images, imagenet_normalization(), image_channels(3, machine.device),
                                              machine.activations));
}

std::vector<float> host_values(const Tensor& tensor) {
  const Tensor host = tensor.to(Device());
  return {host.data<float>(), host.data<float>() + host.size()};
}

void FiniteCheck::operator()(const Tensor& images, std::span<const float> logits, const std::string& of) {
  const bool finite = all_finite(logits);
  if (finite && !first_) return;
  first_ = false;
  std::string where;
  Tape tape(Tape::Mode::inference);
  tape.watch([&](const std::string& layer, const Tensor& values) {
    if (where.empty() && !all_finite(values.values<float>())) where = layer;
  });
  logits_of(tape, model_, machine_, images);
  if (finite && where.empty()) return;
  throw Error(
      "{}: on {} the network's values are not finite; the first layer with values that are not finite is \"{}\". The "
      "file is damaged or its training diverged: use another checkpoint",
      checkpoint_, of, where);
}

}  // namespace unet
