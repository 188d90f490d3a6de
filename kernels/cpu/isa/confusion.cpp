#include "kernels/cpu/isa/confusion.h"

#include "kernels/cpu/isa/softmax_strip.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

template <class T>
void arg_max(const T* __restrict x, int n, int C, std::uint8_t* __restrict best) {
  T largest[strip];
  for (int i = 0; i < n; ++i) {
    largest[i] = x[i * C];
    best[i] = 0;
  }
  for (int c = 1; c < C; ++c) {
    for (int i = 0; i < n; ++i) {
      const T value = x[i * C + c];
      best[i] = value > largest[i] ? static_cast<std::uint8_t>(c) : best[i];
      largest[i] = value > largest[i] ? value : largest[i];
    }
  }
}

template <class T>
void arg_max_of_two(const T* __restrict x, int n, std::uint8_t* __restrict best) {
  for (int i = 0; i < n; ++i) best[i] = x[2 * i + 1] > x[2 * i];
}

template <class T>
void count(const T* x, const std::uint8_t* labels, std::int64_t pixels, int C, int ignore_index, ClassCounts* counts,
           std::uint8_t* prediction) {
  std::uint8_t best[strip], counted[strip];
  for (std::int64_t begin = 0; begin < pixels; begin += strip) {
    const int n = static_cast<int>(pixels - begin < strip ? pixels - begin : strip);
    const std::uint8_t* label = labels + begin;
    if (C == 2) {
      arg_max_of_two(x + begin * C, n, best);
    } else {
      arg_max(x + begin * C, n, C, best);
    }
    if (prediction != nullptr) __builtin_memcpy(prediction + begin, best, static_cast<std::size_t>(n));
    for (int i = 0; i < n; ++i) counted[i] = (label[i] < C) & (label[i] != ignore_index);
    for (int c = 0; c < C; ++c) {
      // A strip is shorter than 256 pixels, so a byte holds each count.
      std::uint8_t both = 0, predicted = 0, truth = 0;
      for (int i = 0; i < n; ++i) {
        const std::uint8_t is_predicted = (best[i] == c) & counted[i];
        const std::uint8_t is_true = (label[i] == c) & counted[i];
        both = static_cast<std::uint8_t>(both + (is_predicted & is_true));
        predicted = static_cast<std::uint8_t>(predicted + is_predicted);
        truth = static_cast<std::uint8_t>(truth + is_true);
      }
      counts[c].both += both;
      counts[c].predicted += predicted;
      counts[c].truth += truth;
    }
  }
}

}  // namespace

const ByDtype<ConfusionLoops> confusion_loops{{count<float>}, {count<double>}};

}  // namespace unet::kernels::cpu::UNET_ISA
