// Pixels that a thread treats together: four of a run, or the cells of a 2x2 pooling window.
#pragma once

#include "kernels/cuda/tile.h"

namespace unet::kernels::cuda {

/// How the pixels of x [N,H,W,C] are cut into groups. items: pixels or, with partial ones at odd edges, windows.
struct Groups {
  int H, W;
  int items, per_block, chunks;
};

struct Group {
  int pixel[4];  // one that is not inside is one that is
  bool inside[4];
  int pooled;  // the pixel of the pooled image; -1: none
};

/// Throws std::length_error for more than 2^31 - 2^16 pixels.
inline std::int64_t group_items(const Extent& x, bool windows) {
  require_countable(x.pixels());
  return windows ? x.n() * ((x.h() + 1) / 2) * ((x.w() + 1) / 2) : x.pixels();
}

/// Items of a thread's group.
__host__ __device__ constexpr int items_together(bool windows) { return windows ? 1 : 4; }

inline Groups groups_of(const Extent& x, const Tile& cut) {
  return {static_cast<int>(x.h()), static_cast<int>(x.w()), cut.items, cut.per_block, cut.chunks};
}

/// The group that begins with `item`, of a block whose items end at `end`.
template <bool Windows>
__device__ inline Group group_at(const Groups& groups, int item, int end) {
  Group out;
  if constexpr (!Windows) {
    const int step = static_cast<int>(blockDim.y);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      out.inside[k] = item + k * step < end;
      out.pixel[k] = out.inside[k] ? item + k * step : item;
    }
    out.pooled = -1;
  } else {
    const int across = (groups.W + 1) / 2, down = (groups.H + 1) / 2;
    const int row = item / across, i = item % across, n = row / down, j = row % down;
    const bool right = 2 * i + 1 < groups.W, below = 2 * j + 1 < groups.H;
    const int first = (n * groups.H + 2 * j) * groups.W + 2 * i;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      out.inside[k] = (k % 2 == 0 || right) && (k / 2 == 0 || below);
      out.pixel[k] = out.inside[k] ? first + k / 2 * groups.W + k % 2 : first;
    }
    out.pooled = right && below ? (n * (groups.H / 2) + j) * (groups.W / 2) + i : -1;
  }
  return out;
}

/// Calls body(Group) for every group of this thread among the items of `block`.
template <bool Windows, class Body>
__device__ inline void for_groups(const Groups& groups, int block, Body&& body) {
  const Range range = items_of(block, groups.items, groups.per_block);
  const int step = items_together(Windows) * static_cast<int>(blockDim.y);
  for (int item = range.begin + static_cast<int>(threadIdx.y); item < range.end; item += step) {
    body(group_at<Windows>(groups, item, range.end));
  }
}

/// Chunks of the four pixels of a group.
template <int N, class T>
__device__ inline void load_group(const T* from, std::int64_t pitch, const Group& group, int channel,
                                  Chunk<T, N> (&to)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) to[i] = load<N>(from + group.pixel[i] * pitch + channel);
}

/// Stores what is inside.
template <class T, int N>
__device__ inline void store_group(T* to, std::int64_t pitch, const Group& group, int channel,
                                   const Chunk<T, N> (&from)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (group.inside[i]) store(to + group.pixel[i] * pitch + channel, from[i]);
  }
}

/// Adds `gradient` to that of the window's first maximum, in scan order; NaN wins, and of several the last.
__device__ inline void add_to_winner(const float (&window)[4], float gradient, float (&to)[4]) {
  const auto beats = [](float later, float earlier) { return later > earlier || later != later; };
  const bool second = beats(window[1], window[0]), fourth = beats(window[3], window[2]);
  const bool below = beats(fourth ? window[3] : window[2], second ? window[1] : window[0]);
  const float above_gets = below ? 0 : gradient, below_gets = below ? gradient : 0;
  to[0] += second ? 0 : above_gets;
  to[1] += second ? above_gets : 0;
  to[2] += fourth ? 0 : below_gets;
  to[3] += fourth ? below_gets : 0;
}

__device__ inline float maximum_of(const float (&window)[4]) {
  float best = window[0];
#pragma unroll
  for (int k = 1; k < 4; ++k) best = window[k] > best || window[k] != window[k] ? window[k] : best;
  return best;
}

}  // namespace unet::kernels::cuda
