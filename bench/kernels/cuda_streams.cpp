// Memory-bound CUDA kernels at a UNet's shapes, timed by events on the stream and held against a device-to-device copy
// in the same run. Registered only where there is a GPU.
#include <fmt/core.h>

#include "bench/kernels/ceilings.h"

#if UNET_HAS_CUDA
#include "engine/core/cuda_memory.h"
#include "engine/core/device_memory.h"
#include "engine/core/tensor.h"
#include "kernels/adam.h"
#include "kernels/cross_entropy.h"
#include "kernels/cuda/runtime.h"
#include "kernels/norm_act.h"
#include "kernels/pixel_linear.h"
#include "kernels/upsample.h"

namespace unet {
namespace {

using cuda_memory::seconds_of;
using kernels::cuda::runtime;
namespace cuda = kernels::cuda;

/// Bytes read and written a second by a copy of 512 MiB, the best of five.
double copy_rate() {
  static const double rate = [] {
    constexpr std::int64_t kBytes = std::int64_t{512} << 20;
    const Tensor from = Tensor::zeros({kBytes}, Dtype::u8, kCuda), to = Tensor::zeros({kBytes}, Dtype::u8, kCuda);
    double best = 0;
    for (int i = 0; i < 5; ++i) {
      const double seconds =
          seconds_of(10, [&] { runtime().copy_on_device(to.data<void>(), from.data<void>(), kBytes); });
      best = std::max(best, 2.0 * kBytes / seconds);
    }
    return best;
  }();
  return rate;
}

/// bytes: what a call must move.
void measure(benchmark::State& state, double bytes, const std::function<void()>& work) {
  work();
  double rate = 0;
  for (auto _ : state) {
    const double seconds = seconds_of(10, work);
    state.SetIterationTime(seconds);
    rate = std::max(rate, bytes / seconds);
  }
  state.counters["GB/s"] = rate / 1e9;
  state.counters["percent_of_copy"] = 100 * rate / copy_rate();
}

/// Values in [0,2). The host draws a block of them; the device doubles what is there until the tensor is full.
Tensor filled(const Shape& shape, Dtype dtype) {
  constexpr std::int64_t kBlock = std::int64_t{1} << 20;
  std::vector<float> values(static_cast<std::size_t>(std::min(kBlock, shape.size())));
  std::uint32_t random = 1;
  for (float& value : values) value = static_cast<float>((random = random * 1664525u + 1013904223u) >> 8) * 0x1p-23f;
  const Tensor block = Tensor::of({static_cast<std::int64_t>(values.size())}, dtype, values);
  const Tensor out = Tensor::empty(shape, dtype, kCuda);
  std::size_t done = block.bytes();
  upload(out.data<void>(), kCuda, block.data<void>(), done);
  while (done < out.bytes()) {
    const std::size_t more = std::min(done, out.bytes() - done);
    copy_bytes(out.data<std::byte>() + done, out.data<void>(), kCuda, more);
    done += more;
  }
  return out;
}

struct Sizes {
  std::int64_t N, S, C;
  bool pool;
};

void norm_act(benchmark::State& state, Sizes z, Dtype dtype, bool backward) {
  const Shape shape{z.N, z.S, z.S, z.C}, half{z.N, z.S / 2, z.S / 2, z.C};
  const Tensor x = filled(shape, dtype), y = filled(shape, dtype), dx = Tensor::empty(shape, dtype, kCuda);
  const Tensor pooled = z.pool ? filled(half, dtype) : Tensor();
  const Tensor gamma = filled({z.C}, Dtype::f32), beta = filled({z.C}, Dtype::f32);
  const Tensor mean = filled({z.C}, Dtype::f32), rstd = filled({z.C}, Dtype::f32), var = filled({z.C}, Dtype::f32);
  const Scratch scratch(cuda::norm_act_scratch(x.const_view()), kCuda);
  const double all = static_cast<double>(x.bytes());
  if (backward) {  // x, dy and dpooled are read twice, dx written
    measure(state, all * (z.pool ? 5.5 : 5), [&] {
      cuda::norm_act_backward({}, x.const_view(), gamma.const_view(), beta.const_view(), mean.const_view(),
                              rstd.const_view(), {}, y.const_view(), pooled.const_view(), dx.view(), gamma.view(),
                              beta.view(), {}, scratch.data());
    });
  } else {  // x is read twice, y and pooled written
    measure(state, all * (z.pool ? 3.25 : 3), [&] {
      cuda::batch_statistics(x.const_view(), 1e-5, mean.view(), rstd.view(), var.view(), scratch.data());
      cuda::norm_act_forward({}, x.const_view(), gamma.const_view(), beta.const_view(), mean.const_view(),
                             rstd.const_view(), {}, y.view(), pooled.view());
    });
  }
}

/// count: a multiple of 4, as the engine's padded ranges. copies: bf16 ones are written, and gradients are bf16.
void adam(benchmark::State& state, std::int64_t count, bool copies) {
  const Tensor g = filled({count}, copies ? Dtype::bf16 : Dtype::f32), p = filled({count}, Dtype::f32),
               m = filled({count}, Dtype::f32), v = filled({count}, Dtype::f32),
               copy = copies ? Tensor::empty({count}, Dtype::bf16, kCuda) : Tensor();
  const kernels::StepControl control{.lr = 1e-4};
  const kernels::AdamClock clock{.steps = 1, .step_size = 1e-4};
  const Tensor there = Tensor::copy_of({sizeof control}, Dtype::u8, &control, kCuda);
  const Tensor clock_there = Tensor::copy_of({sizeof clock}, Dtype::u8, &clock, kCuda);
  measure(state, static_cast<double>(count) * 28, [&] {
    cuda::adam({}, there.data<kernels::StepControl>(), clock_there.data<kernels::AdamClock>(), g.view(), p.view(),
               m.view(), v.view(), copy.view());
  });
}

void head(benchmark::State& state, Sizes z, Dtype dtype, bool backward) {
  const Tensor x = filled({z.N, z.S, z.S, z.C}, dtype), dx = filled({z.N, z.S, z.S, z.C}, dtype);
  const Tensor y = filled({z.N, z.S, z.S, 2}, Dtype::f32), w = filled({2, 1, 1, z.C}, Dtype::f32);
  const Tensor b = filled({2}, Dtype::f32);
  const Scratch scratch(cuda::pixel_linear_scratch(x.const_view(), 2), kCuda);
  measure(state, static_cast<double>(x.bytes()) * (backward ? 2 : 1) + static_cast<double>(y.bytes()), [&] {
    if (backward) {
      cuda::pixel_linear_backward(x.const_view(), w.const_view(), y.const_view(), dx.view(), w.view(), b.view(),
                                  scratch.data());
    } else {
      cuda::pixel_linear_forward(x.const_view(), w.const_view(), b.const_view(), y.view());
    }
  });
}

void upsample(benchmark::State& state, Sizes z, Dtype dtype) {
  const Tensor x = filled({z.N, z.S, z.S, z.C}, dtype), y = Tensor::empty({z.N, 2 * z.S, 2 * z.S, z.C}, dtype, kCuda);
  measure(state, static_cast<double>(x.bytes() + y.bytes()),
          [&] { cuda::upsample_bilinear_forward(x.const_view(), true, y.view()); });
}

template <class Work>
void add(const std::string& name, Work&& work) {
  benchmark::RegisterBenchmark(("cuda/" + name).c_str(), work)
      ->UseManualTime()
      ->Iterations(5)
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace

void add_cuda_streams() {
  const cuda::DeviceCount found = runtime().devices();
  if (found.count == 0) {
    fmt::print(stderr, "CUDA kernels are left out: {}\n", found.reason);
    return;
  }
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const std::string suffix = std::string("/") + kernels::name_of(dtype);
    for (const Sizes z : {Sizes{32, 256, 64, false}, Sizes{32, 256, 64, true}, Sizes{32, 128, 128, true},
                          Sizes{32, 64, 256, true}, Sizes{64, 32, 512, false}}) {
      const std::string at = fmt::format("/{}x{}x{}x{}{}", z.N, z.S, z.S, z.C, z.pool ? "/pool" : "") + suffix;
      add("norm_act_forward" + at, [=](benchmark::State& state) { norm_act(state, z, dtype, false); });
      add("norm_act_backward" + at, [=](benchmark::State& state) { norm_act(state, z, dtype, true); });
    }
    const Sizes top{32, 256, 64, false};
    add("pixel_linear_forward" + suffix, [=](benchmark::State& state) { head(state, top, dtype, false); });
    add("pixel_linear_backward" + suffix, [=](benchmark::State& state) { head(state, top, dtype, true); });
    add("upsample_forward" + suffix, [=](benchmark::State& state) { upsample(state, {32, 128, 64, false}, dtype); });
  }
  for (const bool copies : {false, true}) {
    add(copies ? "adam/31M/bf16_copies" : "adam/31M",
        [=](benchmark::State& state) { adam(state, 31'037'696, copies); });
  }
  fmt::print(stderr, "{}: copy {:.0f} GB/s read + written\n", runtime().properties().name, copy_rate() / 1e9);
}

}  // namespace unet

#else

namespace unet {
void add_cuda_streams() { fmt::print(stderr, "CUDA kernels are left out: built without CUDA\n"); }
}  // namespace unet

#endif
