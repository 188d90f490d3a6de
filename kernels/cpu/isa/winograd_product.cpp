// The matrix products between the transforms. A micro-kernel keeps rows x vectors accumulators in registers (6 x 4 or
// 12 x 2 of AVX-512's 32, 6 x 2 of the others' 16) and adds depth outer products: `vectors` loads and `rows` broadcasts
// for rows * vectors multiply-adds. Two streams of prefetches run behind them: the operands of the next product, one
// line a step, and the queue, a few lines a micro-kernel.
#include "kernels/cpu/isa/vec.h"
#include "kernels/cpu/isa/winograd.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

/// Widest panel of columns, and the most rows that a panel of that many vectors may have.
inline constexpr int kMaxVectors = lanes == 16 ? 4 : 2;
constexpr int max_rows(int vectors) {
  if (lanes != 16) return 6;
  return vectors == 4 ? 6 : vectors == 3 ? 8 : 12;
}

using MicroKernel = void (*)(const float* a, std::int64_t a_row, std::int64_t a_depth, const float* b,
                             std::int64_t b_depth, std::int64_t depth, float* c, std::int64_t c_row, bool accumulate,
                             const float* next, std::int64_t next_step);

template <int rows, int vectors>
void micro_kernel(const float* a, std::int64_t a_row, std::int64_t a_depth, const float* b, std::int64_t b_depth,
                  std::int64_t depth, float* c, std::int64_t c_row, bool accumulate, const float* next,
                  std::int64_t next_step) {
  Vec sum[rows][vectors];
  if (accumulate) {
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < vectors; ++j) sum[i][j] = load(c + i * c_row + j * lanes);
    }
  } else {
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < vectors; ++j) sum[i][j] = Vec{};
    }
  }
  // Two bases for the rows of a: with one, twelve multiples of a_row would not fit into the general registers.
  const float* lower = a + 6 * a_row;
  for (std::int64_t k = 0; k < depth; ++k) {
    prefetch(next);
    Vec column[vectors];
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) column[j] = load(b + j * lanes);
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
      const Vec row = broadcast(i < 6 ? a[i * a_row] : lower[(i - 6) * a_row]);
#pragma GCC unroll 4
      for (int j = 0; j < vectors; ++j) sum[i][j] = fma(row, column[j], sum[i][j]);
    }
    a += a_depth;
    lower += a_depth;
    b += b_depth;
    next += next_step;
  }
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) store(c + i * c_row + j * lanes, sum[i][j]);
  }
}

/// Micro-kernel of so many rows and vectors; null where there is none.
template <int rows, int vectors>
constexpr MicroKernel kernel_or_null() {
  if constexpr (vectors <= kMaxVectors && rows <= max_rows(vectors)) {
    return micro_kernel<rows, vectors>;
  } else {
    return nullptr;
  }
}
template <int vectors>
struct Row {
  MicroKernel of_rows[13] = {nullptr,
                             kernel_or_null<1, vectors>(),
                             kernel_or_null<2, vectors>(),
                             kernel_or_null<3, vectors>(),
                             kernel_or_null<4, vectors>(),
                             kernel_or_null<5, vectors>(),
                             kernel_or_null<6, vectors>(),
                             kernel_or_null<7, vectors>(),
                             kernel_or_null<8, vectors>(),
                             kernel_or_null<9, vectors>(),
                             kernel_or_null<10, vectors>(),
                             kernel_or_null<11, vectors>(),
                             kernel_or_null<12, vectors>()};
};
constexpr Row<1> kOne;
constexpr Row<2> kTwo;
constexpr Row<3> kThree;
constexpr Row<4> kFour;
constexpr const MicroKernel* kKernels[] = {nullptr, kOne.of_rows, kTwo.of_rows, kThree.of_rows, kFour.of_rows};

void fetch_some(PrefetchQueue& queue) {
  if (queue.wait > 0) {
    --queue.wait;
    return;
  }
  for (std::int64_t i = 0; i < queue.lines_per_call; ++i) {
    while (queue.current < queue.areas && queue.row >= queue.area[queue.current].rows) {
      ++queue.current;
      queue.row = queue.offset = 0;
    }
    if (queue.current == queue.areas) return;
    const PrefetchArea& area = queue.area[queue.current];
    prefetch(area.data + queue.row * area.row_stride + queue.offset);
    queue.offset += 64;
    if (queue.offset >= area.row_bytes) {
      queue.offset = 0;
      ++queue.row;
    }
  }
}

void multiply(const WinogradProduct& p, PrefetchQueue& queue) {
  const float* next[2] = {p.next[0], p.next[1]};
  std::int64_t lines[2] = {p.next_lines[0], p.next_lines[1]};
  int which = 0;
  for (std::int64_t column = 0; column < p.columns;) {
    const std::int64_t left = (p.columns - column) / lanes;
    const int vectors = left < kMaxVectors ? static_cast<int>(left) : kMaxVectors;
    const std::int64_t groups = (p.rows + max_rows(vectors) - 1) / max_rows(vectors);
    for (std::int64_t g = 0; g < groups; ++g) {  // groups of rows as even as possible
      const std::int64_t row = p.rows * g / groups, rows = p.rows * (g + 1) / groups - row;
      fetch_some(queue);
      while (which < 2 && lines[which] <= 0) ++which;
      const float* ahead = which < 2 ? next[which] : p.b;
      kKernels[vectors][rows](p.a + row * p.a_row, p.a_row, p.a_depth, p.b + column, p.b_depth, p.depth,
                              p.c + row * p.c_row + column, p.c_row, p.accumulate, ahead, which < 2 ? 16 : 0);
      if (which < 2) {
        next[which] += 16 * p.depth;
        lines[which] -= p.depth;
      }
    }
    column += vectors * lanes;
  }
}

std::int64_t micro_kernels(std::int64_t rows, std::int64_t columns) {
  std::int64_t calls = 0;
  for (std::int64_t left = columns / lanes; left > 0; left -= kMaxVectors) {
    const int most = max_rows(left < kMaxVectors ? static_cast<int>(left) : kMaxVectors);
    calls += (rows + most - 1) / most;
  }
  return calls;
}

}  // namespace

extern const WinogradProductLoops winograd_products = {multiply, micro_kernels, fence};

}  // namespace unet::kernels::cpu::UNET_ISA
