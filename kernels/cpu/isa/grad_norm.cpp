#include "kernels/cpu/isa/grad_norm.h"

#include "kernels/cpu/isa/vec.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

template <class T>
double sum_of_squares(const T* __restrict x, std::int64_t count) {
  constexpr int width = 32;  // independent sums: additions of one chain would wait for each other
  double lane[width] = {};
  std::int64_t i = 0;
  for (; i + width <= count; i += width) {
    for (int k = 0; k < width; ++k) {
      const double value = static_cast<double>(x[i + k]);
      lane[k] = fma(value, value, lane[k]);
    }
  }
  for (int k = 0; i < count; ++i, ++k) {
    const double value = static_cast<double>(x[i]);
    lane[k] = fma(value, value, lane[k]);
  }
  double sum = 0;
  for (const double value : lane) sum += value;
  return sum;
}

}  // namespace

const ByFloat<GradNormLoops> grad_norm_loops{{sum_of_squares<float>}, {sum_of_squares<double>}};

}  // namespace unet::kernels::cpu::UNET_ISA
