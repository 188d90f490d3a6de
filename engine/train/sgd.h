// SGD with momentum over the arenas: kernels/sgd.h.
#pragma once

#include "engine/train/optimizer.h"
#include "kernels/sgd.h"

namespace unet {

class Sgd : public Optimizer {
 public:
  /// Momenta begin at 0. parameters outlives the rule. Throws Error unless the momentum is in [0, 1), and for
  /// Nesterov's form above 0.
  Sgd(Parameters& parameters, const kernels::SgdSpec& spec, Decay decay = Decay::weights);

 private:
  void advance(std::size_t group, const kernels::StepControl* control) override;
  void move(const Stretch& stretch, const kernels::StepControl* control, const kernels::Ranges& gradients) override;

  kernels::SgdSpec spec_;
};

}  // namespace unet
