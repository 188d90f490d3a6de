// Winograd backward weights: dU[p] = sum over tiles of (A dy A^T)[p] x (B^T d B)[p], P matrix products whose depth is
// the number of tiles, in blocks of 64 x 64 channels; then dg = G^T dU G.
//
// Two schedules, chosen by the shape alone, for they add in different orders:
//   private  (many tiles, few channels) the tiles are cut into a fixed number of groups; a group is the work of one
//            thread, which goes through it chunk by chunk; the groups' gradients (a quarter of the size of their dU)
//            are added in order at the end;
//   shared   (many channels) the threads transform one chunk of tiles together and divide the products among them. If
//            one chunk is all there is, a block of dU is turned into gradients while it is still in the cache.
#include <algorithm>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/winograd_schedule.h"

namespace unet::kernels::cpu {
namespace {

constexpr std::int64_t kBlock = 64;        // channels
constexpr std::int64_t kGroupTiles = 512;  // least tiles of a group
constexpr std::int64_t kMostGroups = 8;
constexpr std::int64_t kGradientRows = 16;  // output channels whose gradients are one item of the last phase

struct Schedule {
  WinogradKernels kernels;
  WinogradGrid grid;
  std::int64_t Cin, Cout;
  int team;

  std::int64_t groups;  // 1: the shared schedule
  std::int64_t chunk;   // tiles
  bool stream;
  std::int64_t x_block, x_blocks, dy_block, dy_blocks, blocks;

  std::int64_t x_stride, x_panel, dy_stride, dy_panel, du_stride, du_block;  // floats; strides are between products
  std::int64_t x_offset, dy_offset, panels_of_thread, du_offset, du_of_thread, part_offset, part;
  bool fused;  // the shared schedule with one chunk: whole blocks per thread, gradients at once
  std::size_t workspace;

  bool is_private() const { return groups > 1; }
};

Schedule make_schedule(const WinogradKernels& kernels, const ConvShape& shape) {
  Schedule s{};
  s.kernels = kernels;
  s.grid = kernels.grid(shape);
  s.Cin = shape.Cin;
  s.Cout = shape.Cout;
  s.team = threads();
  const std::int64_t in_padded = round_up(s.Cin, kWinogradChannelGroup);
  const std::int64_t out_padded = round_up(s.Cout, kWinogradChannelGroup);
  s.x_block = std::min(kBlock, in_padded);
  s.dy_block = std::min(kBlock, out_padded);
  s.x_blocks = divide_up(in_padded, kBlock);
  s.dy_blocks = divide_up(out_padded, kBlock);
  s.blocks = s.x_blocks * s.dy_blocks;

  const std::int64_t tiles = s.grid.tiles();
  s.groups = s.blocks <= 2 ? std::clamp<std::int64_t>(tiles / kGroupTiles, 1, kMostGroups) : 1;
  s.chunk = even_chunk(divide_up(tiles, s.groups), kernels.tiles_like(s.is_private() ? 64 : 128));
  s.fused =
      !s.is_private() && tiles <= s.chunk && s.blocks >= s.team && (s.blocks % s.team == 0 || s.blocks >= 8 * s.team);
  s.stream = s.Cin * s.Cout * 36 >= std::int64_t{8} << 20 && s.Cin % kWinogradChannelGroup == 0;

  s.x_stride = product_stride(s.chunk, s.x_block);
  s.x_panel = s.x_stride * kernels.products;
  s.dy_stride = product_stride(s.chunk, s.dy_block);
  s.dy_panel = s.dy_stride * kernels.products;
  s.du_stride = product_stride(s.dy_block, s.x_block);
  s.du_block = s.du_stride * kernels.products;
  s.panels_of_thread = s.is_private() ? s.x_panel * s.x_blocks + s.dy_panel * s.dy_blocks : 0;
  s.du_of_thread = s.is_private() ? s.du_block * s.blocks : s.fused ? s.du_block : 0;
  s.part = round_up(s.Cout * 9 * s.Cin, 16);
  WorkspaceCut cut;
  s.x_offset = cut.take(s.x_panel * s.x_blocks);
  s.dy_offset = cut.take(s.dy_panel * s.dy_blocks);
  cut.take(s.panels_of_thread * (s.team - 1));
  s.du_offset = cut.take(s.du_of_thread > 0 ? s.du_of_thread * s.team : s.du_block * s.blocks);
  s.part_offset = cut.take(s.is_private() ? s.part * s.groups : 0);
  s.workspace = cut.bytes();
  return s;
}

/// One thread's part of one run.
class Worker {
 public:
  Worker(const Schedule& schedule, ConstView x, ConstView dy, View dweights, float* workspace, int id, int size)
      : s_(schedule),
        x_(x),
        dy_(dy),
        dweights_(dweights),
        xv_{workspace + s_.x_offset + id * s_.panels_of_thread, s_.x_block, s_.x_stride, s_.x_panel},
        dyv_{workspace + s_.dy_offset + id * s_.panels_of_thread, s_.dy_block, s_.dy_stride, s_.dy_panel},
        du_(workspace + s_.du_offset + id * s_.du_of_thread),
        parts_(workspace + s_.part_offset),
        id_(id),
        size_(size),
        stream_(s_.stream && dweights.dtype == Dtype::f32 &&
                reinterpret_cast<std::uintptr_t>(dweights.data) % 64 == 0) {}

