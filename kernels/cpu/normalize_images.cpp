// A byte has 256 values, so every block makes a table of the exact results for each channel and only looks up.
#include "kernels/normalize_images.h"

#include "kernels/cpu/float_element.h"
#include "kernels/cpu/parallel.h"
#include "kernels/dispatch.h"

namespace unet::kernels::cpu {
namespace {

template <class T>
T stored(double value) {
  if constexpr (sizeof(T) == sizeof(bf16)) {
    return narrow(static_cast<float>(value));
  } else {
    return static_cast<T>(value);
  }
}

}  // namespace

void normalize_images(const NormalizeSpec& spec, ConstView images, View y) {
  const Blocks blocks = cut(images.pixels(), 4096);
  const std::int64_t Cin = images.c(), C = y.c();
  dispatch_storage(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    parallel_for(blocks.count, [&](std::int64_t b) {
      for (std::int64_t c = 0; c < C; ++c) {
        T table[256] = {};
        if (c < Cin) {
          const double mean = spec.mean[static_cast<std::size_t>(c)];
          const double deviation = spec.deviation[static_cast<std::size_t>(c)];
          for (int value = 0; value < 256; ++value) table[value] = stored<T>((value / 255.0 - mean) / deviation);
        }
        const std::uint8_t* from = images.as<std::uint8_t>() + (c < Cin ? c : 0);
        T* to = y.as<T>() + c;
        for (std::int64_t i = blocks.begin(b); i < blocks.end(b); ++i) to[i * C] = table[from[i * Cin]];
      }
    });
  });
}

}  // namespace unet::kernels::cpu
