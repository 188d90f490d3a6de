// The checks that ops share. Each throws Error beginning with the op's name.
#pragma once

#include "engine/autograd/tape.h"
#include "engine/core/error.h"

namespace unet::check {

/// `conv2d "down1.weight"` or just `conv2d`.
inline std::string title(const char* op, const Var& named = {}) {
  return *named.name != '\0' ? fmt::format("{} \"{}\"", op, named.name) : std::string(op);
}

/// x is an activation [N,H,W,C] with at least one element, f32, f64 or bf16.
inline void activation(const std::string& op, const char* what, const Tensor& x) {
  if (!x.defined()) throw Error("{}: {} is not given", op, what);
  if (x.shape().rank() != 4 || x.size() == 0) {
    throw Error("{}: {} must be [N,H,W,C] with at least one element, got {}", op, what, x.shape().str());
  }
  if (x.dtype() != Dtype::f32 && x.dtype() != Dtype::f64 && x.dtype() != Dtype::bf16) {
    throw Error("{}: {} must be f32, f64 or bf16, got {}", op, what, kernels::name_of(x.dtype()));
  }
}

inline void dense(const std::string& op, const char* what, const Tensor& x) {
  if (!x.dense()) {
    throw Error("{}: {} {} is a slice (pitch {}); a dense tensor is expected", op, what, x.shape().str(), x.pitch());
  }
}

inline void same_device(const std::string& op, const char* what, const Tensor& a, const Tensor& x,
                        const char* name_of_x = "x") {
  if (a.device() != x.device()) {
    throw Error("{}: {} is on {} but {} is on {}", op, what, a.device().str(), name_of_x, x.device().str());
  }
}

/// a has x's dtype and device.
inline void alike(const std::string& op, const char* what, const Tensor& a, const Tensor& x,
                  const char* name_of_x = "x") {
  if (a.dtype() != x.dtype()) {
    throw Error("{}: {} is {} but {} is {}", op, what, kernels::name_of(a.dtype()), name_of_x,
                kernels::name_of(x.dtype()));
  }
  same_device(op, what, a, x, name_of_x);
}

/// What parameters and statistics beside activations of this dtype are: bf16 is storage for activations alone.
inline Dtype parameter_dtype(Dtype activations) { return activations == Dtype::bf16 ? Dtype::f32 : activations; }

/// a, of `expected` dtype, belongs to x.
inline void belongs(const std::string& op, const char* what, const Tensor& a, Dtype expected, const Tensor& x) {
  if (a.dtype() != expected) {
    throw Error("{}: {} is {} but x is {}{}", op, what, kernels::name_of(a.dtype()), kernels::name_of(x.dtype()),
                expected == x.dtype() ? "" : fmt::format(", beside which {} is expected", kernels::name_of(expected)));
  }
  same_device(op, what, a, x);
}

/// A bias, gamma, beta or statistics beside x.
inline void parameter(const std::string& op, const char* what, const Tensor& a, const Tensor& x) {
  belongs(op, what, a, parameter_dtype(x.dtype()), x);
}

/// Convolution weights beside x: a device that multiplies bf16 reads copies of the weights in it.
inline void weight(const std::string& op, const Tensor& a, const Tensor& x) {
  belongs(op, "weight", a, x.device().is_cpu() ? parameter_dtype(x.dtype()) : x.dtype(), x);
}

inline void shape(const std::string& op, const char* what, const Tensor& a, const Shape& expected,
                  const char* letters) {
  if (a.shape() != expected) {
    throw Error("{}: {} must be {} ({}), got {}", op, what, expected.str(), letters, a.shape().str());
  }
}

/// `out` if given and fitting, else a new tensor.
inline Tensor destination(const std::string& op, const Tensor& out, const Shape& expected, const Tensor& x) {
  if (!out.defined()) return Tensor::empty(expected, x.dtype(), x.device());
  shape(op, "out", out, expected, "N,H,W,C");
  alike(op, "out", out, x);
  return out;
}

/// logits [N,H,W,C] dense and labels u8 [N,H,W].
inline void labels(const std::string& op, const Tensor& logits, const Tensor& labels) {
  activation(op, "logits", logits);
  if (logits.dtype() == Dtype::bf16) throw Error("{}: logits must be f32 or f64, got bf16", op);
  dense(op, "logits", logits);
  if (logits.shape()[3] > 256) {
    throw Error("{}: logits {} (N,H,W,C) have more classes than u8 labels can name", op, logits.shape().str());
  }
  if (!labels.defined() || labels.dtype() != Dtype::u8) throw Error("{}: labels must be u8 [N,H,W]", op);
  shape(op, "labels", labels, {logits.shape()[0], logits.shape()[1], logits.shape()[2]}, "N,H,W");
  same_device(op, "labels", labels, logits, "logits");
}

/// Every label is one of the classes or ignored.
inline void no_invalid_labels(const std::string& op, std::int64_t invalid, const Tensor& logits, int ignore_index) {
  if (invalid > 0) {
    throw Error("{}: {} labels are neither one of the {} classes nor the ignored value {}", op, invalid,
                logits.shape()[3], ignore_index);
  }
}

/// Labels [N,H,W] as kernels take them: [N,H,W,1].
inline kernels::ConstView label_view(const Tensor& labels) {
  const Shape& s = labels.shape();
  return labels.reshape({s[0], s[1], s[2], 1}).const_view();
}

}  // namespace unet::check