  void run(const TeamBarrier& barrier) {
    if (s_.is_private()) {
      const std::int64_t last = share(s_.groups, id_ + 1, size_);
      for (std::int64_t g = share(s_.groups, id_, size_); g < last; ++g) run_group(g, first_tile(last));
      barrier();
      add_groups();
    } else if (s_.fused) {
      transform_share(0, s_.grid.tiles());
      barrier();
      run_fused();
    } else {
      run_shared(barrier);
      write_gradients();
    }
    if (stream_) s_.kernels.product->fence();
  }

 private:
  /// A product of one block: dU[p] (+)= dy panel^T * x panel.
  struct Item {
    std::int64_t p, block;
  };
  Item item(std::int64_t index) const { return {index / s_.blocks, index % s_.blocks}; }  // a chunk's panels pass once
  std::int64_t items() const { return s_.kernels.products * s_.blocks; }

  std::int64_t first_tile(std::int64_t group) const { return share(s_.grid.tiles(), group, s_.groups); }

  /// `limit` ends this thread's tiles: at the end of a group, the next one's pixels are prefetched.
  void run_group(std::int64_t group, std::int64_t limit) {
    const std::int64_t begin = first_tile(group), end = first_tile(group + 1);
    for (std::int64_t t = begin; t < end; t += s_.chunk) {
      const std::int64_t next = std::min(t + s_.chunk, end);
      transform(t, 0, next - t);
      prefetch_pixels(next, std::min(next + s_.chunk, limit), items());
      multiply_items(0, items(), next - t, t > begin);
    }
    const WinogradFilterLoops& loops = s_.kernels.filter_loops(Dtype::f32);
    for (std::int64_t b = 0; b < s_.blocks; ++b) {
      write_gradient(loops, b, 0, s_.dy_block, du_ + b * s_.du_block, parts_ + group * s_.part, false);
    }
  }

  void run_shared(const TeamBarrier& barrier) {
    const std::int64_t tiles = s_.grid.tiles();
    const std::int64_t first = share(items(), id_, size_), last = share(items(), id_ + 1, size_);
    for (std::int64_t t = 0; t < tiles; t += s_.chunk) {
      const std::int64_t count = std::min(s_.chunk, tiles - t);
      transform_share(t, count);
      barrier();
      const std::int64_t next = t + count, after = std::min(s_.chunk, tiles - next);
      prefetch_pixels(next + share(after, id_, size_), next + share(after, id_ + 1, size_), last - first);
      multiply_items(first, last, count, t > 0);
      barrier();  // before the panels are written anew, or dU is read
    }
  }

  void run_fused() {
    const std::int64_t tiles = s_.grid.tiles(), last = share(s_.blocks, id_ + 1, size_);
    queue_ = {};
    for (std::int64_t b = share(s_.blocks, id_, size_); b < last; ++b) {
      for (std::int64_t p = 0; p < s_.kernels.products; ++p) {
        const bool same = p + 1 < s_.kernels.products;
        const Item next = same ? Item{p + 1, b} : Item{0, b + 1};
        const bool more = next.block < last;
        multiply({p, b}, tiles, du_, false, more ? x_panel(next) : nullptr, more ? dy_panel(next) : nullptr,
                 tiles * s_.dy_block / 16);
      }
      write_gradient(s_.kernels.filter_loops(dweights_.dtype), b, 0, s_.dy_block, du_, dweights_.data, stream_);
    }
  }

  /// Tiles [begin, begin + count) of x and dy to the panels, from row `slot` on. A few tiles of each in turn, so that
  /// what was prefetched of dy is still there after x.
  void transform(std::int64_t begin, std::int64_t slot, std::int64_t count) {
    constexpr std::int64_t few = 8;
    for (std::int64_t i = 0; i < count; i += few) {
      const WinogradTiles tiles{begin + i, begin + std::min(i + few, count), slot + i};
      s_.kernels.tiles->input(s_.grid, tiles, pixels_of(x_), xv_);
      s_.kernels.tiles->output_gradient(s_.grid, tiles, pixels_of(dy_), dyv_);
    }
  }

  /// This thread's part of a chunk that all transform together.
  void transform_share(std::int64_t begin, std::int64_t count) {
    const std::int64_t mine = share(count, id_, size_);
    transform(begin + mine, mine, share(count, id_ + 1, size_) - mine);
  }

