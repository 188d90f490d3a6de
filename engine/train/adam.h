// Adam over the arenas: the rule of a training step. When a step becomes real is not its business: engine/train/step.h.
#pragma once

#include <vector>

#include "engine/autograd/parameters.h"
#include "kernels/adam.h"

namespace unet {

/// What weight decay pulls towards 0: only parameters of rank 2 and more (weights, but neither biases nor what batch
/// norms scale and shift by), or all of them.
enum class Decay { weights, all };

class Adam {
 public:
  /// Moments and clocks begin at 0. parameters outlives the rule.
  Adam(Parameters& parameters, const kernels::AdamSpec& spec, Decay decay = Decay::weights);

  /// Moves the groups that are trainable, their moments and clocks by a step, if control->verdict is commit; in the
  /// device's order. control: in its memory. gradients: of the whole arena, clipped and all finite by `control`.
  void update(const kernels::StepControl* control, const kernels::Ranges& gradients);

  /// Committed steps of each of parameters.groups(). Waits for the device.
  std::vector<std::int64_t> group_steps() const;
  /// Throws Error unless there is a number for each group.
  void set_group_steps(const std::vector<std::int64_t>& steps);
  /// Of the group that has the most. Waits for the device.
  std::int64_t steps() const;

  /// First and second moments, laid out as parameters.values().
  const Tensor& m() const { return m_; }
  const Tensor& v() const { return v_; }
  /// A kernels::AdamClock for each of parameters.groups(), as f64.
  const Tensor& clocks() const { return clocks_; }

 private:
  /// Elements [begin, end) of the arenas, of one group, all decayed or none.
  struct Stretch {
    std::int64_t begin, end;
    std::size_t group;
    bool decayed;
  };

  kernels::AdamSpec spec_of(std::size_t group) const;

  Parameters& parameters_;
  kernels::AdamSpec spec_;
  std::vector<Stretch> stretches_;
  Tensor m_, v_;
  Tensor clocks_;
};

}  // namespace unet
