// Every term of a pixel follows from its softmax, from q, the probability of all classes but the label, summed so that
// it keeps its digits where it is small, and from -log p of the label, which is -log(1 - q) there. With two classes all
// comes from u = e^-|x_1 - x_0|, as in cross_entropy.cpp and soft_dice.cpp, and dx_0 = -dx_1.
#include "kernels/cpu/isa/loss_sum.h"

#include "kernels/cpu/isa/softmax_strip.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

/// -log(1 - q) for q in [0, 1/4].
[[gnu::always_inline]] inline Vec loss_of_small(Vec q) { return -log1p_near_zero(-q); }
[[gnu::always_inline]] inline Reals<double> loss_of_small(Reals<double> q) {
  for (int k = 0; k < full_lanes<double>; ++k) q[k] = -__builtin_log1p(-q[k]);
  return q;
}

/// q^gamma for q in [0, 1]; of a q below the smallest normal number something as small.
[[gnu::always_inline]] inline Vec power(Vec q, float gamma) {
  if (gamma == 2) return q * q;
  return exp_nonpositive(gamma * log_of_sum(q));
}
[[gnu::always_inline]] inline Reals<double> power(Reals<double> q, double gamma) {
  for (int k = 0; k < full_lanes<double>; ++k) q[k] = __builtin_pow(q[k], gamma);
  return q;
}

/// The spec in numbers of T, and the class weights.
template <class T>
struct Terms {
  T plain, smoothed, focal, gamma;
  T weights[max_classes], weight_sum;

  Terms(const LossSumSpec& spec, const T* class_weights, int C)
      : plain(static_cast<T>(spec.cross_entropy * (1 - spec.smoothing))),
        smoothed(static_cast<T>(spec.cross_entropy * spec.smoothing / C)),
        focal(static_cast<T>(spec.focal)),
        gamma(static_cast<T>(spec.gamma)),
        weight_sum(0) {
    for (int c = 0; c < C; ++c) {
      weights[c] = class_weights == nullptr ? T{1} : class_weights[c];
      weight_sum += weights[c];
    }
  }
};

/// Of the pixels of a strip; loss and spread where they are asked for.
template <class T>
struct Pixels {
  T weight[strip];  // of the label
  T loss[strip];    // -log p of the label
  T own[strip];     // p of the label
  T others[strip];  // q = 1 - p
  T spread[strip];  // sum_c w_c * -log p_c
};

/// planes becomes the softmax.
template <class T>
void look_at_two(const Terms<T>& terms, bool losses, const Int<T>* chosen, T* planes, Pixels<T>& out) {
  const Reals<T> w0 = broadcast(terms.weights[0]), w1 = broadcast(terms.weights[1]);
  for (int i = 0; i < strip; i += full_lanes<T>) {
    const Ints<T> label = load(chosen + i);
    const Reals<T> d = load(planes + strip + i) - load(planes + i);
    const Reals<T> u = exp_nonpositive(d > 0 ? -d : d);
    const Reals<T> large = T{1} / (u + T{1}), small = u * large;
    store(planes + i, d > 0 ? small : large);
    store(planes + strip + i, d > 0 ? large : small);
    const Reals<T> z = label == 1 ? -d : d;
    store(out.weight + i, label == 1 ? w1 : w0);
    store(out.own + i, z > 0 ? small : large);
    store(out.others + i, z > 0 ? large : small);
    if (!losses) continue;
    const Reals<T> log1p = log1p_unit(u);
    const Reals<T> loss = (z > 0 ? z : Reals<T>{}) + log1p, other = (z > 0 ? Reals<T>{} : -z) + log1p;
    store(out.loss + i, loss);
    store(out.spread + i, fma(label == 1 ? w1 : w0, loss, (label == 1 ? w0 : w1) * other));
  }
}

