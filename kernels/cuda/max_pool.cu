#include "kernels/max_pool.h"

#include "kernels/cuda/groups.h"

namespace unet::kernels::cuda {
namespace {

/// Forward writes y, backward dx.
template <class T>
struct MaxPoolRun {
  Groups groups;
  const T *x, *dy;
  T *y, *dx;
  std::int64_t x_pitch, dy_pitch, y_pitch, dx_pitch;
};

template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads) max_pool_forward_kernel(MaxPoolRun<T> run) {
  const int channel = own_chunk() * N;
  if (own_chunk() >= run.groups.chunks) return;
  for_groups<true>(run.groups, static_cast<int>(blockIdx.x), [&](const Group& group) {
    if (group.pooled < 0) return;
    Chunk<T, N> x[4];
    load_group(run.x, run.x_pitch, group, channel, x);
    float y[N];
#pragma unroll
    for (int k = 0; k < N; ++k) y[k] = maximum_of({x[0][k], x[1][k], x[2][k], x[3][k]});
    store(run.y + group.pooled * run.y_pitch + channel, y);
  });
}

template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads) max_pool_backward_kernel(MaxPoolRun<T> run) {
  const int channel = own_chunk() * N;
  if (own_chunk() >= run.groups.chunks) return;
  for_groups<true>(run.groups, static_cast<int>(blockIdx.x), [&](const Group& group) {
    Chunk<T, N> dx[4] = {};
    if (group.pooled >= 0) {
      Chunk<T, N> x[4];
      load_group(run.x, run.x_pitch, group, channel, x);
      const Chunk<T, N> dy = load<N>(run.dy + group.pooled * run.dy_pitch + channel);
      constexpr int M = N < 2 ? N : 2;
#pragma unroll
      for (int first = 0; first < N; first += M) {
        float routed[4][M];
#pragma unroll
        for (int m = 0; m < M; ++m) {
          const int k = first + m;
          float to[4] = {};
          add_to_winner({x[0][k], x[1][k], x[2][k], x[3][k]}, dy[k], to);
#pragma unroll
          for (int i = 0; i < 4; ++i) routed[i][m] = to[i];
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) dx[i].put(first, routed[i]);
      }
    }
    store_group(run.dx, run.dx_pitch, group, channel, dx);
  });
}

/// 3x3 windows of x [.,H,W,C]; items: windows.
template <class T>
struct OverlappingRun {
  int H, W;
  int items, per_block, chunks;
  const T *x, *dy;
  T *y, *dx;
  std::int64_t x_pitch, dy_pitch, y_pitch, dx_pitch;

  __device__ int rows() const { return (H + 1) / 2; }
  __device__ int columns() const { return (W + 1) / 2; }
};

/// A window's maxima and which of the nine places holds each; -1, which is no place, for a window that is not there.
template <int N>
struct Winners {
  float value[N];
  int place[N];
};

template <class T, int N>
__device__ inline Winners<N> winners_of(const OverlappingRun<T>& run, int image, int row, int column, int channel) {
  Winners<N> best;
#pragma unroll
  for (int k = 0; k < N; ++k) best.place[k] = -1;
  if (row >= run.rows() || column >= run.columns()) return best;
#pragma unroll
  for (int place = 0; place < 9; ++place) {
    const int h = 2 * row + place / 3 - 1, w = 2 * column + place % 3 - 1;
    if (h < 0 || h >= run.H || w < 0 || w >= run.W) continue;
    const std::int64_t pixel = (static_cast<std::int64_t>(image) * run.H + h) * run.W + w;
    const Chunk<T, N> x = load<N>(run.x + pixel * run.x_pitch + channel);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      if (best.place[k] >= 0 && !(x[k] > best.value[k] || x[k] != x[k])) continue;
      best.value[k] = x[k];
      best.place[k] = place;
    }
  }
  return best;
}

/// Calls body(window, image, row, column, first channel) for every window and chunk of this thread.
template <int N, class T, class Body>
__device__ inline void for_windows(const OverlappingRun<T>& run, Body&& body) {
  if (own_chunk() >= run.chunks) return;
  const Range range = items_of(static_cast<int>(blockIdx.x), run.items, run.per_block);
  for (int item = range.begin + static_cast<int>(threadIdx.y); item < range.end; item += static_cast<int>(blockDim.y)) {
    const int down = item / run.columns();
    body(item, down / run.rows(), down % run.rows(), item % run.columns(), own_chunk() * N);
  }
}

