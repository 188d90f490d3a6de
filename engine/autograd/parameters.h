// The arenas: everything a model learns, in a few flat ranges.
//
//   values      masters, [total] in the model's dtype; a Param is a named slice, 256-byte aligned, padding zero; the
//               weights that convolutions read come first
//   copies      those weights rounded to bf16, where convolutions read that (CUDA in bf16); written whenever values
//               change
//   gradients   the same layout, each slice in the dtype that its backward produces: beside copies, those of the
//               weights are bf16. Once a second gradient is added to one of them all of them are f32 until the step
//               ends
//   running     running mean and variance of every batch norm, flat
//   pending     ranges like `running` that commit will fold in, in order: the n-th holds the batch statistics of each
//               batch norm's n-th use in the step under way
//
// The gradient norm, the finite check and checkpoints walk these ranges whole, an optimizer in one stretch for each
// group and kind of decay. Forward and backward write only gradients and pending. In training `values` and `running`
// change when a step commits (engine/train/step.h), all together or not at all; loading a checkpoint is the other way.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/tensor.h"

namespace unet {

/// How a parameter begins: uniform in [-bound, bound), or normal around 0 with a deviation, or, where both are 0, a
/// constant.
struct Init {
  double bound = 0;
  double constant = 0;
  double deviation = 0;
};

struct ParamId {
  int index = -1;
};
struct StatsId {
  int index = -1;
};

/// The running statistics of one batch norm, each [C]. pending_*: where a recorded use leaves its batch statistics.
struct RunningStats {
  Tensor mean, variance;
  Tensor pending_mean, pending_variance;
};

class Parameters {
 public:
  struct Param {
    std::string name;  // PyTorch's, e.g. "inc.double_conv.0.weight"
    Shape shape;       // in memory: convolution weights [Cout,Kh,Kw,Cin]
    Init init;
    bool convolution = false;  // read by one
    std::size_t group = 0;     // in groups()
    std::int64_t offset = 0;   // of the slice, in elements
  };
  /// Parameters that are trained, or not, together: "encoder". An optimizer counts its steps for each group.
  struct Group {
    std::string name;
    bool trainable = true;
    double lr_scale = 1;  // times the step's learning rate
  };
  struct Stats {
    std::string
        name;  // the batch norm's prefix: ".running_mean", ".running_var", ".num_batches_tracked" follow on disk
    std::int64_t channels = 0;
    std::int64_t mean_offset = 0, variance_offset = 0;
    std::int64_t batches_tracked = 0;
    std::int64_t uses = 0;  // in the step under way: of the pending ranges, those that hold statistics of its
  };

  /// with_copies: convolutions read bf16 copies of the (f32) values. Not for training: there are no gradients, and what
  /// would be drawn is zero, to be read from a file.
  explicit Parameters(Dtype dtype = Dtype::f32, Device device = {}, bool with_copies = false, bool for_training = true)
      : dtype_(dtype), device_(device), with_copies_(with_copies), for_training_(for_training) {}
  Parameters(const Parameters&) = delete;
  Parameters& operator=(const Parameters&) = delete;

  /// Parameters added from now on belong to this group, a new one or one that is there; without any call, to one "".
  void begin_group(const std::string& name);
  /// Declares a parameter or a batch norm's statistics. Before initialize(). Throws Error if the name is taken.
  ParamId add(const std::string& name, const Shape& shape, Init init);
  /// The same for a weight that convolutions read: Tape::operand.
  ParamId add_operand(const std::string& name, const Shape& shape, Init init);
  StatsId add_stats(const std::string& name, std::int64_t channels);
  /// Lays out the arenas and fills them: parameters by their Init from (seed, parameter, element), means 0,
  /// variances 1.
  void initialize(std::uint64_t seed);

  Dtype dtype() const { return dtype_; }
  Device device() const { return device_; }
  const std::vector<Param>& params() const { return params_; }
  const std::vector<Stats>& stats() const { return stats_; }
  std::vector<Stats>& stats() { return stats_; }
  const std::vector<Group>& groups() const { return groups_; }
  bool trainable(ParamId id) const { return groups_[param(id).group].trainable; }
  /// From the next step on a group is trained or left alone: its parameters are constants to the tape, their gradients
  /// 0, and neither they nor their moments change. Throws Error if there is no such group.
  void set_trainable(const std::string& group, bool trainable);
  /// From the next step on the group learns at `scale` times the step's learning rate. Throws Error if there is no such
  /// group.
  void set_lr_scale(const std::string& group, double scale);
  /// Number of learnable values, padding not counted.
  std::int64_t count() const;

  Tensor value(ParamId id) const { return values_.range(param(id).offset, param(id).shape); }
  /// What a convolution reads: the bf16 copy where there is one, else the value.
  Tensor operand(ParamId id) const;
  /// Throws Error if they are not for training.
  Tensor gradient(ParamId id) const;
  const std::string& name(ParamId id) const { return param(id).name; }
  /// The parameter, or the batch norm, whose slice holds this element of the arenas.
  const Param& param_at(std::int64_t element) const;
  const Stats& stats_at(std::int64_t element) const;
  RunningStats running(StatsId id) const;
  /// The same for a recorded use, which reports into a pending range of its own.
  RunningStats record_statistics(StatsId id);

  /// The flat ranges.
  const Tensor& values() const { return values_; }
  const Tensor& copies() const { return copies_; }
  /// One range or, beside copies, two: the weights' and, behind them, all others'. Throws Error if they are not for
  /// training.
  std::vector<Tensor> gradients() const;
  const Tensor& running() const { return running_; }
  /// Pending statistics since the last end_step(): as many ranges as the most used batch norm has uses.
  const std::vector<Tensor>& pending() const { return pending_; }

  /// Whoever changes values other than by an optimizer calls this afterwards: the copies follow.
  void values_changed();
  /// Values and statistics become these, of the same form, and these what they were. No number is copied but to copies.
  void exchange(Tensor& values, Tensor& running);
  /// The step is over, committed or dropped: gradients count as absent again and pending statistics are gone.
  void end_step();
  /// A gradient that another is about to be added to. One in bf16 becomes f32, with all others, until the step ends.
  Tensor gradient_to_add_to(ParamId id);
  /// Zeroes the gradients that no backward pass of this step has written, so that the whole range can be read.
  void complete_gradients();

  /// Whether a backward pass of this step has written the parameter's gradient.
  bool has_gradient(ParamId id) const { return has_gradient_[static_cast<std::size_t>(id.index)]; }
  void set_has_gradient(ParamId id) { has_gradient_[static_cast<std::size_t>(id.index)] = true; }

 private:
  const Param& param(ParamId id) const { return params_[static_cast<std::size_t>(id.index)]; }
  std::int64_t total() const { return values_.size(); }
  void require_new(const std::string& name) const;
  void require_gradients() const;
  Group& group_named(const std::string& name);

  Dtype dtype_;
  Device device_;
  std::vector<Group> groups_;
  std::size_t group_ = 0;  // of the parameters added next
  std::vector<Param> params_;
  std::vector<Stats> stats_;
  std::vector<bool> has_gradient_;
  bool with_copies_, for_training_;
  std::int64_t copied_ = 0;  // elements that have copies, and bf16 gradients
  bool wide_ = false;        // sums_ instead of narrow_
  Tensor values_, copies_, running_;
  Tensor gradients_;      // of the elements from copied_ on
  Tensor narrow_, sums_;  // of those before; sums_ once a step needs them
  std::vector<Tensor> pending_;
};

}  // namespace unet
