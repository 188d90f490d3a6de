#include "kernels/cpu/isa/confusion.h"

#include "kernels/cpu/isa/softmax_strip.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

template <class T>
void count(const T* x, const std::uint8_t* labels, std::int64_t pixels, int C, int ignore_index, ClassCounts* counts,
           std::uint8_t* prediction) {
  T planes[max_classes * strip], largest[strip];
  Int<T> best[strip], chosen[strip];
  for (std::int64_t begin = 0; begin < pixels; begin += strip) {
    const int n = static_cast<int>(pixels - begin < strip ? pixels - begin : strip);
    choose(labels + begin, n, C, ignore_index, chosen);
    split(x + begin * C, n, C, planes);
    find_largest(planes, C, largest);
    for (int i = 0; i < strip; i += full_lanes<T>) {
      Ints<T> first = {};
      // Downwards, so that the first of equals stays.
      for (int c = C - 1; c >= 0; --c) {
        first = load(planes + c * strip + i) == load(largest + i) ? Ints<T>{} + c : first;
      }
      __builtin_memcpy(best + i, &first, sizeof first);
    }
    for (int i = 0; prediction != nullptr && i < n; ++i) prediction[begin + i] = static_cast<std::uint8_t>(best[i]);
    for (int c = 0; c < C; ++c) {
      Ints<T> both = {}, predicted = {}, truth = {};
      for (int i = 0; i < strip; i += full_lanes<T>) {
        const Ints<T> label = load(chosen + i), guess = load(best + i);
        both -= (guess == c) & (label == c);
        predicted -= (guess == c) & (label >= 0);
        truth -= label == c;
      }
      for (int k = 0; k < full_lanes<T>; ++k) {
        counts[c].both += both[k];
        counts[c].predicted += predicted[k];
        counts[c].truth += truth[k];
      }
    }
  }
}

}  // namespace

const ByFloat<ConfusionLoops> confusion_loops{{count<float>}, {count<double>}};

}  // namespace unet::kernels::cpu::UNET_ISA
