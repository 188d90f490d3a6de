#include "kernels/elementwise.h"

#include <cmath>

#include "kernels/cuda/map.h"

namespace unet::kernels::cuda {
namespace {

struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};

struct Identity {
  __device__ float operator()(float x) const { return x; }
};

struct Constant {
  float value;
  __device__ float operator()() const { return value; }
};

}  // namespace

void add(ConstView a, ConstView b, View y) {
  dispatch(y.dtype, [&]<class T>(T) {
    if (a.dtype == y.dtype && b.dtype == y.dtype) return map<T, T, T>(Sum{}, y, a, b);
    if constexpr (sizeof(T) == sizeof(float)) {
      if (a.dtype == y.dtype && b.dtype == Dtype::bf16) return map<T, T, bf16>(Sum{}, y, a, b);
    }
    throw std::logic_error(std::string("no addition of ") + name_of(a.dtype) + " and " + name_of(b.dtype) + " to " +
                           name_of(y.dtype));
  });
}

void add_to(ConstView x, View y) { add(y, x, y); }

void copy(ConstView x, View y) {
  dispatch(x.dtype, [&]<class TX>(TX) { dispatch(y.dtype, [&]<class TY>(TY) { map<TY, TX>(Identity{}, y, x); }); });
}

void fill(View y, double value) {
  if (value == 0 && !std::signbit(value) && y.dense()) {
    runtime().fill_bytes(y.data, 0, static_cast<std::size_t>(y.size()) * size_of(y.dtype));
    return;
  }
  dispatch(y.dtype, [&]<class T>(T) { map<T>(Constant{static_cast<float>(value)}, y); });
}

}  // namespace unet::kernels::cuda
