#include "kernels/relu.h"

#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/relu.h"
#include "kernels/cpu/streaming.h"
#include "kernels/cpu/stretches.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {
namespace {

template <class T>
const ReluLoops<T>& loops(T of) {
  return select(baseline::relu_loops, avx2::relu_loops, avx512::relu_loops).of(of);
}

}  // namespace

void relu_forward(ConstView x, View y) {
  dispatch_storage(y.dtype, [&](auto type) {
    using T = decltype(type);
    const bool dense = x.dense() && y.dense();
    const ReluRun<T> run{x.as<T>(),         nullptr, y.as<T>(), stretch_pitch(x, dense), 0, stretch_pitch(y, dense),
                         worth_streaming(y)};
    for_stretches(y, dense, [&](const Stretch& at) { loops(type).forward(run, at.first, at.pixels, at.channels); });
  });
}

void relu_backward(ConstView y, ConstView dy, View dx) {
  dispatch_storage(y.dtype, [&](auto type) {
    using T = decltype(type);
    const bool dense = y.dense() && dy.dense() && dx.dense();
    const ReluRun<T> run{y.as<T>(),
                         dy.as<T>(),
                         dx.as<T>(),
                         stretch_pitch(y, dense),
                         stretch_pitch(dy, dense),
                         stretch_pitch(dx, dense),
                         worth_streaming(dx)};
    for_stretches(dx, dense, [&](const Stretch& at) { loops(type).backward(run, at.first, at.pixels, at.channels); });
  });
}

}  // namespace unet::kernels::cpu