  void prefetch_pixels(std::int64_t begin, std::int64_t end, std::int64_t products) {
    queue_ = {};
    add_pixels(queue_, s_.kernels, s_.grid, x_, begin, end, 1);
    add_pixels(queue_, s_.kernels, s_.grid, dy_, begin, end, 0);
    set_pace(queue_, products * s_.kernels.product->micro_kernels(s_.dy_block, s_.x_block));
  }

  const float* x_panel(Item i) const { return xv_.data + i.block % s_.x_blocks * s_.x_panel + i.p * s_.x_stride; }
  const float* dy_panel(Item i) const { return dyv_.data + i.block / s_.x_blocks * s_.dy_panel + i.p * s_.dy_stride; }
  std::int64_t x_count(std::int64_t block) const {
    return std::min(kBlock, round_up(s_.Cin - block % s_.x_blocks * kBlock, kWinogradChannelGroup));
  }
  std::int64_t dy_count(std::int64_t block) const {
    return std::min(kBlock, round_up(s_.Cout - block / s_.x_blocks * kBlock, kWinogradChannelGroup));
  }

  /// Items [first, last) of one chunk of `tiles`, p outermost: the panels of one p stay near while all blocks pass by.
  void multiply_items(std::int64_t first, std::int64_t last, std::int64_t tiles, bool accumulate) {
    for (std::int64_t i = first; i < last; ++i) {
      const Item now = item(i), next = item(i + 1);
      float* block = du_ + now.block * s_.du_block;
      if (i + 1 == last) {
        multiply(now, tiles, block, accumulate, nullptr, nullptr, 0);
        continue;
      }
      const bool same_dy = dy_panel(next) == dy_panel(now);  // then the next dU is what has to come
      const float* next_du = du_ + next.block * s_.du_block + next.p * s_.du_stride;
      const std::int64_t du_lines = accumulate ? s_.dy_block * s_.x_block / 16 : 0;
      multiply(now, tiles, block, accumulate, x_panel(next), same_dy ? next_du : dy_panel(next),
               same_dy ? du_lines : tiles * s_.dy_block / 16);
    }
  }
  void multiply(Item i, std::int64_t tiles, float* du, bool accumulate, const float* next_x, const float* next_other,
                std::int64_t other_lines) {
    s_.kernels.product->multiply(
        {dy_panel(i),
         1,
         s_.dy_block,
         x_panel(i),
         s_.x_block,
         du + i.p * s_.du_stride,
         s_.x_block,
         dy_count(i.block),
         x_count(i.block),
         tiles,
         accumulate,
         {next_x, next_other},
         {next_x != nullptr ? tiles * s_.x_block / 16 : 0, next_other != nullptr ? other_lines : 0}},
        queue_);
  }

  void add_groups() const {
    const std::int64_t lines = s_.part / 16, size = s_.Cout * 9 * s_.Cin;
    const std::int64_t begin = share(lines, id_, size_) * 16, end = std::min(share(lines, id_ + 1, size_) * 16, size);
    s_.kernels.filter_loops(dweights_.dtype).sum({parts_, s_.groups, s_.part, begin, end, dweights_.data});
  }

  void write_gradients() const {
    const WinogradFilterLoops& loops = s_.kernels.filter_loops(dweights_.dtype);
    const std::int64_t strips = divide_up(s_.dy_block, kGradientRows), count = s_.blocks * strips;
    for (std::int64_t i = share(count, id_, size_); i < share(count, id_ + 1, size_); ++i) {
      const std::int64_t block = i / strips, row = i % strips * kGradientRows;
      write_gradient(loops, block, row, kGradientRows, du_ + block * s_.du_block, dweights_.data, stream_);
    }
  }
  /// Output channels [row, row + rows) of a block, from its dU to an array of the shape of dweights.
  void write_gradient(const WinogradFilterLoops& loops, std::int64_t block, std::int64_t row, std::int64_t rows,
                      const float* du, void* to, bool stream) const {
    const std::int64_t out = block / s_.x_blocks * kBlock + row, in = block % s_.x_blocks * kBlock;
    loops.gradient({du + row * s_.x_block, s_.du_stride, s_.x_block, to, s_.Cout, s_.Cin, out,
                    std::min(rows, s_.Cout - out), in, x_count(block), stream});
  }

  const Schedule& s_;
  ConstView x_, dy_;
  View dweights_;
  WinogradPanels xv_, dyv_;
  float* du_;
  float* parts_;
  int id_, size_;
  bool stream_;
  PrefetchQueue queue_;
};

}  // namespace

ConvPlan plan_winograd_backward_weights(const ConvCase& c, const WinogradKernels& kernels) {
  const Schedule schedule = make_schedule(kernels, c.shape);
  return {{},
          schedule.workspace,
          [schedule](const ConvOperands& io, void* workspace) {
            float* memory = static_cast<float*>(workspace);
            parallel_team(std::min(schedule.team, threads()), [&](int id, int size, const TeamBarrier& barrier) {
              Worker(schedule, io.x, io.dy, io.dweights, memory, id, size).run(barrier);
            });
          },
          true};
}

}  // namespace unet::kernels::cpu
