// A 2x2 pooling window: its maximum and the winner's share of the gradient, as PyTorch has them: the first maximum in
// scan order wins, NaN wins over numbers (and the last NaN over the others). V: N channels (vec.h). For files of
// cpu/isa/ only.
#pragma once

namespace unet::kernels::cpu::UNET_ISA {

template <class V>
[[gnu::always_inline]] inline V greater(V best, V candidate) {
  return ((candidate > best) | (candidate != candidate)) ? candidate : best;
}

template <class V>
[[gnu::always_inline]] inline V maximum(const V (&window)[4]) {
  return greater(greater(greater(window[0], window[1]), window[2]), window[3]);
}

/// to[k] += gradient for the winner k of the window.
template <class V>
[[gnu::always_inline]] inline void add_to_winner(const V (&window)[4], V gradient, V (&to)[4]) {
  const V zero{};
  V best[4];
  best[0] = window[0];
  for (int k = 1; k < 4; ++k) best[k] = greater(best[k - 1], window[k]);
  for (int k = 3; k > 0; --k) {
    const auto wins = (window[k] > best[k - 1]) | (window[k] != window[k]);
    to[k] += wins ? gradient : zero;
    gradient = wins ? zero : gradient;
  }
  to[0] += gradient;
}

}  // namespace unet::kernels::cpu::UNET_ISA
