#include "engine/core/dispatch.h"
#include "engine/ops/check.h"
#include "engine/ops/ops.h"
#include "kernels/elementwise.h"

namespace unet {

Var add(Tape& tape, const Var& a, const Var& b) {
  check::activation("add", "a", a.value);
  check::activation("add", "b", b.value);
  check::shape("add", "b", b.value, a.shape(), "N,H,W,C");
  check::alike("add", "b", b.value, a.value, "a");
  const Tensor y = Tensor::empty(a.shape(), a.value.dtype(), a.value.device());
  dispatch<cpu::add, cuda::add>(a.value.device(), a.value.const_view(), b.value.const_view(), y.view());
  const Var out = tape.output(y, {&a, &b});
  if (!out.wants_gradient()) return out;
  tape.record([&tape, a_id = a.id, b_id = b.id, y_id = out.id] {
    const Tensor dy = tape.take_gradient(y_id);
    tape.add_gradient(a_id, dy);
    tape.add_gradient(b_id, dy);
  });
  return out;
}

}  // namespace unet
