#include "kernels/cpu/isa/max_pool.h"

#include "kernels/cpu/isa/vec.h"
#include "kernels/cpu/isa/window.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

template <class T, bool Backward>
void max_pool(const MaxPoolRun<T>& given, std::int64_t first, std::int64_t pooled) {
  const MaxPoolRun<T> run = given;
  for (std::int64_t i = 0; i < run.width / 2; ++i) {
    const std::int64_t p = first + 2 * i;
    const std::int64_t pixel[4] = {p, p + 1, p + run.width, p + run.width + 1};
    for_channels<T>(
        run.channels, [&](auto n, std::int64_t c) __attribute__((always_inline)) {
          constexpr int N = n.count;
          Vector<T, N> x[4];
          for (int k = 0; k < 4; ++k) x[k] = load<T, N>(run.x + pixel[k] * run.x_pitch + c);
          if constexpr (Backward) {
            Vector<T, N> dx[4] = {};
            add_to_winner(x, load<T, N>(run.dy + (pooled + i) * run.dy_pitch + c), dx);
            for (int k = 0; k < 4; ++k) put<T, N>(run.dx + pixel[k] * run.dx_pitch + c, dx[k], run.stream_dx);
          } else {
            store<T, N>(run.y + (pooled + i) * run.y_pitch + c, maximum(x));
          }
        });
  }
  if (Backward && run.stream_dx) fence();
}

/// How far a 3x3 window reaches from its centre: 1, or 0 at a border.
struct Reach {
  std::int64_t up, down, left, right;
  bool whole() const { return (up & down & left & right) != 0; }
};

/// A window's maximum and which of the nine places holds it.
template <class T, int N>
struct Winner {
  Vector<T, N> value, place;
};

template <class T, int N>
[[gnu::always_inline]] inline Winner<T, N> winner_within(const T* centre, std::int64_t pitch, std::int64_t row_pitch,
                                                         const Reach& reach) {
  Winner<T, N> best{};
  bool first = true;
  for (std::int64_t i = -reach.up; i <= reach.down; ++i) {
    for (std::int64_t j = -reach.left; j <= reach.right; ++j) {
      const Vector<T, N> x = load<T, N>(centre + i * row_pitch + j * pitch);
      const Vector<T, N> place = broadcast<Compute<T>, N>(static_cast<Compute<T>>(3 * i + j + 4));
      if (first) {
        best = {x, place};
        first = false;
        continue;
      }
      const auto wins = (x > best.value) | (x != x);
      best.value = wins ? x : best.value;
      best.place = wins ? place : best.place;
    }
  }
  return best;
}

template <class T, int N>
[[gnu::always_inline]] inline Winner<T, N> winner(const T* centre, std::int64_t pitch, std::int64_t row_pitch,
                                                  const Reach& reach) {
  if (reach.whole()) return winner_within<T, N>(centre, pitch, row_pitch, {1, 1, 1, 1});
  return winner_within<T, N>(centre, pitch, row_pitch, reach);
}

/// The reach of the window with y's row `row` of an image and column `column`.
template <class T>
[[gnu::always_inline]] inline Reach reach_of(const MaxPoolRun<T>& run, std::int64_t row, std::int64_t column) {
  return {row > 0, 2 * row + 1 < run.height, column > 0, 2 * column + 1 < run.width};
}

template <class T>
void forward_overlapping(const MaxPoolRun<T>& given, std::int64_t begin, std::int64_t end) {
  const MaxPoolRun<T> run = given;
  const std::int64_t rows = (run.height + 1) / 2, columns = (run.width + 1) / 2;
  for (std::int64_t row = begin; row < end; ++row) {
    const T* x = run.x + (row / rows * run.height + row % rows * 2) * run.width * run.x_pitch;
    for (std::int64_t column = 0; column < columns; ++column) {
      const Reach reach = reach_of(run, row % rows, column);
      T* y = run.y + (row * columns + column) * run.y_pitch;
      for_channels<T>(
          run.channels, [&](auto n, std::int64_t c) __attribute__((always_inline)) {
            constexpr int N = n.count;
            const T* centre = x + 2 * column * run.x_pitch + c;
            store<T, N>(y + c, winner<T, N>(centre, run.x_pitch, run.width * run.x_pitch, reach).value);
          });
    }
  }
}

// The winners of two neighbouring rows of windows, of so many columns and channels, stay in the first-level cache.
constexpr std::int64_t kColumns = 32;
constexpr std::int64_t kChannels = 64;

/// The channels [first, first + count).
struct Slab {
  std::int64_t first, count;
};

