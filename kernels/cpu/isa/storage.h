// Storage types of activations, the type each is computed in, and tables of inner loops with a column for each.
#pragma once

#include "kernels/view.h"

namespace unet::kernels::cpu {

template <class T>
struct Storage {
  using Compute = T;
};
template <>
struct Storage<bf16> {
  using Compute = float;
};
template <class T>
using Compute = typename Storage<T>::Compute;

/// A table of inner loops with a column for each type.
template <template <class> class Loops, class... T>
struct LoopTable : Loops<T>... {
  template <class Of>
  const Loops<Of>& of(Of) const {
    return *this;
  }
};
template <template <class> class Loops>
using ByStorage = LoopTable<Loops, float, double, bf16>;
template <template <class> class Loops>
using ByFloat = LoopTable<Loops, float, double>;

}  // namespace unet::kernels::cpu
