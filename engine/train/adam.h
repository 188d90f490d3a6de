// Adam over the arenas: kernels/adam.h.
#pragma once

#include "engine/train/optimizer.h"
#include "kernels/adam.h"

namespace unet {

class Adam : public Optimizer {
 public:
  /// Moments and clocks begin at 0. parameters outlives the rule.
  Adam(Parameters& parameters, const kernels::AdamSpec& spec, Decay decay = Decay::weights);

  /// First and second moments.
  const Tensor& m() const { return moments()[0].values; }
  const Tensor& v() const { return moments()[1].values; }

 private:
  void advance(std::size_t group, const kernels::StepControl* control) override;
  void move(const Stretch& stretch, const kernels::StepControl* control, const kernels::Ranges& gradients) override;
  kernels::AdamSpec spec_of(std::size_t group) const;

  kernels::AdamSpec spec_;
};

}  // namespace unet