/// The winners of windows [begin, end] of a row, kChannels apart; -1, which is no place, for those that are not there.
template <class T>
void find_winners(const MaxPoolRun<T>& run, std::int64_t image, std::int64_t row, std::int64_t begin, std::int64_t end,
                  const Slab& slab, Compute<T>* to) {
  const T* x = run.x + (image * run.height + 2 * row) * run.width * run.x_pitch + slab.first;
  for (std::int64_t column = begin; column <= end; ++column, to += kChannels) {
    if (2 * row >= run.height || 2 * column >= run.width) {
      for (std::int64_t c = 0; c < slab.count; ++c) to[c] = -1;
      continue;
    }
    const Reach reach = reach_of(run, row, column);
    for_channels<T>(
        slab.count, [&](auto n, std::int64_t c) __attribute__((always_inline)) {
          constexpr int N = n.count;
          const T* centre = x + 2 * column * run.x_pitch + c;
          store<Compute<T>, N>(to + c, winner<T, N>(centre, run.x_pitch, run.width * run.x_pitch, reach).place);
        });
  }
}

/// Four pixels of dx, the first one the centre of window (image, row, column), from the winners of that window and of
/// its neighbours to the right (kChannels further) and below.
template <class T>
[[gnu::always_inline]] inline void route(const MaxPoolRun<T>& run, std::int64_t image, std::int64_t row,
                                         std::int64_t column, const Slab& slab, const Compute<T>* winners,
                                         const Compute<T>* winners_below) {
  const std::int64_t rows = (run.height + 1) / 2, columns = (run.width + 1) / 2;
  const bool right = 2 * column + 1 < run.width, below = 2 * row + 1 < run.height;
  // A window that is not there has no winner, so any dy does for it.
  const std::int64_t dy_right = column + 1 < columns ? run.dy_pitch : 0;
  const std::int64_t dy_below = row + 1 < rows ? columns * run.dy_pitch : 0;
  const T* dy = run.dy + ((image * rows + row) * columns + column) * run.dy_pitch + slab.first;
  T* dx = run.dx + ((image * run.height + 2 * row) * run.width + 2 * column) * run.dx_pitch + slab.first;
  T* next = dx + run.width * run.dx_pitch;
  for_channels<T>(
      slab.count, [&](auto n, std::int64_t c) __attribute__((always_inline)) {
        constexpr int N = n.count;
        const auto share = [c](const Compute<T>* winner, const T* slope, int place) __attribute__((always_inline)) {
          const auto won = load<Compute<T>, N>(winner + c) == broadcast<Compute<T>, N>(static_cast<Compute<T>>(place));
          return won ? load<T, N>(slope + c) : Vector<T, N>{};
        };
        const auto own = [&](int place) { return share(winners, dy, place); };
        const auto from_right = [&](int place) { return share(winners + kChannels, dy + dy_right, place); };
        const auto from_below = [&](int place) { return share(winners_below, dy + dy_below, place); };
        const auto from_corner = [&](int place) {
          return share(winners_below + kChannels, dy + dy_below + dy_right, place);
        };
        const std::int64_t beside = run.dx_pitch + c;
        put<T, N>(dx + c, own(4), run.stream_dx);
        if (right) put<T, N>(dx + beside, own(5) + from_right(3), run.stream_dx);
        if (!below) return;
        put<T, N>(next + c, own(7) + from_below(1), run.stream_dx);
        if (right) put<T, N>(next + beside, own(8) + from_right(6) + from_below(2) + from_corner(0), run.stream_dx);
      });
}

template <class T>
void backward_overlapping(const MaxPoolRun<T>& given, std::int64_t begin, std::int64_t end) {
  const MaxPoolRun<T> run = given;
  const std::int64_t rows = (run.height + 1) / 2, columns = (run.width + 1) / 2;
  alignas(64) Compute<T> winners[2][(kColumns + 1) * kChannels];
  for (std::int64_t first = 0; first < columns; first += kColumns) {
    const std::int64_t last = first + kColumns < columns ? first + kColumns : columns;
    for (std::int64_t c = 0; c < run.channels; c += kChannels) {
      const Slab slab{c, c + kChannels < run.channels ? kChannels : run.channels - c};
      for (std::int64_t at = begin; at < end; ++at) {
        const std::int64_t image = at / rows, row = at % rows;
        Compute<T>*const own = winners[row % 2], *const below = winners[(row + 1) % 2];
        if (at == begin || row == 0) find_winners(run, image, row, first, last, slab, own);
        find_winners(run, image, row + 1, first, last, slab, below);
        for (std::int64_t column = first; column < last; ++column) {
          const std::int64_t place = (column - first) * kChannels;
          route(run, image, row, column, slab, own + place, below + place);
        }
      }
    }
  }
  if (run.stream_dx) fence();
}

template <class T>
constexpr MaxPoolLoops<T> loops() {
  return {max_pool<T, false>, max_pool<T, true>, forward_overlapping<T>, backward_overlapping<T>};
}

}  // namespace

const MaxPoolTable max_pool_loops = {loops<float>(), loops<double>(), loops<bf16>()};

}  // namespace unet::kernels::cpu::UNET_ISA
