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
          const int winner = winner_of({x[0][k], x[1][k], x[2][k], x[3][k]});
#pragma unroll
          for (int i = 0; i < 4; ++i) routed[i][m] = i == winner ? dy[k] : 0;
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) dx[i].put(first, routed[i]);
      }
    }
    store_group(run.dx, run.dx_pitch, group, channel, dx);
  });
}

template <class T>
Tile cut_windows(MaxPoolRun<T>& run, ConstView x, int lanes) {
  const Tile cut = tile(group_items(x, true), x.c() / lanes, items_together(true));
  run.groups = groups_of(x, cut);
  return cut;
}

}  // namespace

void max_pool_forward(ConstView x, View y) {
  dispatch(x.dtype, [&]<class T>(T) {
    MaxPoolRun<T> run{{}, x.as<T>(), nullptr, y.as<T>(), nullptr, x.pitch, 0, y.pitch, 0};
    with_chunks<full<T>>(
        [&](auto lanes) {
          const Tile cut = cut_windows(run, x, decltype(lanes)::value);
          launch(max_pool_forward_kernel<T, decltype(lanes)::value>, cut.grid, cut.block, run);
        },
        x, y);
  });
}

void max_pool_backward(ConstView x, ConstView dy, View dx) {
  dispatch(x.dtype, [&]<class T>(T) {
    MaxPoolRun<T> run{{}, x.as<T>(), dy.as<T>(), nullptr, dx.as<T>(), x.pitch, dy.pitch, 0, dx.pitch};
    with_chunks<full<T>>(
        [&](auto lanes) {
          const Tile cut = cut_windows(run, x, decltype(lanes)::value);
          launch(max_pool_backward_kernel<T, decltype(lanes)::value>, cut.grid, cut.block, run);
        },
        x, dy, dx);
  });
}

}  // namespace unet::kernels::cuda
