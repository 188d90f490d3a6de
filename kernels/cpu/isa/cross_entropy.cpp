// With two classes one number decides: z = x_other - x_label, loss = log(1 + e^z), probability of the other class
// q = 1 / (1 + e^-z). Both are taken from u = e^-|z| in [0, 1], so nothing overflows and small losses keep their
// digits.
#include "kernels/cpu/isa/cross_entropy.h"

#include "kernels/cpu/isa/softmax_strip.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

template <class T>
[[gnu::always_inline]] inline Reals<T> minus_magnitude(Reals<T> z) {
  return z > 0 ? -z : z;
}

template <class T>
void losses_of_two(const T* planes, const Int<T>* chosen, T w0, T w1, T* losses, T* weights) {
  for (int i = 0; i < strip; i += full_lanes<T>) {
    const Ints<T> label = load(chosen + i);
    const Reals<T> difference = load(planes + strip + i) - load(planes + i);
    const Reals<T> z = label == 1 ? -difference : difference;
    const Reals<T> loss = (z > 0 ? z : Reals<T>{}) + log1p_unit(exp_nonpositive(minus_magnitude<T>(z)));
    const Reals<T> w = label == 1 ? broadcast(w1) : broadcast(w0);
    store(losses + i, label >= 0 ? w * loss : Reals<T>{});
    store(weights + i, label >= 0 ? w : Reals<T>{});
  }
}

/// planes are spent.
template <class T>
void losses_of_many(int C, T* planes, const Int<T>* chosen, const T* class_weights, T* losses, T* weights) {
  T largest[strip], margin[strip], sum[strip];
  find_largest(planes, C, largest);
  for (int i = 0; i < strip; i += full_lanes<T>) {
    const Ints<T> label = load(chosen + i);
    Reals<T> logit = {}, weight = {};
    for (int c = 0; c < C; ++c) {
      logit = label == c ? load(planes + c * strip + i) : logit;
      weight = label == c ? broadcast(class_weights == nullptr ? T{1} : class_weights[c]) : weight;
    }
    store(margin + i, load(largest + i) - logit);
    store(weights + i, weight);
  }
  exponentials(C, largest, planes, sum);
  for (int i = 0; i < strip; i += full_lanes<T>) {
    const Reals<T> loss = load(weights + i) * (log_of_sum(load(sum + i)) + load(margin + i));
    store(losses + i, load(chosen + i) >= 0 ? loss : Reals<T>{});
  }
}

template <class T>
CrossEntropySums forward(const T* x, const std::uint8_t* labels, const T* class_weights, std::int64_t pixels, int C,
                         int ignore_index) {
  const T w0 = class_weights == nullptr ? T{1} : class_weights[0];
  const T w1 = class_weights == nullptr || C < 2 ? T{1} : class_weights[1];
  T planes[max_classes * strip], losses[strip], weights[strip];
  Int<T> chosen[strip];
  Sum loss, weight;
  loss.clear();
  weight.clear();
  std::int64_t invalid = 0;
  for (std::int64_t begin = 0; begin < pixels; begin += strip) {
    const int n = static_cast<int>(pixels - begin < strip ? pixels - begin : strip);
    invalid += choose(labels + begin, n, C, ignore_index, chosen);
    split(x + begin * C, n, C, planes);
    if (C == 2) {
      losses_of_two<T>(planes, chosen, w0, w1, losses, weights);
    } else {
      losses_of_many<T>(C, planes, chosen, class_weights, losses, weights);
    }
    loss.add(losses);
    weight.add(weights);
  }
  return {loss.total(), weight.total(), invalid};
}

/// planes becomes the gradient.
template <class T>
void gradient_of_two(const Int<T>* chosen, T f0, T f1, T* planes) {
  for (int i = 0; i < strip; i += full_lanes<T>) {
    const Ints<T> label = load(chosen + i);
    const Reals<T> difference = load(planes + strip + i) - load(planes + i);
    const Reals<T> z = label == 1 ? -difference : difference;
    const Reals<T> u = exp_nonpositive(minus_magnitude<T>(z));
    const Reals<T> q = (z > 0 ? broadcast(T{1}) : u) / (u + T{1});
    const Reals<T> g = label >= 0 ? (label == 1 ? broadcast(-f1) : broadcast(f0)) * q : Reals<T>{};
    store(planes + i, -g);
    store(planes + strip + i, g);
  }
}

/// planes becomes the gradient.
template <class T>
void gradient_of_many(int C, const Int<T>* chosen, const T* class_weights, T factor, T* planes) {
  softmax(C, planes);
  for (int i = 0; i < strip; i += full_lanes<T>) {
    const Ints<T> label = load(chosen + i);
    Reals<T> f = broadcast(factor);
    for (int c = 0; class_weights != nullptr && c < C; ++c) f = label == c ? broadcast(factor * class_weights[c]) : f;
    for (int c = 0; c < C; ++c) {
      const Reals<T> p = load(planes + c * strip + i);
      const Reals<T> g = f * (label == c ? p - T{1} : p);
      store(planes + c * strip + i, label >= 0 ? g : Reals<T>{});
    }
  }
}

template <class T>
void backward(const T* x, const std::uint8_t* labels, const T* class_weights, std::int64_t pixels, int C,
              int ignore_index, double factor, T* dx) {
  const T f = static_cast<T>(factor);
  const T f0 = class_weights == nullptr ? f : f * class_weights[0];
  const T f1 = class_weights == nullptr || C < 2 ? f : f * class_weights[1];
  T planes[max_classes * strip];
  Int<T> chosen[strip];
  for (std::int64_t begin = 0; begin < pixels; begin += strip) {
    const int n = static_cast<int>(pixels - begin < strip ? pixels - begin : strip);
    choose(labels + begin, n, C, ignore_index, chosen);
    split(x + begin * C, n, C, planes);
    if (C == 2) {
      gradient_of_two<T>(chosen, f0, f1, planes);
    } else {
      gradient_of_many<T>(C, chosen, class_weights, f, planes);
    }
    join(planes, n, C, dx + begin * C);
  }
}

}  // namespace

const ByFloat<CrossEntropyLoops> cross_entropy_loops{{forward<float>, backward<float>},
                                                     {forward<double>, backward<double>}};

}  // namespace unet::kernels::cpu::UNET_ISA
