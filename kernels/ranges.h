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

  /// Elements [begin, end), counted through both. A part without any is empty.
  Ranges slice(std::int64_t begin, std::int64_t end) const {
    const auto part = [&](const ConstView& whole, std::int64_t offset) -> ConstView {
      const std::int64_t from = begin < offset ? 0 : begin - offset;
      const std::int64_t to = whole.size() < end - offset ? whole.size() : end - offset;
      ConstView out;
      if (from >= to) return out;
      out.dtype = whole.dtype;
      out.dims = {1, 1, 1, out.pitch = to - from};
      out.data = static_cast<const std::byte*>(whole.data) + from * static_cast<std::int64_t>(size_of(whole.dtype));
      return out;
    };
    return {part(first, 0), part(second, first.size())};
  }
};

}  // namespace unet::kernels
