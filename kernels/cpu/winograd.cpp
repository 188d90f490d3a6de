#include "kernels/cpu/winograd.h"

#include <algorithm>

#include "kernels/cpu/winograd_schedule.h"

namespace unet::kernels::cpu {

WinogradKernels winograd_kernels(WinogradTile tile, Dtype activations, Isa set) {
  const int size = tile == WinogradTile::f4x4, type = activations == Dtype::bf16;
  const std::int64_t m = size ? 4 : 2;
  const std::int64_t element = static_cast<std::int64_t>(size_of(activations));
  const auto bundle = [&](const auto& tiles, const auto& filters, const auto& product) {
    return WinogradKernels{
        m, (m + 2) * (m + 2), element, &tiles[size][type], {&filters[size][0], &filters[size][1]}, &product};
  };
  switch (set) {
    case Isa::avx512:
      return bundle(avx512::winograd_tiles, avx512::winograd_filters, avx512::winograd_products);
    case Isa::avx2:
      return bundle(avx2::winograd_tiles, avx2::winograd_filters, avx2::winograd_products);
    case Isa::baseline:
      break;
  }
  return bundle(baseline::winograd_tiles, baseline::winograd_filters, baseline::winograd_products);
}

PrefetchArea pixels_ahead(const WinogradKernels& kernels, const WinogradGrid& grid, const ConstView& view,
                          std::int64_t begin, std::int64_t end, std::int64_t first_row) {
  if (begin >= end) return {};
  const std::int64_t m = kernels.m, pixel = view.pitch * kernels.element, image = grid.rows * grid.columns;
  const auto image_row = [&](std::int64_t tile, std::int64_t row) {  // counted over the whole batch
    return tile / image * grid.H + std::min(tile / grid.columns % grid.rows * m + row, grid.H - 1);
  };
  const std::int64_t top = image_row(begin, first_row), bottom = image_row(end - 1, first_row + m - 1);
  const bool one_row = begin / grid.columns == (end - 1) / grid.columns;
  const std::int64_t left = one_row ? begin % grid.columns * m : 0;
  const std::int64_t right = one_row ? std::min((end - 1) % grid.columns * m + m, grid.W) : grid.W;
  const char* data = static_cast<const char*>(view.data) + (top * grid.W + left) * pixel;
  return {data, (right - left) * pixel, grid.W * pixel, bottom - top + 1};
}

PrefetchQueue paced(const PrefetchArea& first, const PrefetchArea& second, std::int64_t micro_kernels) {
  const std::int64_t calls = std::max<std::int64_t>(1, micro_kernels * 9 / 10);
  return {{first, second}, divide_up(first.lines() + second.lines(), calls)};
}

bool winograd_supports(ConvPass, const ConvSpec& spec, const ConvShape& shape, Dtype dtype) {
  const bool not_empty = std::min({shape.N, shape.H, shape.W, shape.Cin, shape.Cout}) > 0;
  return not_empty && shape.Kh == 3 && shape.Kw == 3 && spec.stride == 1 && spec.pad == 1 &&
         (dtype == Dtype::f32 || dtype == Dtype::bf16);
}

ConvPlan winograd_plan(ConvPass pass, const ConvSpec& spec, const ConvShape& shape, Dtype dtype, WinogradTile tile,
                       Isa set) {
  const WinogradKernels kernels = winograd_kernels(tile, dtype, set);
  ConvPlan plan = pass == ConvPass::forward         ? plan_winograd_forward(spec, shape, kernels)
                  : pass == ConvPass::backward_data ? plan_winograd_backward_data(shape, kernels)
                                                    : plan_winograd_backward_weights(shape, kernels);
  plan.id = tile == WinogradTile::f4x4 ? "winograd:f4x4" : "winograd:f2x2";
  return plan;
}

}  // namespace unet::kernels::cpu