template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads) overlapping_pool_forward_kernel(OverlappingRun<T> run) {
  for_windows<N>(run, [&](int window, int image, int row, int column, int channel) {
    const Winners<N> best = winners_of<T, N>(run, image, row, column, channel);
    store(run.y + window * run.y_pitch + channel, best.value);
  });
}

/// The four pixels of dx round whose first one a window is centred are fed by it and by those to the right and below.
template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads) overlapping_pool_backward_kernel(OverlappingRun<T> run) {
  for_windows<N>(run, [&](int window, int image, int row, int column, int channel) {
    float dx[4][N] = {};
#pragma unroll
    for (int from = 0; from < 4; ++from) {
      const int right = from % 2, below = from / 2;
      if (row + below >= run.rows() || column + right >= run.columns()) continue;
      const Winners<N> best = winners_of<T, N>(run, image, row + below, column + right, channel);
      const Chunk<T, N> dy =
          load<N>(run.dy + (window + std::int64_t{below} * run.columns() + right) * run.dy_pitch + channel);
#pragma unroll
      for (int to = 0; to < 4; ++to) {
        const int i = to / 2 - 2 * below + 1, j = to % 2 - 2 * right + 1;  // in that window
        if (i < 0 || j < 0) continue;
#pragma unroll
        for (int k = 0; k < N; ++k) dx[to][k] += best.place[k] == 3 * i + j ? dy[k] : 0;
      }
    }
#pragma unroll
    for (int to = 0; to < 4; ++to) {
      const int h = 2 * row + to / 2, w = 2 * column + to % 2;
      if (h >= run.H || w >= run.W) continue;
      const std::int64_t pixel = (static_cast<std::int64_t>(image) * run.H + h) * run.W + w;
      store(run.dx + pixel * run.dx_pitch + channel, dx[to]);
    }
  });
}

template <class T>
Tile cut_windows(MaxPoolRun<T>& run, ConstView x, int lanes) {
  const Tile cut = tile(group_items(x, true), x.c() / lanes, items_together(true));
  run.groups = groups_of(x, cut);
  return cut;
}

template <class T>
Tile cut_windows(OverlappingRun<T>& run, ConstView x, int lanes) {
  require_countable(x.pixels());
  const Tile cut = tile(x.n() * ((x.h() + 1) / 2) * ((x.w() + 1) / 2), x.c() / lanes, 2);
  run.H = static_cast<int>(x.h());
  run.W = static_cast<int>(x.w());
  run.items = cut.items;
  run.per_block = cut.per_block;
  run.chunks = cut.chunks;
  return cut;
}

}  // namespace

void max_pool_forward(const PoolSpec& spec, ConstView x, View y) {
  const bool overlap = overlapping(spec);
  dispatch(x.dtype, [&]<class T>(T) {
    with_chunks<full<T>>(
        [&](auto lanes) {
          constexpr int N = decltype(lanes)::value;
          const auto queue = [&](auto run, auto kernel) {
            run.x = x.as<T>(), run.x_pitch = x.pitch;
            run.y = y.as<T>(), run.y_pitch = y.pitch;
            const Tile cut = cut_windows(run, x, N);
            launch(kernel, cut.grid, cut.block, run);
          };
          if (overlap) return queue(OverlappingRun<T>{}, overlapping_pool_forward_kernel<T, N>);
          queue(MaxPoolRun<T>{}, max_pool_forward_kernel<T, N>);
        },
        x, y);
  });
}

void max_pool_backward(const PoolSpec& spec, ConstView x, ConstView dy, View dx) {
  const bool overlap = overlapping(spec);
  dispatch(x.dtype, [&]<class T>(T) {
    with_chunks<full<T>>(
        [&](auto lanes) {
          constexpr int N = decltype(lanes)::value;
          const auto queue = [&](auto run, auto kernel) {
            run.x = x.as<T>(), run.x_pitch = x.pitch;
            run.dy = dy.as<T>(), run.dy_pitch = dy.pitch;
            run.dx = dx.as<T>(), run.dx_pitch = dx.pitch;
            const Tile cut = cut_windows(run, x, N);
            launch(kernel, cut.grid, cut.block, run);
          };
          if (overlap) return queue(OverlappingRun<T>{}, overlapping_pool_backward_kernel<T, N>);
          queue(MaxPoolRun<T>{}, max_pool_backward_kernel<T, N>);
        },
        x, dy, dx);
  });
}

}  // namespace unet::kernels::cuda
