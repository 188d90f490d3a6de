// With two classes p_1 = 1 / (1 + e^-d), d = x_1 - x_0, taken from u = e^-|d| in [0, 1] so that nothing overflows; and
// since p_0 = 1 - p_1 the gradient is dx_1 = p_0 p_1 (g_1 - g_0) = -dx_0, where g_1 - g_0 depends on the label alone.
#include "kernels/cpu/isa/soft_dice.h"

#include "kernels/cpu/isa/softmax_strip.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

template <class T>
std::int64_t forward(const T* x, const std::uint8_t* labels, std::int64_t pixels, int C, int ignore_index,
                     double* sums) {
  T planes[max_classes * strip], p[strip], pt[strip];
  Int<T> chosen[strip];
  Sum sum_p[max_classes], sum_pt[max_classes];
  std::int64_t sum_t[max_classes], invalid = 0;
  for (int c = 0; c < C; ++c) {
    sum_p[c].clear();
    sum_pt[c].clear();
    sum_t[c] = 0;
  }
  for (std::int64_t begin = 0; begin < pixels; begin += strip) {
    const int n = static_cast<int>(pixels - begin < strip ? pixels - begin : strip);
    invalid += choose(labels + begin, n, C, ignore_index, chosen);
    split(x + begin * C, n, C, planes);
    if (C == 2) {
      softmax_of_two(planes);
    } else {
      softmax(C, planes);
    }
    for (int c = 0; c < C; ++c) {
      sum_t[c] += select_class<T>(planes + c * strip, chosen, c, p, pt);
      sum_p[c].add(p);
      sum_pt[c].add(pt);
    }
  }
  for (int c = 0; c < C; ++c) {
    sums[3 * c] = sum_pt[c].total();
    sums[3 * c + 1] = sum_p[c].total();
    sums[3 * c + 2] = static_cast<double>(sum_t[c]);
  }
  return invalid;
}

/// planes becomes the gradient; if0 and if1: g_1 - g_0 by label.
template <class T>
void gradient_of_two(const Int<T>* chosen, T if0, T if1, T* planes) {
  for (int i = 0; i < strip; i += full_lanes<T>) {
    const Ints<T> label = load(chosen + i);
    const Reals<T> d = load(planes + strip + i) - load(planes + i);
    const Reals<T> u = exp_nonpositive(d > 0 ? -d : d);
    const Reals<T> large = T{1} / (u + T{1});
    const Reals<T> g = label >= 0 ? (label == 1 ? broadcast(if1) : broadcast(if0)) * (u * large * large) : Reals<T>{};
    store(planes + i, -g);
    store(planes + strip + i, g);
  }
}

/// planes becomes the gradient.
template <class T>
void gradient_of_many(int C, const Int<T>* chosen, const double* slope, const double* offset, T* planes) {
  softmax(C, planes);
  for (int i = 0; i < strip; i += full_lanes<T>) {
    const Ints<T> label = load(chosen + i);
    Reals<T> mean = {};
    for (int c = 0; c < C; ++c) {
      const T if_true = static_cast<T>(slope[c] + offset[c]), if_false = static_cast<T>(offset[c]);
      mean = fma(load(planes + c * strip + i), label == c ? broadcast(if_true) : broadcast(if_false), mean);
    }
    for (int c = 0; c < C; ++c) {
      const T if_true = static_cast<T>(slope[c] + offset[c]), if_false = static_cast<T>(offset[c]);
      const Reals<T> g =
          load(planes + c * strip + i) * ((label == c ? broadcast(if_true) : broadcast(if_false)) - mean);
      store(planes + c * strip + i, label >= 0 ? g : Reals<T>{});
    }
  }
}

template <class T>
void backward(const T* x, const std::uint8_t* labels, std::int64_t pixels, int C, int ignore_index, const double* slope,
              const double* offset, T* dx) {
  T planes[max_classes * strip];
  Int<T> chosen[strip];
  for (std::int64_t begin = 0; begin < pixels; begin += strip) {
    const int n = static_cast<int>(pixels - begin < strip ? pixels - begin : strip);
    choose(labels + begin, n, C, ignore_index, chosen);
    split(x + begin * C, n, C, planes);
    if (C == 2) {
      const T if0 = static_cast<T>(offset[1] - (slope[0] + offset[0]));
      const T if1 = static_cast<T>(slope[1] + offset[1] - offset[0]);
      gradient_of_two<T>(chosen, if0, if1, planes);
    } else {
      gradient_of_many<T>(C, chosen, slope, offset, planes);
    }
    join(planes, n, C, dx + begin * C);
  }
}

}  // namespace

const ByFloat<SoftDiceLoops> soft_dice_loops{{forward<float>, backward<float>}, {forward<double>, backward<double>}};

}  // namespace unet::kernels::cpu::UNET_ISA
