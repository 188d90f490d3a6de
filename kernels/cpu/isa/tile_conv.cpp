// This file is compiled with -mamx-tile -mamx-bf16 on top of what the rest of its folder gets, and only into the
// namespace avx512.
#include "kernels/cpu/isa/tile_conv.h"

#if defined(UNET_ISA_avx512)
#if defined(__AMX_BF16__) && defined(__AMX_TILE__)
#include "kernels/cpu/isa/vec.h"

namespace unet::kernels::cpu::avx512 {
namespace {

struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

/// GCC 12 does not know that tiles are loaded from memory: what was stored before lies there after this.
[[gnu::always_inline]] inline void settle_memory() { asm volatile("" ::: "memory"); }

/// Sums of up to two tiles of A by two of B: tiles 0 to 3 are the sums, 4 and 5 of A, 6 and 7 of B.
template <bool kTwo>
[[gnu::noinline]] void product_of(const TileProduct& p, std::int64_t panel, std::int64_t tile) {
  constexpr std::int64_t kSumBytes = kTileColumns * sizeof(float);
  float* sums = p.sums + (panel * p.tiles + tile) * kTileSums;
  if (p.accumulate) {
    _tile_loadd(0, sums, kSumBytes);
    _tile_loadd(1, sums + 16, kSumBytes);
    if constexpr (kTwo) {
      _tile_loadd(2, sums + kTileSums, kSumBytes);
      _tile_loadd(3, sums + kTileSums + 16, kSumBytes);
    }
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  const std::int64_t a_bytes = p.a_row * 2, b_bytes = p.b_row * 4, b_step = p.b_row * kTileRows;
  for (std::int64_t tap = 0; tap < p.taps; ++tap) {
    const bf16* a0 = p.a + p.a_tile[tile] + p.a_tap[tap];
    const bf16* a1 = kTwo ? p.a + p.a_tile[tile + 1] + p.a_tap[tap] : nullptr;
    const BfPair* b = p.b + panel * p.b_panel + tap * p.b_tap;
    for (std::int64_t step = 0; step < p.steps; ++step, a0 += 32, b += b_step) {
      _tile_loadd(4, a0, a_bytes);
      _tile_loadd(6, b, b_bytes);
      _tile_loadd(7, b + 16, b_bytes);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      if constexpr (kTwo) {
        _tile_loadd(5, a1, a_bytes);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        a1 += 32;
      }
    }
  }
  _tile_stored(0, sums, kSumBytes);
  _tile_stored(1, sums + 16, kSumBytes);
  if constexpr (kTwo) {
    _tile_stored(2, sums + kTileSums, kSumBytes);
    _tile_stored(3, sums + kTileSums + 16, kSumBytes);
  }
}

void product(const TileProduct& p) {
  const TileConfig config;
  _tile_loadconfig(&config);
  settle_memory();
  for (std::int64_t panel = 0; panel < p.panels; ++panel) {
    std::int64_t tile = 0;
    for (; tile + 2 <= p.tiles; tile += 2) product_of<true>(p, panel, tile);
    if (tile < p.tiles) product_of<false>(p, panel, tile);
  }
  settle_memory();
  _tile_release();
}

void store_sums(const TileStore& s) {
  const int first = static_cast<int>(s.cols < lanes ? s.cols : lanes), second = static_cast<int>(s.cols) - first;
  Vec bias[2] = {};
  if (s.bias != nullptr) {
    bias[0] = load(s.bias, first);
    bias[1] = load(s.bias + lanes, second);
  }
  for (std::int64_t r = 0; r < s.rows; ++r) {
    if (s.pixel[r] < 0) continue;
    const float* sums = s.sums + r * kTileColumns;
    const bf16* residual = s.residual + s.pixel[r] * s.residual_pitch;
    bf16* y = s.y + s.y_at[r];
    for (int half = 0; half < 2; ++half) {
      const int count = half == 0 ? first : second;
      Vec value = load(sums + half * lanes) + bias[half];
      if (s.residual != nullptr) value += load(residual + half * lanes, count);
      if (s.relu) value = relu(value);
      store(y + half * lanes, value, count);
    }
  }
}

using Words = U32<16>;
using InMemoryWords = typename VectorOf<std::uint32_t, 16>::in_memory;

/// Row i's word j becomes row j's word i.
[[gnu::always_inline]] inline void transpose_words(Words (&rows)[16]) {
  // Within blocks of four words: t, then rows[4g + q], which has of rows 4g to 4g + 3 the words 4b + q in block b.
  Words t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = __builtin_shufflevector(rows[i], rows[i + 1], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
    t[i + 1] =
        __builtin_shufflevector(rows[i], rows[i + 1], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const int g = i / 2 * 4, half = i % 2;
    const Words upper = t[g + half], lower = t[g + half + 2];
    rows[g + 2 * half] =
        __builtin_shufflevector(upper, lower, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
    rows[g + 2 * half + 1] =
        __builtin_shufflevector(upper, lower, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  }
  // Then the blocks themselves.
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const int q = i % 4, of = i / 4 * 8;
    const Words first = rows[of + q], second = rows[of + 4 + q];
    t[of + q] = __builtin_shufflevector(first, second, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
    t[of + 4 + q] = __builtin_shufflevector(first, second, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const int q = i % 4, odd = i / 4 * 4;  // blocks 0 and 2, then 1 and 3
    rows[odd + q] =
        __builtin_shufflevector(t[odd + q], t[8 + odd + q], 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
    rows[8 + odd + q] =
        __builtin_shufflevector(t[odd + q], t[8 + odd + q], 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  }
}

[[gnu::always_inline]] inline Words pairs_of(U16<16> first, U16<16> second) {
  return __builtin_convertvector(first, Words) | __builtin_convertvector(second, Words) << 16;
}

void store_words(BfPair* to, Words words) { *reinterpret_cast<InMemoryWords*>(to) = words; }

/// How many of a vector's lanes there still are.
int rest(std::int64_t all, std::int64_t done) {
  return static_cast<int>(all <= done ? 0 : all - done < lanes ? all - done : lanes);
}

void weights(const float* w, std::int64_t stride_c, std::int64_t stride_j, std::int64_t channels, std::int64_t cols,
             BfPair* dst) {
  for (std::int64_t c = 0; c < channels; c += 32) {
    for (std::int64_t j = 0; j < kTileColumns; j += 16) {
      Words words[16];
      if (stride_c == 1) {
        for (int i = 0; i < 16; ++i) {
          const float* at = w + c + (j + i) * stride_j;
          const bool none = j + i >= cols;
          const U16<16> first = narrowed<16>(load(at, none ? 0 : rest(channels, c)));
          const U16<16> second = narrowed<16>(load(at + 16, none ? 0 : rest(channels, c + 16)));
          words[i] = reinterpret_cast<Words>(__builtin_shufflevector(first, second, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
                                                                     11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
                                                                     24, 25, 26, 27, 28, 29, 30, 31));
        }
        transpose_words(words);
      } else {
        for (int k = 0; k < 16; ++k) {
          const float* at = w + (c + 2 * k) * stride_c + j;
          const U16<16> first = narrowed<16>(load(at, c + 2 * k < channels ? rest(cols, j) : 0));
          const U16<16> second = narrowed<16>(load(at + stride_c, c + 2 * k + 1 < channels ? rest(cols, j) : 0));
          words[k] = pairs_of(first, second);
        }
      }
      for (int k = 0; k < 16; ++k) store_words(dst + (c / 2 + k) * kTileColumns + j, words[k]);
    }
  }
}

void copy(const bf16* from, std::int64_t from_stride, std::int64_t count, std::int64_t channels, bf16* to,
          std::int64_t to_stride) {
  for (std::int64_t c = 0; c < channels; c += 32) {
    const auto some = static_cast<__mmask32>(channels - c < 32 ? (1u << (channels - c)) - 1 : 0xffffffffu);
    for (std::int64_t p = 0; p < count; ++p) {
      _mm512_storeu_si512(to + p * to_stride + c, _mm512_maskz_loadu_epi16(some, from + p * from_stride + c));
    }
  }
}

void transpose(const bf16* rows, std::int64_t stride, std::int64_t pairs, std::int64_t channels, BfPair* dst,
               std::int64_t dst_stride) {
  const auto bits = [](const bf16* at) -> U16<16> { return *reinterpret_cast<const InMemory<bf16, 16>*>(at); };
  for (std::int64_t p = 0; p < pairs; p += 16) {
    for (std::int64_t c = 0; c < channels; c += 16) {
      Words words[16];
      for (int i = 0; i < 16; ++i) {
        const bf16* at = rows + 2 * (p + i) * stride + c;
        words[i] = pairs_of(bits(at), bits(at + stride));
      }
      transpose_words(words);
      for (int i = 0; i < 16; ++i) store_words(dst + (c + i) * dst_stride + p, words[i]);
    }
  }
}

}  // namespace

const TileLoops tile_loops{product, store_sums, weights, copy, transpose};

}  // namespace unet::kernels::cpu::avx512
#else
namespace unet::kernels::cpu::avx512 {
const TileLoops tile_loops{};  // no such CPU for this compiler: isa() never says avx512_amx
}
#endif
#endif
