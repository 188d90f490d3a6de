// From a run-time dtype to a template argument.
#pragma once

#include <stdexcept>
#include <string>

#include "kernels/view.h"

namespace unet::kernels {

/// Calls body(float{}) or body(double{}) for f32 or f64. Engine ops have checked the dtype before; anything else is
/// std::logic_error.
template <class Body>
decltype(auto) dispatch_float(Dtype dtype, Body&& body) {
  switch (dtype) {
    case Dtype::f32:
      return body(float{});
    case Dtype::f64:
      return body(double{});
    default:
      throw std::logic_error(std::string("dispatch_float: no kernel for dtype ") + name_of(dtype));
  }
}

/// The same with bf16 storage, for kernels that compute it in float: body(bf16{}) too.
template <class Body>
decltype(auto) dispatch_storage(Dtype dtype, Body&& body) {
  if (dtype == Dtype::bf16) return body(bf16{});
  return dispatch_float(dtype, body);
}

}  // namespace unet::kernels
