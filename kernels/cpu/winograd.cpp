#include "kernels/cpu/winograd.h"

#include <algorithm>

#include "kernels/cpu/winograd_schedule.h"

namespace unet::kernels::cpu {

WinogradKernels winograd_kernels(WinogradTile tile, Dtype activations, Isa set) {
  const int size = static_cast<int>(tile), type = activations == Dtype::bf16;
  const std::int64_t m = 2 * (size + 1);
  const std::int64_t element = static_cast<std::int64_t>(size_of(activations));
  const auto bundle = [&](const auto& tiles, const auto& filters, const auto& product) {
    return WinogradKernels{
        m, (m + 2) * (m + 2), element, &tiles[size][type], {&filters[size][0], &filters[size][1]}, &product};
  };
  switch (set) {
    case Isa::avx512_amx:
    case Isa::avx512_bf16:
    case Isa::avx512:
      return bundle(avx512::winograd_tiles, avx512::winograd_filters, avx512::winograd_products);
    case Isa::avx2:
      return bundle(avx2::winograd_tiles, avx2::winograd_filters, avx2::winograd_products);
    case Isa::baseline:
      break;
  }
  return bundle(baseline::winograd_tiles, baseline::winograd_filters, baseline::winograd_products);
}

void add_pixels(PrefetchQueue& queue, const WinogradKernels& kernels, const WinogradGrid& grid, const ConstView& view,
                std::int64_t begin, std::int64_t end, std::int64_t first_row) {
  const std::int64_t m = kernels.m, pixel = view.pitch * kernels.element;
  const auto image_row = [&](std::int64_t tile_row, std::int64_t row) {  // both counted over the whole batch
    return tile_row / grid.rows * grid.H + std::min(tile_row % grid.rows * m + row, grid.H - 1);
  };
  while (begin < end) {  // a part of a tile row, or whole ones
    const std::int64_t tile_row = begin / grid.columns, column = begin % grid.columns;
    const bool whole = column == 0 && end - begin >= grid.columns;
    const std::int64_t count =
        whole ? (end - begin) / grid.columns * grid.columns : std::min(end - begin, grid.columns - column);
    const std::int64_t left = column * m, right = whole ? grid.W : std::min(left + count * m, grid.W);
    const std::int64_t top = image_row(tile_row, first_row);
    const std::int64_t bottom = image_row((begin + count - 1) / grid.columns, first_row + m - 1);
    const char* data = static_cast<const char*>(view.data) + (top * grid.W + left) * pixel;
    queue.area[queue.areas++] = {data, (right - left) * pixel, grid.W * pixel, bottom - top + 1};
    begin += count;
  }
}

void set_pace(PrefetchQueue& queue, std::int64_t micro_kernels) {
  std::int64_t lines = 0;
  for (int i = 0; i < queue.areas; ++i) lines += queue.area[i].rows * divide_up(queue.area[i].row_bytes, 64);
  queue.wait = micro_kernels / 2;
  queue.lines_per_call = divide_up(lines, std::max<std::int64_t>(1, micro_kernels * 4 / 10));
}

bool winograd_supports(const ConvCase& c) {
  const ConvShape& s = c.shape;
  const bool not_empty = std::min({s.N, s.H, s.W, s.Cin, s.Cout}) > 0;
  return not_empty && s.Kh == 3 && s.Kw == 3 && c.spec.stride == 1 && c.spec.pad == 1 &&
         (c.dtype == Dtype::f32 || c.dtype == Dtype::bf16);
}

ConvPlan winograd_plan(const ConvCase& c, WinogradTile tile, Isa set) {
  const WinogradKernels kernels = winograd_kernels(tile, c.dtype, set);
  ConvPlan plan = c.pass == ConvPass::backward_weights ? plan_winograd_backward_weights(c, kernels)
                                                       : plan_winograd_forward(c, kernels);
  plan.id = "winograd:f" + std::to_string(kernels.m) + "x" + std::to_string(kernels.m);
  return plan;
}

}  // namespace unet::kernels::cpu
