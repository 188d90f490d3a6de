// With two classes one number decides: z = x_other - x_label, loss = log(1 + e^z), probability of the other class
// q = 1 / (1 + e^-z). Both are taken from u = e^-|z| in [0, 1], so nothing overflows and small losses keep their
// digits.
#include "kernels/cpu/isa/cross_entropy.h"

#include "kernels/cpu/isa/softmax_strip.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

template <class T>
void losses_of_two(const T* __restrict x, const std::uint8_t* __restrict labels, int n, int ignore_index, T w0, T w1,
                   T* __restrict losses, T* __restrict weights) {
  for (int i = 0; i < n; ++i) {
    const int label = labels[i];
    const T difference = x[2 * i + 1] - x[2 * i];
    const T z = label == 1 ? -difference : difference;
    const T u = exp_nonpositive(z > 0 ? -z : z);
    const T loss = (z > 0 ? z : T{0}) + log1p_unit(u);
    const T w = label == 1 ? w1 : w0;
    const bool counted = (label < 2) & (label != ignore_index);
    losses[i] = counted ? w * loss : T{0};
    weights[i] = counted ? w : T{0};
  }
}

template <class T>
void losses_of_many(const T* __restrict x, const std::uint8_t* __restrict labels, int n, int C, int ignore_index,
                    const T* class_weights, T* __restrict losses, T* __restrict weights) {
  T planes[max_classes * strip], largest[strip], sum[strip], logit[strip];
  exponentials(x, n, C, planes, largest, sum);
  for (int i = 0; i < n; ++i) {
    const int label = labels[i];
    const bool counted = label < C && label != ignore_index;
    logit[i] = x[i * C + (counted ? label : 0)];
    const T w = class_weights == nullptr || !counted ? T{1} : class_weights[label];
    weights[i] = counted ? w : T{0};
  }
  for (int i = 0; i < n; ++i) {
    const T loss = log_of_sum(sum[i]) - (logit[i] - largest[i]);
    const bool counted = (labels[i] < C) & (labels[i] != ignore_index);
    losses[i] = counted ? weights[i] * loss : T{0};
  }
}

template <class T>
CrossEntropySums forward(const T* x, const std::uint8_t* labels, const T* class_weights, std::int64_t pixels, int C,
                         int ignore_index) {
  CrossEntropySums sums;
  const T w0 = class_weights == nullptr ? T{1} : class_weights[0];
  const T w1 = class_weights == nullptr || C < 2 ? T{1} : class_weights[1];
  T losses[strip] = {}, weights[strip] = {};
  for (std::int64_t begin = 0; begin < pixels; begin += strip) {
    const int n = static_cast<int>(pixels - begin < strip ? pixels - begin : strip);
    for (int i = n; i < strip; ++i) losses[i] = weights[i] = 0;
    const std::uint8_t* label = labels + begin;
    if (C == 2) {
      losses_of_two(x + begin * C, label, n, ignore_index, w0, w1, losses, weights);
    } else {
      losses_of_many(x + begin * C, label, n, C, ignore_index, class_weights, losses, weights);
    }
    int invalid = 0;
    for (int i = 0; i < n; ++i) invalid += (label[i] >= C) & (label[i] != ignore_index);
    sums.loss += sum_of_strip(losses);
    sums.weight += sum_of_strip(weights);
    sums.invalid += invalid;
  }
  return sums;
}

template <class T>
void backward_of_two(const T* __restrict x, const std::uint8_t* __restrict labels, int n, int ignore_index, T f0, T f1,
                     T* __restrict dx) {
  for (int i = 0; i < n; ++i) {
    const int label = labels[i];
    const T difference = x[2 * i + 1] - x[2 * i];
    const T z = label == 1 ? -difference : difference;
    const T u = exp_nonpositive(z > 0 ? -z : z);
    const T q = (z > 0 ? T{1} : u) / (T{1} + u);
    const bool counted = (label < 2) & (label != ignore_index);
    const T g = counted ? (label == 1 ? -f1 : f0) * q : T{0};
    dx[2 * i] = -g;
    dx[2 * i + 1] = g;
  }
}

template <class T>
void backward_of_many(const T* __restrict x, const std::uint8_t* __restrict labels, int n, int C, int ignore_index,
                      const T* class_weights, T factor, T* __restrict dx) {
  T planes[max_classes * strip], largest[strip], sum[strip], f[strip];
  int chosen[strip];  // -1: not counted
  exponentials(x, n, C, planes, largest, sum);
  for (int i = 0; i < n; ++i) {
    const int label = labels[i];
    chosen[i] = label < C && label != ignore_index ? label : -1;
    f[i] = class_weights == nullptr || chosen[i] < 0 ? factor : factor * class_weights[label];
  }
  for (int i = 0; i < n; ++i) sum[i] = T{1} / sum[i];
  for (int c = 0; c < C; ++c) {
    const T* plane = planes + c * strip;
    for (int i = 0; i < n; ++i) {
      const T g = f[i] * (plane[i] * sum[i] - (chosen[i] == c ? T{1} : T{0}));
      dx[i * C + c] = chosen[i] >= 0 ? g : T{0};
    }
  }
}

template <class T>
void backward(const T* x, const std::uint8_t* labels, const T* class_weights, std::int64_t pixels, int C,
              int ignore_index, double factor, T* dx) {
  const T f = static_cast<T>(factor);
  const T f0 = class_weights == nullptr ? f : f * class_weights[0];
  const T f1 = class_weights == nullptr || C < 2 ? f : f * class_weights[1];
  for (std::int64_t begin = 0; begin < pixels; begin += strip) {
    const int n = static_cast<int>(pixels - begin < strip ? pixels - begin : strip);
    if (C == 2) {
      backward_of_two(x + begin * C, labels + begin, n, ignore_index, f0, f1, dx + begin * C);
    } else {
      backward_of_many(x + begin * C, labels + begin, n, C, ignore_index, class_weights, f, dx + begin * C);
    }
  }
}

}  // namespace

const ByDtype<CrossEntropyLoops> cross_entropy_loops{{forward<float>, backward<float>},
                                                     {forward<double>, backward<double>}};

}  // namespace unet::kernels::cpu::UNET_ISA
