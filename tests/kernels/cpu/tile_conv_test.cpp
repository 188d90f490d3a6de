// Convolutions in tiles on any CPU: plain loops stand in for AMX's.
#include "kernels/cpu/tile_conv.h"

#include <atomic>
#include <bit>

#include "kernels/cpu/parallel.h"
#include "tests/kernels/cpu/conv_case.h"

namespace unet::kernels::tile_conv_test {
namespace {

using cpu::BfPair;
using cpu::kTileColumns;
using cpu::kTileRows;
using cpu::kTileSums;
using test::bf16_rounding;
using test::Case;
using test::nmse;
using test::Operands;
using test::Reference;
using test::Values;

BfPair pair_of(bf16 low, bf16 high) { return {std::uint32_t{low.bits} | std::uint32_t{high.bits} << 16}; }
float low_of(BfPair pair) { return std::bit_cast<float>(pair.bits << 16); }
float high_of(BfPair pair) { return std::bit_cast<float>(pair.bits & 0xffff0000u); }
float widened(bf16 value) { return low_of({value.bits}); }
bf16 rounded(float value) { return {test::to_bf16(static_cast<double>(value))}; }

std::atomic<std::int64_t> products = 0;  // of a tile of A by the two of B

void product(const cpu::TileProduct& p) {
  products += p.panels * p.tiles * p.taps * p.steps;
  for (std::int64_t panel = 0; panel < p.panels; ++panel) {
    for (std::int64_t tile = 0; tile < p.tiles; ++tile) {
      float* sums = p.sums + (panel * p.tiles + tile) * kTileSums;
      if (!p.accumulate) std::fill_n(sums, kTileSums, 0.0f);
      for (std::int64_t tap = 0; tap < p.taps; ++tap) {
        for (std::int64_t step = 0; step < p.steps; ++step) {
          for (std::int64_t row = 0; row < kTileRows; ++row) {
            const bf16* a = p.a + p.a_tile[tile] + p.a_tap[tap] + row * p.a_row + step * 32;
            for (std::int64_t k = 0; k < 16; ++k) {
              const BfPair* b = p.b + panel * p.b_panel + tap * p.b_tap + (step * 16 + k) * p.b_row;
              const float first = widened(a[2 * k]), second = widened(a[2 * k + 1]);
              for (std::int64_t column = 0; column < kTileColumns; ++column) {
                sums[row * kTileColumns + column] += first * low_of(b[column]) + second * high_of(b[column]);
              }
            }
          }
        }
      }
    }
  }
}

void store(const cpu::TileStore& s) {
  for (std::int64_t r = 0; r < s.rows; ++r) {
    if (s.pixel[r] < 0) continue;
    for (std::int64_t j = 0; j < s.cols; ++j) {
      float value = s.sums[r * kTileColumns + j];
      if (s.bias != nullptr) value += s.bias[j];
      if (s.residual != nullptr) value += widened(s.residual[s.pixel[r] * s.residual_pitch + j]);
      s.y[s.y_at[r] + j] = rounded(s.relu && value < 0 ? 0 : value);
    }
  }
}

void weights(const float* w, std::int64_t stride_c, std::int64_t stride_j, std::int64_t channels, std::int64_t cols,
             BfPair* dst) {
  const auto at = [&](std::int64_t c, std::int64_t j) {
    return c < channels && j < cols ? rounded(w[c * stride_c + j * stride_j]) : bf16{};
  };
  for (std::int64_t c = 0; c < (channels + 31) / 32 * 32; c += 2) {
    for (std::int64_t j = 0; j < kTileColumns; ++j) dst[c / 2 * kTileColumns + j] = pair_of(at(c, j), at(c + 1, j));
  }
}

void copy(const bf16* from, std::int64_t from_stride, std::int64_t count, std::int64_t channels, bf16* to,
          std::int64_t to_stride) {
  for (std::int64_t p = 0; p < count; ++p) {
    for (std::int64_t c = 0; c < (channels + 31) / 32 * 32; ++c) {
      to[p * to_stride + c] = c < channels ? from[p * from_stride + c] : bf16{};
    }
  }
}

void transpose(const bf16* rows, std::int64_t stride, std::int64_t pairs, std::int64_t channels, BfPair* dst,
               std::int64_t dst_stride) {
  for (std::int64_t p = 0; p < pairs; ++p) {
    for (std::int64_t c = 0; c < channels; ++c) {
      dst[c * dst_stride + p] = pair_of(rows[2 * p * stride + c], rows[(2 * p + 1) * stride + c]);
    }
  }
}

void interleave(const bf16* rows, std::int64_t stride, std::int64_t count, std::int64_t cols, BfPair* dst) {
  for (std::int64_t r = 0; r < count; ++r) {
    for (std::int64_t j = 0; j < cols; ++j) {
      dst[r * stride + j] = pair_of(rows[2 * r * stride + j], rows[(2 * r + 1) * stride + j]);
    }
  }
}

class TileConv : public testing::TestWithParam<ConvPass> {
 protected:
  TileConv() { cpu::set_tile_conv_loops(&plain_); }
  ~TileConv() override { cpu::set_tile_conv_loops(nullptr); }

  static ConvPlan plan(const Case& c) { return cpu::plan_conv_by_id(c.of(GetParam(), Dtype::bf16), "own:gemm"); }
  static Values run(const Case& c, const Operands& in, std::int64_t gap = 0) {
    return test::run(plan(c), c, GetParam(), Dtype::bf16, in, gap);
  }

