// Reverse-mode differentiation on a flat tape: ops append a backward function each, backward() runs them from the end
// and drops every function, with all it saved, as soon as it has run. No graph, no sort, no recursion; gradients of a
// variable that is used twice are added in the (fixed) order of the tape.
//
// An op: check -> allocate -> run the kernel -> tape.output(...) -> tape.record(...). Its backward function keeps the
// tensors it needs and the ids, not the Vars, of the others, so nothing stays alive longer than it must.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/autograd/parameters.h"
#include "engine/core/tensor.h"

namespace unet {

/// A variable's place on its tape; constants have none.
using VarId = std::int32_t;
inline constexpr VarId kConstant = -1;

/// A value and its place on the tape. The default Var is "not given".
struct Var {
  Tensor value;
  VarId id = kConstant;
  const char* name = "";  // of a parameter, for messages
  /// Makes the value again from what the op that made it keeps anyway; empty where it cannot.
  std::shared_ptr<const std::function<Tensor()>> again = nullptr;

  bool defined() const { return value.defined(); }
  bool wants_gradient() const { return id != kConstant; }
  const Shape& shape() const { return value.shape(); }
};

/// What a backward function keeps of an input: its value or, where that can be made again, the way to do so. The memory
/// of a value that nobody keeps is free between its use forward and its use backward.
class Kept {
 public:
  explicit Kept(const Var& var) : value_(var.again ? Tensor() : var.value), again_(var.again) {}
  Tensor value() const { return again_ ? (*again_)() : value_; }
  /// The last use: nobody holds it here any more.
  Tensor take() { return again_ ? (*std::exchange(again_, nullptr))() : std::exchange(value_, Tensor()); }

 private:
  Tensor value_;
  std::shared_ptr<const std::function<Tensor()>> again_;
};

class Tape {
 public:
  enum class Mode {
    record,    // training: batch statistics, gradients
    inference  // nothing is recorded; running statistics
  };

  explicit Tape(Mode mode = Mode::record) : mode_(mode) {}
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  bool recording() const { return mode_ == Mode::record; }

  /// A constant: data.
  Var input(const Tensor& value) const { return {value, kConstant, ""}; }
  /// A variable whose gradient is kept for gradient(); tests and outside programs.
  Var leaf(const Tensor& value);
  /// A parameter: its gradient goes into the arena, written by the step's first backward pass, added to by later ones;
  /// a constant if its group is not trainable. `parameters` outlives the tape.
  Var param(Parameters& parameters, ParamId id);
  /// The same as convolutions read it: a bf16 copy where the model has one, whose gradient is bf16 too.
  Var operand(Parameters& parameters, ParamId id);

  /// Runs the recorded functions from the end, with d(loss) = seed, [1] f64 on the loss's device, or 1; the device
  /// reads it when it comes to it. loss is a scalar [1]. The tape is empty afterwards. Throws Error if the loss is no
  /// scalar or nothing was recorded for it.
  void backward(const Var& loss, const Tensor& seed = {});
  /// The gradient of a leaf after backward(), dense or a view; undefined if none reached it.
  Tensor gradient(const Var& leaf) const;

  /// From now on every layer shows what it makes, in the order of the pass: its name, as its parameters begin, and
  /// values that may be a slice.
  using Watcher = std::function<void(const std::string& layer, const Tensor& values)>;
  void watch(Watcher watcher) { watcher_ = std::move(watcher); }

  // ---- for layers and ops ----

  /// A layer's result; `id` is one of its parameters.
  void show(const Parameters& parameters, ParamId id, const Tensor& values) const;

  /// An op's result: a variable if the tape records and any of the inputs wants a gradient, else a constant.
  Var output(const Tensor& value, std::initializer_list<const Var*> inputs);
  /// Appends the backward function of the op whose outputs were just made.
  void record(std::function<void()> backward) { nodes_.push_back(std::move(backward)); }
  /// The gradient that has arrived for an output, which the tape forgets; undefined if none has.
  Tensor take_gradient(VarId id);
  /// Where an op may write the gradient of an input: a fresh tensor of its dtype or, for a parameter without one yet,
  /// its slice of the arena. Undefined for a constant: that gradient is not wanted. Must be handed to add_gradient once
  /// written.
  Tensor gradient_target(VarId id) const;
  /// The same for the input of an op that can write the gradient over the input itself: its memory, unless somebody
  /// else holds it.
  Tensor gradient_target(VarId id, const Tensor& value) const;
  /// A gradient for an input: the first is kept as it is (it may be a pitched view), a second is added to it.
  void add_gradient(VarId id, const Tensor& gradient);

 private:
  struct Slot {
    Shape shape;
    Dtype dtype = Dtype::f32;
    Device device;
    Tensor gradient;
    Parameters* parameters = nullptr;
    ParamId param;
  };
  VarId add_slot(const Tensor& value);
  Var param(Parameters& parameters, ParamId id, const Tensor& value);
  const Slot& slot(VarId id) const { return slots_[static_cast<std::size_t>(id)]; }

  Mode mode_;
  Watcher watcher_;
  std::vector<Slot> slots_;
  std::vector<std::function<void()>> nodes_;
};

}  // namespace unet
