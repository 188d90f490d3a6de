// With two classes p_1 = 1 / (1 + e^-d), d = x_1 - x_0, taken from u = e^-|d| in [0, 1] so that nothing overflows; and
// since p_0 = 1 - p_1 the gradient is dx_1 = p_0 p_1 (g_1 - g_0) = -dx_0, where g_1 - g_0 depends on the label alone.
#include "kernels/cpu/isa/soft_dice.h"

#include "kernels/cpu/isa/softmax_strip.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

template <class T>
void forward_of_two(const T* __restrict x, const std::uint8_t* __restrict labels, int n, int ignore_index,
                    double* sums) {
  T p0[strip] = {}, p1[strip] = {}, p0t[strip] = {}, p1t[strip] = {};
  int truth0 = 0, truth1 = 0;
  for (int i = 0; i < n; ++i) {
    const int label = labels[i];
    const T d = x[2 * i + 1] - x[2 * i];
    const T u = exp_nonpositive(d > 0 ? -d : d);
    const T large = T{1} / (T{1} + u);
    const T small = u * large;
    const bool counted = (label < 2) & (label != ignore_index);
    p0[i] = counted ? (d > 0 ? small : large) : T{0};
    p1[i] = counted ? (d > 0 ? large : small) : T{0};
    p0t[i] = label == 0 ? p0[i] : T{0};
    p1t[i] = label == 1 ? p1[i] : T{0};
  }
  for (int i = 0; i < n; ++i) {
    truth0 += (labels[i] == 0) & (labels[i] != ignore_index);
    truth1 += (labels[i] == 1) & (labels[i] != ignore_index);
  }
  sums[0] += sum_of_strip(p0t);
  sums[1] += sum_of_strip(p0);
  sums[2] += truth0;
  sums[3] += sum_of_strip(p1t);
  sums[4] += sum_of_strip(p1);
  sums[5] += truth1;
}

template <class T>
void forward_of_many(const T* __restrict x, const std::uint8_t* __restrict labels, int n, int C, int ignore_index,
                     double* sums) {
  T planes[max_classes * strip], largest[strip], sum[strip], p[strip] = {}, pt[strip] = {};
  int chosen[strip];  // -1: not counted
  exponentials(x, n, C, planes, largest, sum);
  for (int i = 0; i < n; ++i) {
    sum[i] = T{1} / sum[i];
    chosen[i] = (labels[i] < C) & (labels[i] != ignore_index) ? labels[i] : -1;
  }
  for (int c = 0; c < C; ++c) {
    const T* plane = planes + c * strip;
    int truth = 0;
    for (int i = 0; i < n; ++i) {
      p[i] = chosen[i] >= 0 ? plane[i] * sum[i] : T{0};
      pt[i] = chosen[i] == c ? p[i] : T{0};
      truth += chosen[i] == c;
    }
    sums[3 * c] += sum_of_strip(pt);
    sums[3 * c + 1] += sum_of_strip(p);
    sums[3 * c + 2] += truth;
  }
}

template <class T>
void forward(const T* x, const std::uint8_t* labels, std::int64_t pixels, int C, int ignore_index, double* sums) {
  for (int i = 0; i < 3 * C; ++i) sums[i] = 0;
  for (std::int64_t begin = 0; begin < pixels; begin += strip) {
    const int n = static_cast<int>(pixels - begin < strip ? pixels - begin : strip);
    if (C == 2) {
      forward_of_two(x + begin * C, labels + begin, n, ignore_index, sums);
    } else {
      forward_of_many(x + begin * C, labels + begin, n, C, ignore_index, sums);
    }
  }
}

template <class T>
void backward_of_two(const T* __restrict x, const std::uint8_t* __restrict labels, int n, int ignore_index, T if0,
                     T if1, T* __restrict dx) {
  for (int i = 0; i < n; ++i) {
    const int label = labels[i];
    const T d = x[2 * i + 1] - x[2 * i];
    const T u = exp_nonpositive(d > 0 ? -d : d);
    const T large = T{1} / (T{1} + u);
    const bool counted = (label < 2) & (label != ignore_index);
    const T g = counted ? (label == 1 ? if1 : if0) * (u * large * large) : T{0};
    dx[2 * i] = -g;
    dx[2 * i + 1] = g;
  }
}

template <class T>
void backward_of_many(const T* __restrict x, const std::uint8_t* __restrict labels, int n, int C, int ignore_index,
                      const T* slope, const T* offset, T* __restrict dx) {
  T planes[max_classes * strip], largest[strip], sum[strip], mean[strip] = {};
  int chosen[strip];  // -1: not counted
  exponentials(x, n, C, planes, largest, sum);
  for (int i = 0; i < n; ++i) {
    sum[i] = T{1} / sum[i];
    chosen[i] = (labels[i] < C) & (labels[i] != ignore_index) ? labels[i] : -1;
  }
  for (int c = 0; c < C; ++c) {
    T* plane = planes + c * strip;
    for (int i = 0; i < n; ++i) {
      plane[i] *= sum[i];
      mean[i] += plane[i] * (chosen[i] == c ? slope[c] + offset[c] : offset[c]);
    }
  }
  for (int c = 0; c < C; ++c) {
    const T* plane = planes + c * strip;
    for (int i = 0; i < n; ++i) {
      const T g = chosen[i] == c ? slope[c] + offset[c] : offset[c];
      dx[i * C + c] = chosen[i] >= 0 ? plane[i] * (g - mean[i]) : T{0};
    }
  }
}

template <class T>
void backward(const T* x, const std::uint8_t* labels, std::int64_t pixels, int C, int ignore_index, const double* slope,
              const double* offset, T* dx) {
  T slopes[max_classes], offsets[max_classes];
  for (int c = 0; c < C; ++c) {
    slopes[c] = static_cast<T>(slope[c]);
    offsets[c] = static_cast<T>(offset[c]);
  }
  for (std::int64_t begin = 0; begin < pixels; begin += strip) {
    const int n = static_cast<int>(pixels - begin < strip ? pixels - begin : strip);
    if (C == 2) {
      const T if0 = static_cast<T>(offset[1] - (slope[0] + offset[0]));
      const T if1 = static_cast<T>(slope[1] + offset[1] - offset[0]);
      backward_of_two(x + begin * C, labels + begin, n, ignore_index, if0, if1, dx + begin * C);
    } else {
      backward_of_many(x + begin * C, labels + begin, n, C, ignore_index, slopes, offsets, dx + begin * C);
    }
  }
}

}  // namespace

const ByDtype<SoftDiceLoops> soft_dice_loops{{forward<float>, backward<float>}, {forward<double>, backward<double>}};

}  // namespace unet::kernels::cpu::UNET_ISA