/// planes becomes the softmax.
template <class T>
void look_at_many(const Terms<T>& terms, bool losses, int C, const Int<T>* chosen, T* planes, Pixels<T>& out) {
  T largest[strip], sum[strip];
  find_largest(planes, C, largest);
  for (int i = 0; i < strip; i += full_lanes<T>) {
    const Ints<T> label = load(chosen + i);
    const Reals<T> top = load(largest + i);
    Reals<T> logit = {}, weight = {}, spread = {};
    for (int c = 0; c < C; ++c) {
      const Reals<T> x = load(planes + c * strip + i), w = broadcast(terms.weights[c]);
      logit = label == c ? x : logit;
      weight = label == c ? w : weight;
      if (losses && terms.smoothed != 0) spread = fma(w, top - x, spread);
    }
    store(out.weight + i, weight);
    store(out.loss + i, top - logit);
    store(out.spread + i, spread);
  }
  exponentials(C, largest, planes, sum);
  for (int i = 0; i < strip; i += full_lanes<T>) {
    const Ints<T> label = load(chosen + i);
    const Reals<T> total = load(sum + i), factor = T{1} / total;
    Reals<T> own = {}, others = total - total;  // NaN if that is one
    for (int c = 0; c < C; ++c) {
      const Reals<T> p = load(planes + c * strip + i) * factor;
      store(planes + c * strip + i, p);
      own = label == c ? p : own;
      others += label == c ? Reals<T>{} : p;
    }
    store(out.own + i, own);
    store(out.others + i, others);
    if (!losses) continue;
    const Reals<T> log_total = log_of_sum(total);
    store(out.loss + i, others < T{0.25} ? loss_of_small(others) : load(out.loss + i) + log_total);
    store(out.spread + i, fma(broadcast(terms.weight_sum), log_total, load(out.spread + i)));
  }
}

template <class T>
[[gnu::always_inline]] inline void look_at(const Terms<T>& terms, bool losses, int C, const Int<T>* chosen, T* planes,
                                           Pixels<T>& out) {
  if (C == 2) {
    look_at_two(terms, losses, chosen, planes, out);
  } else {
    look_at_many(terms, losses, C, chosen, planes, out);
  }
}

/// What the pixels add to the loss; weights of those that do not count become 0.
template <class T>
void losses_of(const Terms<T>& terms, const Int<T>* chosen, Pixels<T>& pixels, T* losses) {
  for (int i = 0; i < strip; i += full_lanes<T>) {
    const Ints<T> label = load(chosen + i);
    const Reals<T> w = load(pixels.weight + i);
    Reals<T> share = broadcast(terms.plain);
    if (terms.focal != 0) share = fma(broadcast(terms.focal), power(load(pixels.others + i), terms.gamma), share);
    Reals<T> loss = w * load(pixels.loss + i) * share;
    if (terms.smoothed != 0) loss = fma(broadcast(terms.smoothed), load(pixels.spread + i), loss);
    store(losses + i, label >= 0 ? loss : Reals<T>{});
    store(pixels.weight + i, label >= 0 ? w : Reals<T>{});
  }
}

template <class T>
void forward(const LossSumSpec& spec, const T* x, const std::uint8_t* labels, const T* class_weights,
             std::int64_t pixels, int C, double* sums, LossSumResult* result) {
  const Terms<T> terms(spec, class_weights, C);
  const int dice_classes = spec.dice != 0 || spec.dice_batch != 0 ? C : 0;
  T planes[max_classes * strip], losses[strip], p[strip], pt[strip];
  Pixels<T> looked_at;
  Int<T> chosen[strip];
  Sum loss, weight, sum_p[max_classes], sum_pt[max_classes];
  std::int64_t sum_t[max_classes], invalid = 0;
  loss.clear();
  weight.clear();
  for (int c = 0; c < dice_classes; ++c) {
    sum_p[c].clear();
    sum_pt[c].clear();
    sum_t[c] = 0;
  }
  for (std::int64_t begin = 0; begin < pixels; begin += strip) {
    const int n = static_cast<int>(pixels - begin < strip ? pixels - begin : strip);
    invalid += choose(labels + begin, n, C, spec.ignore_index, chosen);
    split(x + begin * C, n, C, planes);
    look_at(terms, true, C, chosen, planes, looked_at);
    losses_of(terms, chosen, looked_at, losses);
    loss.add(losses);
    weight.add(looked_at.weight);
    for (int c = 0; c < dice_classes; ++c) {
      sum_t[c] += select_class<T>(planes + c * strip, chosen, c, p, pt);
      sum_p[c].add(p);
      sum_pt[c].add(pt);
    }
  }
  for (int c = 0; c < dice_classes; ++c) {
    sums[3 * c] = sum_pt[c].total();
    sums[3 * c + 1] = sum_p[c].total();
    sums[3 * c + 2] = static_cast<double>(sum_t[c]);
  }
  result->pixels = loss.total();
  result->weight = weight.total();
  result->invalid = invalid;
}

/// dD/dp of each class, for pixels of the class and for the others; all 0 without a Dice term.
template <class T>
struct DiceSlopes {
  T if_true[max_classes], if_false[max_classes];
};

