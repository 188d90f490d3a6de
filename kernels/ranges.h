// A flat range in two parts, one behind the other, each in a dtype of its own: the gradients of a model whose
// convolution weights have theirs in bf16. Elements are counted through both.
#pragma once

#include "kernels/view.h"

namespace unet::kernels {

struct Ranges {
  ConstView first, second;  // flat, dense; first may be empty

  Ranges(const ConstView& only) : second(only) {}
  Ranges(const View& only) : second(only) {}
  Ranges(const ConstView& front, const ConstView& back) : first(front), second(back) {}

  std::int64_t size() const { return first.size() + second.size(); }
};

}  // namespace unet::kernels
