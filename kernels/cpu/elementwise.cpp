#include "kernels/elementwise.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/cpu/float_element.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/isa/elementwise.h"
#include "kernels/cpu/streaming.h"
#include "kernels/cpu/stretches.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {
namespace {

const ElementwiseTable& loops() {
  return select(baseline::elementwise_loops, avx2::elementwise_loops, avx512::elementwise_loops);
}

void add(ConstView a, ConstView b, View y, bool stream_y) {
  dispatch_storage(y.dtype, [&](auto type) {
    using T = decltype(type);
    const bool dense = a.dense() && b.dense() && y.dense();
    AddRun<T> run{};
    run.a = a.as<T>();
    run.b = b.as<T>();
    run.y = y.as<T>();
    run.a_pitch = stretch_pitch(a, dense);
    run.b_pitch = stretch_pitch(b, dense);
    run.y_pitch = stretch_pitch(y, dense);
    run.a_ahead = gap_distance(a);
    run.b_ahead = gap_distance(b);
    run.stream_y = stream_y;
    for_stretches(y, dense,
                  [&](const Stretch& at) { loops().add.of(type).add(run, at.first, at.pixels, at.channels); });
  });
}

/// f32 to bf16 or back.
void convert(ConstView x, View y) {
  const bool dense = x.dense() && y.dense();
  const std::int64_t x_pitch = stretch_pitch(x, dense), y_pitch = stretch_pitch(y, dense);
  const bool narrows = x.dtype == Dtype::f32 && y.dtype == Dtype::bf16;
  if (!narrows && !(x.dtype == Dtype::bf16 && y.dtype == Dtype::f32)) {
    throw std::logic_error(std::string("copy: no conversion from ") + name_of(x.dtype) + " to " + name_of(y.dtype));
  }
  for_stretches(y, dense, [&](const Stretch& at) {
    for (std::int64_t p = at.first; p < at.first + at.pixels; ++p) {
      if (narrows) {
        loops().to_bf16(x.as<float>() + p * x_pitch, at.channels, y.as<bf16>() + p * y_pitch);
      } else {
        loops().to_f32(x.as<bf16>() + p * x_pitch, at.channels, y.as<float>() + p * y_pitch);
      }
    }
  });
}

}  // namespace

void add(ConstView a, ConstView b, View y) { add(a, b, y, worth_streaming(y)); }

void add_to(ConstView x, View y) { add(y, x, y, false); }

void copy(ConstView x, View y) {
  if (x.dtype != y.dtype) return convert(x, y);
  const bool dense = x.dense() && y.dense();
  const auto element = static_cast<std::int64_t>(size_of(y.dtype));
  const CopyRun run{x.as<unsigned char>(),
                    y.as<unsigned char>(),
                    stretch_pitch(x, dense) * element,
                    stretch_pitch(y, dense) * element,
                    gap_distance(x) * element,
                    worth_streaming(y)};
  for_stretches(y, dense, [&](const Stretch& at) { loops().copy(run, at.first, at.pixels, at.channels * element); });
}

void fill(View y, double value) {
  const auto with = [&](auto number) {
    using T = decltype(number);
    const bool dense = y.dense();
    for_stretches(y, dense, [&](const Stretch& at) {
      T* to = y.as<T>() + at.first * stretch_pitch(y, dense);
      for (std::int64_t p = 0; p < at.pixels; ++p) std::fill_n(to + p * y.pitch, at.channels, number);
    });
  };
  switch (y.dtype) {
    case Dtype::f64:
      return with(value);
    case Dtype::f32:
      return with(static_cast<float>(value));
    case Dtype::bf16:
      return with(narrow(static_cast<float>(value)));
    case Dtype::u8:
      return with(static_cast<std::uint8_t>(value));
    case Dtype::i32:
      return with(static_cast<std::int32_t>(value));
  }
}

}  // namespace unet::kernels::cpu