/// What p_c - [c == l] is multiplied by.
template <class T>
[[gnu::always_inline]] inline Reals<T> coefficient(const Terms<T>& terms, const Pixels<T>& pixels, int i, T factor) {
  Reals<T> share = broadcast(terms.plain);
  if (terms.focal != 0) {
    const Reals<T> q = load(pixels.others + i);
    const Reals<T> ratio = q > 0 ? load(pixels.loss + i) / q : broadcast(T{1});
    share += terms.focal * power(q, terms.gamma) *
             fma(broadcast(terms.gamma), load(pixels.own + i) * ratio, broadcast(T{1}));
  }
  return factor * load(pixels.weight + i) * share;
}

/// planes becomes the gradient.
template <class T>
void gradient_of_two(const Terms<T>& terms, const Int<T>* chosen, const Pixels<T>& pixels, T factor, T if0, T if1,
                     T* planes) {
  for (int i = 0; i < strip; i += full_lanes<T>) {
    const Ints<T> label = load(chosen + i);
    const Reals<T> p0 = load(planes + i), p1 = load(planes + strip + i);
    const Reals<T> of_other = coefficient(terms, pixels, i, factor) * load(pixels.others + i);
    Reals<T> g = label == 1 ? -of_other : of_other;
    g = fma(broadcast(factor * terms.smoothed), terms.weights[0] * p1 - terms.weights[1] * p0, g);
    g = fma(label == 1 ? broadcast(if1) : broadcast(if0), p0 * p1, g);
    g = label >= 0 ? g : Reals<T>{};
    store(planes + i, -g);
    store(planes + strip + i, g);
  }
}

/// planes becomes the gradient.
template <class T>
void gradient_of_many(const Terms<T>& terms, int C, const Int<T>* chosen, const Pixels<T>& pixels, T factor,
                      const DiceSlopes<T>& dice, T* planes) {
  const T smoothed = factor * terms.smoothed;
  for (int i = 0; i < strip; i += full_lanes<T>) {
    const Ints<T> label = load(chosen + i);
    Reals<T> mean = {};
    for (int c = 0; c < C; ++c) {
      const Reals<T> slope = label == c ? broadcast(dice.if_true[c]) : broadcast(dice.if_false[c]);
      mean = fma(load(planes + c * strip + i), slope, mean);
    }
    const Reals<T> f = coefficient(terms, pixels, i, factor);
    const Reals<T> of_label = -f * load(pixels.others + i), weight_sum = broadcast(terms.weight_sum);
    for (int c = 0; c < C; ++c) {
      const Reals<T> p = load(planes + c * strip + i);
      const Reals<T> slope = (label == c ? broadcast(dice.if_true[c]) : broadcast(dice.if_false[c])) - mean;
      const Reals<T> smoothing = smoothed * fma(weight_sum, p, broadcast(-terms.weights[c]));
      const Reals<T> g = fma(p, slope, label == c ? of_label : f * p) + smoothing;
      store(planes + c * strip + i, label >= 0 ? g : Reals<T>{});
    }
  }
}

template <class T>
void backward(const LossSumSpec& spec, const T* x, const std::uint8_t* labels, const T* class_weights,
              std::int64_t pixels, int C, double factor, const double* slope, const double* offset, T* dx) {
  const Terms<T> terms(spec, class_weights, C);
  const T f = static_cast<T>(factor);
  DiceSlopes<T> dice;
  for (int c = 0; c < C; ++c) {
    dice.if_true[c] = slope == nullptr ? T{0} : static_cast<T>(slope[c] + offset[c]);
    dice.if_false[c] = slope == nullptr ? T{0} : static_cast<T>(offset[c]);
  }
  T planes[max_classes * strip];
  Pixels<T> looked_at;
  Int<T> chosen[strip];
  for (std::int64_t begin = 0; begin < pixels; begin += strip) {
    const int n = static_cast<int>(pixels - begin < strip ? pixels - begin : strip);
    choose(labels + begin, n, C, spec.ignore_index, chosen);
    split(x + begin * C, n, C, planes);
    look_at(terms, terms.focal != 0, C, chosen, planes, looked_at);
    if (C == 2) {
      gradient_of_two<T>(terms, chosen, looked_at, f, dice.if_false[1] - dice.if_true[0],
                         dice.if_true[1] - dice.if_false[0], planes);
    } else {
      gradient_of_many<T>(terms, C, chosen, looked_at, f, dice, planes);
    }
    join(planes, n, C, dx + begin * C);
  }
}

}  // namespace

const ByFloat<LossSumLoops> loss_sum_loops{{forward<float>, backward<float>}, {forward<double>, backward<double>}};

}  // namespace unet::kernels::cpu::UNET_ISA
