#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace unet {

Var join(Tape& tape, const Tensor& cat, const std::vector<Var>& parts) {
  check::activation("join", "cat", cat);
  std::int64_t begin = 0;
  for (const Var& part : parts) {
    check::activation("join", "a part", part.value);
    const std::int64_t end = begin + part.shape()[3];
    const Shape expected{cat.shape()[0], cat.shape()[1], cat.shape()[2], part.shape()[3]};
    if (part.shape() != expected || end > cat.shape()[3] ||
        part.value.data<void>() != cat.slice(begin, end).data<void>() || part.value.pitch() != cat.pitch()) {
      throw Error("join: part {} was not written into channels [{}, {}) of the tensor {}", part.shape().str(), begin,
                  end, cat.shape().str());
    }
    begin = end;
  }
  if (begin != cat.shape()[3]) {
    throw Error("join: the parts have {} channels together, the tensor is {} (N,H,W,C)", begin, cat.shape().str());
  }
  std::vector<std::pair<VarId, std::int64_t>> widths;
  Var any;
  for (const Var& part : parts) {
    widths.emplace_back(part.id, part.shape()[3]);
    if (part.wants_gradient()) any = part;
  }
  const Var out = tape.output(cat, {&any});
  if (!out.wants_gradient()) return out;
  tape.record([&tape, widths, id = out.id] {
    const Tensor dcat = tape.take_gradient(id);
    if (!dcat.defined()) return;
    std::int64_t at = 0;
    for (const auto& [part, width] : widths) {
      tape.add_gradient(part, dcat.slice(at, at + width));
      at += width;
    }
  });
  return out;
}

}  // namespace unet
