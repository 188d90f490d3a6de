// The two parts of a flat range (kernels/ranges.h) for one kernel: its blocks are cut from both, so that none has
// elements of two dtypes.
#pragma once

#include "kernels/cuda/partial_sums.h"
#include "kernels/ranges.h"

namespace unet::kernels::cuda {

struct Part {
  const void* data = nullptr;
  bool narrow = false;                // bf16, else f32
  std::int64_t offset = 0, size = 0;  // in the whole range
  std::int64_t per_block = 1, blocks = 0;
};

struct Parts {
  Part first, second;

  unsigned blocks() const { return static_cast<unsigned>(first.blocks + second.blocks); }
};

/// The cut of each part as cut() says. Throws std::logic_error for dtypes other than f32 and bf16.
inline Parts parts_of(const Ranges& ranges, std::int64_t least, std::int64_t most) {
  const auto part = [&](const ConstView& view, std::int64_t offset) {
    const Cut blocks = cut(view.size(), least, most);
    Part out;
    dispatch(view.dtype, [&]<class T>(T) { out.narrow = sizeof(T) == 2; });
    out.data = view.data;
    out.offset = offset;
    out.size = view.size();
    out.per_block = blocks.per_block;
    out.blocks = blocks.count;
    return out;
  };
  return {part(ranges.first, 0), part(ranges.second, ranges.first.size())};
}

/// Calls body(data, begin, end, offset) for the elements [begin, end) of the part that the block belongs to.
template <class Body>
__device__ inline void with_part(const Parts& parts, std::int64_t block, Body&& body) {
  const bool in_first = block < parts.first.blocks;
  // Field by field: a reference to one of two arguments would send both to memory.
  const auto own = [&](auto field) { return in_first ? parts.first.*field : parts.second.*field; };
  const std::int64_t per_block = own(&Part::per_block), offset = own(&Part::offset);
  const std::int64_t begin = (in_first ? block : block - parts.first.blocks) * per_block;
  const std::int64_t end = min(begin + per_block, own(&Part::size));
  const void* const data = own(&Part::data);
  if (own(&Part::narrow)) {
    body(static_cast<const bf16*>(data), begin, end, offset);
  } else {
    body(static_cast<const float*>(data), begin, end, offset);
  }
}

}  // namespace unet::kernels::cuda
