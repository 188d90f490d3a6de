#include "kernels/cuda/conv_epilogue.h"

#include "kernels/cuda/map.h"

namespace unet::kernels::cuda {
namespace {

template <class T, int N>
__global__ void __launch_bounds__(kBlockThreads)
    conv_epilogue_kernel(T* y, const float* bias, const T* residual, std::int64_t residual_pitch, bool relu,
                         std::int64_t pixels, std::int64_t chunks, std::int64_t per_block) {
  const std::int64_t chunk = own_chunk();
  if (chunk >= chunks) return;
  float add[N] = {};
  if (bias != nullptr) {
#pragma unroll
    for (int k = 0; k < N; ++k) add[k] = bias[chunk * N + k];
  }
  const std::int64_t begin = blockIdx.x * per_block, end = min(begin + per_block, pixels);
#pragma unroll 4
  for (std::int64_t p = begin + threadIdx.y; p < end; p += blockDim.y) {
    T* const at = y + (p * chunks + chunk) * N;
    const Chunk<T, N> in = load<N>(at);
    Chunk<T, N> more{};
    if (residual != nullptr) more = load<N>(residual + p * residual_pitch + chunk * N);
    float out[N];
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float value = in[k] + add[k] + more[k];
      out[k] = relu && value < 0 ? 0.0f : value;  // a NaN stays one
    }
    store(at, out);
  }
}

constexpr int side = 32, rows = kBlockThreads / side;

/// grid.z: taps; each is a transposition [Cout,Cin] -> [Cin,Cout] by tiles.
template <class T>
__global__ void __launch_bounds__(kBlockThreads)
    rotate_weights_kernel(const T* weights, T* rotated, int Cout, int taps, int Cin) {
  __shared__ float tiles[side][side + 1];  // one more: columns fall into different banks
  const int tap = static_cast<int>(blockIdx.z);
  const int ci = static_cast<int>(blockIdx.x) * side, co = static_cast<int>(blockIdx.y) * side;
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  for (int r = y; r < side; r += rows) {
    if (co + r < Cout && ci + x < Cin) {
      tiles[r][x] = to_float(weights[(static_cast<std::int64_t>(co + r) * taps + tap) * Cin + ci + x]);
    }
  }
  __syncthreads();
  for (int r = y; r < side; r += rows) {
    if (ci + r < Cin && co + x < Cout) {
      rotated[(static_cast<std::int64_t>(ci + r) * taps + taps - 1 - tap) * Cout + co + x] = from_float<T>(tiles[x][r]);
    }
  }
}

}  // namespace

void conv_epilogue(View y, ConstView bias, ConstView residual, bool relu) {
  dispatch(y.dtype, [&]<class T>(T) {
    with_chunks<full<T>>(
        [&](auto N) {
          const Tile cut = tile(y.pixels(), y.c() / decltype(N)::value, 4);
          launch(conv_epilogue_kernel<T, decltype(N)::value>, cut.grid, cut.block, y.as<T>(), bias.as<float>(),
                 residual.as<T>(), residual.pitch, relu, cut.items, cut.chunks, cut.per_block);
        },
        y, residual);
  });
}

void rotate_weights(ConstView weights, void* rotated) {
  const int Cout = static_cast<int>(weights.n()), Cin = static_cast<int>(weights.c());
  const int taps = static_cast<int>(weights.h() * weights.w());
  const auto tiles = [](int size) { return static_cast<unsigned>((size + side - 1) / side); };
  dispatch(weights.dtype, [&]<class T>(T) {
    launch(rotate_weights_kernel<T>, Grid{tiles(Cin), tiles(Cout), static_cast<unsigned>(taps)}, Grid{side, rows, 1},
           weights.as<T>(), static_cast<T*>(rotated), Cout, taps, Cin);
  });
}

}  // namespace unet::kernels::cuda
