// What moves the weights in a step: the books that every rule keeps. The rules: adam.h, sgd.h. When a step becomes real
// is not their business: step.h.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/autograd/parameters.h"
#include "kernels/ranges.h"
#include "kernels/step_control.h"

namespace unet {

enum class OptimizerKind { adam, sgd };

/// "adam" or "sgd".
const char* name_of(OptimizerKind kind);

/// What weight decay pulls towards 0: only parameters of rank 2 and more (weights, but neither biases nor what batch
/// norms scale and shift by), or all of them.
enum class Decay { weights, all };

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// Moves the groups that are trainable, their moments and clocks by a step, if control->verdict is commit; in the
  /// device's order. control: in its memory. gradients: of the whole arena, clipped and all finite by `control`.
  void update(const kernels::StepControl* control, const kernels::Ranges& gradients);

  /// Committed steps of each of parameters.groups(). Waits for the device.
  std::vector<std::int64_t> group_steps() const;
  /// Throws Error unless there is a number for each group.
  void set_group_steps(const std::vector<std::int64_t>& steps);
  /// Of the group that has the most. Waits for the device.
  std::int64_t steps() const;

  /// A number that it keeps of each parameter, laid out as parameters.values(). No training leaves one outside of
  /// [low, high].
  struct Moment {
    std::string name;  // of its tensor in a file: "adam_m"
    Tensor values;
    double low = 0, high = 0;
  };
  const std::vector<Moment>& moments() const { return moments_; }
  /// "adam" or "sgd".
  const std::string& name() const { return name_; }
  /// How far each of parameters.groups() is, in memory of the device, and what a copy of it on the host says.
  const Tensor& clocks() const { return clocks_; }
  std::vector<std::int64_t> steps_of(const std::byte* clocks) const;

 protected:
  /// Elements [begin, end) of the arenas, of one group and with one decay.
  struct Stretch {
    std::int64_t begin, end;
    std::size_t group;
    double weight_decay;
  };

  /// clock_bytes: of a group's clock, which begins with the number of its committed steps. parameters outlives the
  /// rule.
  Optimizer(std::string name, Parameters& parameters, double weight_decay, Decay decay, std::size_t clock_bytes);

  /// A further moment, which begins at 0.
  void add_moment(const std::string& name, double low, double high);
  /// The clock of a group goes on by the step under way.
  virtual void advance(std::size_t group, const kernels::StepControl* control) = 0;
  /// Moves a stretch; its group's clock has gone on.
  virtual void move(const Stretch& stretch, const kernels::StepControl* control, const kernels::Ranges& gradients) = 0;

  double lr_scale(std::size_t group) const { return parameters_.groups()[group].lr_scale; }
  template <class Clock>
  Clock* clock(std::size_t group) const {
    return clocks_.data<Clock>() + group;
  }
  /// A stretch of a range that is laid out as parameters.values(); of the bf16 copies, which may be shorter or none.
  kernels::View part(const Tensor& range, const Stretch& stretch) const;
  kernels::View values(const Stretch& stretch) const { return part(parameters_.values(), stretch); }
  kernels::View copies(const Stretch& stretch) const { return part(parameters_.copies(), stretch); }
  kernels::View moment(std::size_t i, const Stretch& stretch) const { return part(moments_[i].values, stretch); }
  Device device() const { return parameters_.device(); }

 private:
  std::string name_;
  Parameters& parameters_;
  std::vector<Stretch> stretches_;
  std::vector<Moment> moments_;
  std::size_t clock_bytes_;
  Tensor clocks_;
};

}  // namespace unet
