#include "kernels/cuda/runtime.h"

namespace unet::kernels::cuda {
namespace {

Runtime* chosen = nullptr;

}  // namespace

Runtime& runtime() { return chosen != nullptr ? *chosen : default_runtime(); }

void set_runtime(Runtime* instead) { chosen = instead; }

}  // namespace unet::kernels::cuda
