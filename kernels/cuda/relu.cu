#include "kernels/relu.h"

#include "kernels/cuda/map.h"

namespace unet::kernels::cuda {
namespace {

struct Relu {
  __device__ float operator()(float x) const { return x < 0 ? 0 : x; }
};

struct ReluGradient {
  __device__ float operator()(float y, float dy) const { return y <= 0 ? 0 : dy; }
};

}  // namespace

void relu_forward(ConstView x, View y) {
  dispatch(y.dtype, [&]<class T>(T) { map<T, T>(Relu{}, y, x); });
}

void relu_backward(ConstView y, ConstView dy, View dx) {
  dispatch(y.dtype, [&]<class T>(T) { map<T, T, T>(ReluGradient{}, dx, y, dy); });
}

}  // namespace unet::kernels::cuda
