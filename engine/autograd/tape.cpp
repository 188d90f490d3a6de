#include "engine/autograd/tape.h"

#include "engine/core/dispatch.h"
#include "kernels/elementwise.h"

namespace unet {

VarId Tape::add_slot(const Tensor& value) {
  Slot slot;
  slot.shape = value.shape();
  slot.dtype = value.dtype();
  slot.device = value.device();
  slots_.push_back(slot);
  return static_cast<VarId>(slots_.size()) - 1;
}

Var Tape::leaf(const Tensor& value) { return {value, recording() ? add_slot(value) : kConstant, ""}; }

Var Tape::param(Parameters& parameters, ParamId id) { return param(parameters, id, parameters.value(id)); }

Var Tape::operand(Parameters& parameters, ParamId id) { return param(parameters, id, parameters.operand(id)); }

Var Tape::param(Parameters& parameters, ParamId id, const Tensor& value) {
  Var var{value, kConstant, parameters.name(id).c_str()};
  if (recording() && parameters.trainable(id)) {
    var.id = add_slot(value);
    slots_.back().parameters = &parameters;
    slots_.back().param = id;
  }
  return var;
}

void Tape::show(const Parameters& parameters, ParamId id, const Tensor& values) const {
  if (!watcher_) return;
  const std::string& parameter = parameters.name(id);
  watcher_(parameter.substr(0, parameter.rfind('.')), values);
}

Var Tape::output(const Tensor& value, std::initializer_list<const Var*> inputs) {
  bool wanted = false;
  for (const Var* input : inputs) wanted = wanted || input->wants_gradient();
  return {value, recording() && wanted ? add_slot(value) : kConstant, ""};
}

void Tape::backward(const Var& loss, const Tensor& seed) {
  constexpr double kOne = 1;
  if (loss.shape() != Shape{1}) throw Error("backward: the loss must be a scalar [1], got {}", loss.shape().str());
  if (!loss.wants_gradient())
    throw Error("backward: nothing was recorded for this loss; is the tape an inference tape?");
  slots_[static_cast<std::size_t>(loss.id)].gradient =
      seed.defined() ? seed : Tensor::copy_of({1}, Dtype::f64, &kOne, loss.value.device());
  while (!nodes_.empty()) {
    const std::function<void()> node = std::move(nodes_.back());
    nodes_.pop_back();
    node();
  }
}

Tensor Tape::gradient(const Var& leaf) const { return leaf.wants_gradient() ? slot(leaf.id).gradient : Tensor(); }

Tensor Tape::take_gradient(VarId id) {
  if (id == kConstant) return {};
  return std::exchange(slots_[static_cast<std::size_t>(id)].gradient, Tensor());
}

Tensor Tape::gradient_target(VarId id) const {
  if (id == kConstant) return {};
  const Slot& target = slot(id);
  if (target.parameters != nullptr && !target.parameters->has_gradient(target.param)) {
    if (const Tensor place = target.parameters->gradient(target.param); place.dtype() == target.dtype) return place;
  }
  return Tensor::empty(target.shape, target.dtype, target.device);
}

Tensor Tape::gradient_target(VarId id, const Tensor& value) const {
  if (id == kConstant || slot(id).parameters != nullptr || !value.sole() || !value.dense()) return gradient_target(id);
  return value;
}

void Tape::add_gradient(VarId id, const Tensor& gradient) {
  if (id == kConstant || !gradient.defined()) return;
  Slot& target = slots_[static_cast<std::size_t>(id)];
  if (target.parameters != nullptr) {
    if (target.parameters->has_gradient(target.param)) {
      const Tensor sum = target.parameters->gradient_to_add_to(target.param);
      dispatch<cpu::add_to, cuda::add_to>(target.device, gradient.const_view(), sum.view());
      return;
    }
    const Tensor place = target.parameters->gradient(target.param);
    if (gradient.data<void>() != place.data<void>()) {
      dispatch<cpu::copy, cuda::copy>(target.device, gradient.const_view(), place.view());
    }
    target.parameters->set_has_gradient(target.param);
  } else if (!target.gradient.defined()) {
    target.gradient = gradient;
  } else {
    // Into a new tensor: the one that is there may be a view that another variable's gradient shares.
    const Tensor sum = Tensor::empty(target.shape, target.dtype, target.device);
    dispatch<cpu::add, cuda::add>(target.device, target.gradient.const_view(), gradient.const_view(), sum.view());
    target.gradient = sum;
  }
}

}  // namespace unet
