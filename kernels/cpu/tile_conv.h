// Convolutions of bf16 in AMX's tiles, the part of own:gemm that needs no gathered matrix: x is copied once, with a
// border of zeros, and a tile of A is 16 neighbouring positions of the copy under one tap: pixels of a row or, where
// images are small, the same pixel of several images.
#pragma once

#include "kernels/conv_plan.h"
#include "kernels/cpu/grid_product.h"
#include "kernels/cpu/isa/tile_conv.h"

namespace unet::kernels::cpu {

/// What does the work, inner loops.
struct TileConvLoops {
  TileLoops tile;
  PairPackLoops pair;
  ConvPackLoops<float> pack;
};
/// Those of the CPU where isa() is avx512_amx, or null.
const TileConvLoops* tile_conv_loops();
/// Others from now on, that run anywhere: for tests; null: the CPU's again.
void set_tile_conv_loops(const TileConvLoops* loops);

/// bf16 where there are loops, kernels of up to 3x3, any stride and channels. Weights are rounded to bf16, denormals
/// count as zero. Every function here gives the same bits for any number of threads.
bool tile_conv_supports(const ConvCase& c);
/// Bytes, to be 64-byte aligned.
std::size_t tile_conv_workspace(const ConvCase& c);
/// The forward pass, or one phase of backward data.
void tile_product(const GridProduct<bf16>& p, void* workspace);
/// Backward weights: reads io.x and io.dy, which may be slices, and writes io.dweights. Borders are multiplied with
/// zeros, so a value of x that is not finite makes NaN of every tap of its channel.
void tile_weights(const ConvCase& c, const ConvOperands& io, float* workspace);

}  // namespace unet::kernels::cpu