 private:
  const cpu::TileConvLoops plain_{{product, store, weights, copy, transpose},
                                  {nullptr, nullptr, interleave},
                                  cpu::baseline::conv_pack_loops.of(float{})};
};
INSTANTIATE_TEST_SUITE_P(Pass, TileConv,
                         testing::Values(ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weights),
                         [](const auto& pass) { return std::string(name_of(pass.param)); });

// Images that lie side by side in a patch, one for each row of a tile and fewer, with an image missing in the last one,
// whole tiles in a row of pixels and tiles that run on; patches in both directions; strides; one pixel; one row.
const Case kCases[] = {
    {{16, 4, 4, 48, 40, 3, 3}, {1, 1, true, true}},
    {{16, 8, 8, 33, 17, 3, 3}, {1, 1, false, false, true}},
    {{16, 2, 2, 70, 34, 3, 3}, {1, 1}},
    {{17, 3, 3, 70, 40, 3, 3}, {1, 1, false, true, true}},
    {{3, 7, 5, 20, 36, 3, 3}, {1, 1, true}},
    {{7, 4, 6, 16, 130, 1, 1}, {1, 0, true, true}},
    {{33, 1, 1, 64, 32, 3, 3}, {1, 1}},
    {{16, 8, 8, 40, 33, 3, 3}, {2, 1, true, true}},
    {{8, 16, 16, 18, 34, 3, 3}, {1, 1}},
    {{2, 37, 32, 18, 34, 3, 3}, {1, 1}},
    {{2, 9, 66, 36, 18, 3, 3}, {2, 1}},
    {{3, 5, 32, 18, 34, 2, 2}, {1, 1}},
    {{2, 41, 130, 8, 36, 3, 3}, {2, 1, true, false, true}},
    {{1, 1, 300, 40, 33, 3, 3}, {1, 1, true, true}},
    {{2, 33, 31, 64, 48, 3, 3}, {1, 1, true, true, true}},
    {{2, 50, 41, 3, 17, 3, 3}, {1, 0, true}},
    {{1, 12, 9, 150, 33, 3, 3}, {1, 3, true}},
    {{6, 5, 5, 24, 40, 1, 3}, {1, 1}},
    {{9, 6, 6, 24, 40, 2, 2}, {2, 0, true}},
    {{4, 9, 7, 6, 4, 1, 1}, {2, 0, true}},
};

TEST_P(TileConv, EqualsReferenceOnTheRoundedInputs) {
  for (const Case& c : kCases) {
    const Operands in(c, Dtype::bf16);
    const Reference r = in.reference_of_tiles(c);
    const bool weights = GetParam() == ConvPass::backward_weights;
    const Values& exact = GetParam() == ConvPass::forward ? r.y : weights ? r.dweights : r.dx;
    EXPECT_LE(nmse(run(c, in), exact), weights ? 1e-11 : bf16_rounding(exact.size())) << c;
  }
}

TEST_P(TileConv, OfSlicesAndOnAnyThreadsGivesTheSameBytes) {
  const int before = cpu::threads();
  for (const Case& c : {kCases[0], kCases[4], kCases[7], kCases[11]}) {
    cpu::set_threads(1);
    const Values one = run(c, Operands(c, Dtype::bf16));
    cpu::set_threads(3);
    EXPECT_EQ(run(c, Operands(c, Dtype::bf16)), one) << c;
    EXPECT_EQ(run(c, Operands(c, Dtype::bf16, 5), 5), one) << c;
  }
  cpu::set_threads(before);
}

/// Of small images nothing is multiplied but their pixels: 16 of them (weight gradients: 32), 32 channels by 32 at a
/// time.
TEST_P(TileConv, SmallImagesAreMultipliedWithoutTheirBorders) {
  for (const Case& c : {Case{{16, 4, 4, 64, 32, 3, 3}, {1, 1}}, Case{{16, 8, 8, 32, 64, 3, 3}, {1, 1}}}) {
    const ConvShape& s = c.shape;
    products = 0;
    run(c, Operands(c, Dtype::bf16));
    EXPECT_EQ(products, s.N * s.H * s.W / 16 * s.taps() * (s.Cin / 32) * (s.Cout / 32)) << c;
  }
}

/// An image's results do not depend on those beside it: not on their number, and not on values that are not finite. Of
/// the sum over all images, one is left where the others' gradients are zero.
TEST_P(TileConv, ImagesDoNotMix) {
  const bool sum = GetParam() == ConvPass::backward_weights;
  const auto first_of = [&](const Case& c, double others) {
    Operands in(c, Dtype::bf16);
    test::Buffer& changed = GetParam() == ConvPass::forward ? in.x : in.dy;
    const auto values = static_cast<std::int64_t>(changed.values().size());
    for (std::int64_t i = values / c.shape.N; i < values; ++i) changed.set(i, others);
    Values all = run(c, in);
    if (!sum) all.resize(all.size() / static_cast<std::size_t>(c.shape.N));
    return all;
  };
  const Case one{{1, 5, 4, 24, 40, 3, 3}, {1, 1}}, many{{13, 5, 4, 24, 40, 3, 3}, {1, 1}};
  const Values alone = first_of(one, 0);
  if (sum) {
    EXPECT_LE(nmse(first_of(many, 0), alone), 1e-12);
  } else {
    EXPECT_EQ(first_of(many, 3), alone);
    EXPECT_EQ(first_of(many, std::nan("")), alone);
  }
}

}  // namespace
}  // namespace unet::kernels::tile_conv_test
