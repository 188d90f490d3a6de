#include "engine/core/dispatch.h"
#include "engine/ops/check.h"
#include "engine/ops/ops.h"
#include "kernels/elementwise.h"

namespace unet {

Var concat(Tape& tape, const std::vector<Var>& parts) {
  if (parts.empty()) throw Error("concat: at least one tensor is expected");
  const Tensor& first = parts.front().value;
  std::int64_t channels = 0;
  for (const Var& part : parts) {
    check::activation("concat", "a part", part.value);
    check::alike("concat", "a part", part.value, first, "the first");
    const Shape& s = part.shape();
    check::shape("concat", "a part", part.value, {first.shape()[0], first.shape()[1], first.shape()[2], s[3]},
                 "N,H,W,C");
    channels += s[3];
  }
  const Tensor cat =
      Tensor::empty({first.shape()[0], first.shape()[1], first.shape()[2], channels}, first.dtype(), first.device());
  std::vector<Var> written;
  std::int64_t begin = 0;
  for (const Var& part : parts) {
    const Tensor slice = cat.slice(begin, begin + part.shape()[3]);
    dispatch<cpu::copy, cuda::copy>(first.device(), part.value.const_view(), slice.view());
    written.push_back({slice, part.id, part.name});
    begin += part.shape()[3];
  }
  return join(tape, cat, written);
}

}  // namespace unet
