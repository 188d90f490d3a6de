// Winograd forward pass, and backward data as a forward pass on rotated weights.
//
// A chunk of tiles is transformed, multiplied and transformed back while it stays in a core's second-level cache. Two
// schedules:
//   private  every thread has chunks of its own (V and Q in its cache; U, made once, comes from the shared cache):
//            large images and few channels;
//   shared   the threads transform one chunk together, then each takes blocks of output channels: many channels. If one
//            chunk is all there is, a block of U is used once only, so it is made just before that and not stored.
// Every element of Q is one sum over input channels in ascending order, whatever the schedule: the result does not
// depend on the cut or on the number of threads.
#include <algorithm>
#include <atomic>
#include <utility>

#include "kernels/cpu/float_element.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/winograd_schedule.h"

namespace unet::kernels::cpu {
namespace {

/// In this file x is what is convolved (dy in backward data) and y the result (dx); Cin and Cout are their channels.
struct Schedule {
  WinogradKernels kernels;
  WinogradGrid grid;
  std::int64_t Cin, Cout;
  bool rotated;
  bool relu;
  int team;

  bool shared;
  bool just_in_time;  // U is made block by block, next to its use
  bool stream;        // y is too large to be found in a cache later
  std::int64_t in_block, in_blocks, out_block, out_blocks;
  std::int64_t chunk;   // tiles
  std::int64_t splits;  // parts of a chunk that threads multiply separately, for when they outnumber out_blocks

  std::int64_t u_stride, u_block, v_stride, v_block, q_stride;  // floats; strides are between products
  std::int64_t scale_offset, bias_offset, u_offset, v_offset, v_of_thread, q_offset, q_of_thread;
  std::size_t workspace;
};

Schedule make_schedule(const WinogradKernels& kernels, const ConvCase& c) {
  const ConvShape& shape = c.shape;
  const bool rotated = c.pass == ConvPass::backward_data;
  Schedule s{};
  s.kernels = kernels;
  s.grid = kernels.grid(shape);
  s.Cin = rotated ? shape.Cout : shape.Cin;
  s.Cout = rotated ? shape.Cin : shape.Cout;
  s.rotated = rotated;
  s.relu = c.spec.relu && !rotated;
  s.team = threads();

  const std::int64_t tiles = s.grid.tiles(), in_padded = round_up(s.Cin, kWinogradChannelGroup);
  s.shared = in_padded >= 192 || tiles < 96 * s.team;
  s.in_block = std::min<std::int64_t>(in_padded, 128);
  s.out_block = s.Cout <= 32 || (s.shared && divide_up(s.Cout, 64) % s.team != 0) ? 32 : 64;
  s.in_blocks = divide_up(in_padded, s.in_block);
  s.out_blocks = divide_up(s.Cout, s.out_block);
  if (s.shared) {
    const std::int64_t most = kernels.tiles_like(128);
    s.splits = divide_up(s.team, s.out_blocks);
    s.just_in_time = tiles <= most && s.splits == 1;
    s.chunk = even_chunk(tiles, most * s.splits);
  } else {
    s.splits = 1;
    s.chunk = even_chunk(divide_up(tiles, s.team), kernels.tiles_like(in_padded <= 64 ? 64 : 48));
  }
  s.stream = shape.N * shape.H * shape.W * s.Cout * kernels.element >= std::int64_t{16} << 20 &&
             s.Cout % kWinogradChannelGroup == 0 && kernels.element == 4;

  s.u_stride = product_stride(s.in_block, s.out_block);
  s.u_block = s.u_stride * kernels.products;
  s.v_stride = product_stride(s.chunk, s.in_block);
  s.v_block = s.v_stride * kernels.products;
  s.q_stride = product_stride(divide_up(s.chunk, s.splits), s.out_block);
  s.v_of_thread = s.shared ? 0 : s.v_block * s.in_blocks;
  s.q_of_thread = s.q_stride * kernels.products;
  WorkspaceCut cut;
  s.scale_offset = cut.take(s.out_blocks * s.out_block);
  s.bias_offset = cut.take(s.out_blocks * s.out_block);
  s.u_offset = cut.take(s.u_block * (s.just_in_time ? s.team : s.in_blocks * s.out_blocks));
  s.v_offset = cut.take(s.v_block * s.in_blocks * (s.shared ? 1 : s.team));
  s.q_offset = cut.take(s.q_of_thread * s.team);
  s.workspace = cut.bytes();
  return s;
}

/// Pieces of work, numbered, for whoever is free: a thread that shares its core with others takes fewer. A thread
/// claims one ahead of what it does, so that the operands of the one can be fetched behind the products of the other.
class Claims {
 public:
  explicit Claims(std::atomic<std::int64_t>& counter) : counter_(counter), next_(claim()) {}
  /// Moves on to the piece claimed before.
  std::int64_t take() { return std::exchange(next_, claim()); }
  std::int64_t next() const { return next_; }

 private:
  std::int64_t claim() { return counter_.fetch_add(1, std::memory_order_relaxed); }

  std::atomic<std::int64_t>& counter_;
  std::int64_t next_;
};

/// One thread's part of one run.
class Worker {
 public:
  Worker(const Schedule& schedule, const ConvOperands& io, const float* scale, const float* bias, float* workspace,
         std::atomic<std::int64_t>& counter, int id, int size)
      : s_(schedule),
        x_(io.x),
        weights_(io.weights),
        residual_(io.residual),
        y_(io.y),
        scale_(scale),
        bias_(bias),
        u_(workspace + s_.u_offset),
        v_{workspace + s_.v_offset + id * s_.v_of_thread, s_.in_block, s_.v_stride, s_.v_block},
        q_(workspace + s_.q_offset + id * s_.q_of_thread),
        claims_(counter),
        id_(id),
        size_(size),
        stream_(s_.stream && y_.pitch % 16 == 0 && reinterpret_cast<std::uintptr_t>(y_.data) % 64 == 0) {
    if (s_.just_in_time) u_ += id * s_.u_block;
  }

  void run(const TeamBarrier& barrier) {
    if (!s_.just_in_time) {
      make_all_filters();
      barrier();
    }
    if (s_.shared) {
      run_shared(barrier);
    } else {
      run_private();
    }
    if (stream_) s_.kernels.product->fence();
  }

 private:
  void make_all_filters() {
    const std::int64_t blocks = s_.out_blocks * s_.in_blocks;
    for (std::int64_t b = share(blocks, id_, size_); b < share(blocks, id_ + 1, size_); ++b) {
      make_filters(b / s_.in_blocks, b % s_.in_blocks, u_ + b * s_.u_block);
    }
  }

  void run_private() {
    const std::int64_t tiles = s_.grid.tiles();
    for (std::int64_t t = claims_.take() * s_.chunk; t < tiles; t = claims_.take() * s_.chunk) {
      const std::int64_t end = std::min(t + s_.chunk, tiles), ahead = std::min(claims_.next() * s_.chunk, tiles);
      s_.kernels.tiles->input(s_.grid, {t, end, 0}, pixels_of(x_), v_);
      prefetch_pixels(ahead, std::min(ahead + s_.chunk, tiles), s_.out_blocks, end - t);
      for (std::int64_t out = 0; out < s_.out_blocks; ++out) {
        multiply_stored(out, 0, end - t);
        write(out, t, end);
      }
    }
  }

  void run_shared(const TeamBarrier& barrier) {
    const std::int64_t items = s_.out_blocks * s_.splits;
    std::int64_t claimed = claims_.take();  // numbered through all chunks
    for (std::int64_t t = 0, base = 0; t < s_.grid.tiles(); t += s_.chunk, base += items) {
      const std::int64_t next = std::min(t + s_.chunk, s_.grid.tiles()), count = next - t;
      const std::int64_t mine = share(count, id_, size_), end = share(count, id_ + 1, size_);
      s_.kernels.tiles->input(s_.grid, {t + mine, t + end, mine}, pixels_of(x_), v_);
      barrier();
      if (!s_.just_in_time) {
        const std::int64_t after = std::min(s_.chunk, s_.grid.tiles() - next);
        prefetch_pixels(next + share(after, id_, size_), next + share(after, id_ + 1, size_),
                        divide_up(items - id_, size_), count / s_.splits);
      }
      for (; claimed < base + items; claimed = claims_.take()) {
        const std::int64_t item = claimed - base, out = item / s_.splits, part = item % s_.splits;
        const std::int64_t first = share(count, part, s_.splits), last = share(count, part + 1, s_.splits);
        if (s_.just_in_time) {
          multiply_just_in_time(out, last);
        } else {
          multiply_stored(out, first, last);
        }
        write(out, t + first, t + last);
      }
      barrier();  // before V is written anew
    }
  }

  std::int64_t out_count(std::int64_t out) const {
    return std::min(s_.out_block, round_up(s_.Cout - out * s_.out_block, kWinogradChannelGroup));
  }
  std::int64_t in_count(std::int64_t in) const {
    return std::min(s_.in_block, round_up(s_.Cin - in * s_.in_block, kWinogradChannelGroup));
  }

  void make_filters(std::int64_t out, std::int64_t in, float* u) const {
    const std::int64_t Cout = s_.rotated ? s_.Cin : s_.Cout, Cin = s_.rotated ? s_.Cout : s_.Cin;  // in memory
    s_.kernels.filter_loops(weights_.dtype)
        .filter({weights_.data, Cout, Cin, s_.rotated, out * s_.out_block, out_count(out), in * s_.in_block,
                 in_count(in), u, s_.u_stride, s_.out_block});
  }

  /// The weights that the block (out, in) of U is made from: rows of one tap.
  PrefetchArea weights_ahead(std::int64_t out, std::int64_t in) const {
    const std::int64_t Cout = s_.rotated ? s_.Cin : s_.Cout, Cin = s_.rotated ? s_.Cout : s_.Cin;
    const std::int64_t o = out * s_.out_block, i = in * s_.in_block;
    const std::int64_t row = s_.rotated ? i : o, rows = std::min(s_.rotated ? s_.in_block : s_.out_block, Cout - row);
    const std::int64_t column = s_.rotated ? o : i;
    const std::int64_t columns = std::min(s_.rotated ? s_.out_block : s_.in_block, Cin - column);
    const std::int64_t element = static_cast<std::int64_t>(size_of(weights_.dtype));
    const char* data = static_cast<const char*>(weights_.data) + (row * 9 * Cin + column) * element;
    return {data, columns * element, Cin * element, rows * 9};
  }

  void prefetch_pixels(std::int64_t begin, std::int64_t end, std::int64_t items, std::int64_t rows) {
    const std::int64_t calls = s_.kernels.product->micro_kernels(rows, s_.out_block);
    queue_ = {};
    add_pixels(queue_, s_.kernels, s_.grid, x_, begin, end, 1);
    set_pace(queue_, items * s_.in_blocks * s_.kernels.products * calls);
  }

  /// Q[p] (+)= V[in][p] U[p] for tiles [first, last) of the chunk. u: the block's product p; next_*: its successors.
  void multiply(std::int64_t p, std::int64_t in, std::int64_t out, std::int64_t first, std::int64_t last,
                const float* u, const float* next_v, const float* next_u) {
    const std::int64_t rows = last - first;
    s_.kernels.product->multiply(
        {v_panel(p, in, first),
         s_.in_block,
         1,
         u,
         s_.out_block,
         q_ + p * s_.q_stride,
         s_.out_block,
         rows,
         out_count(out),
         in_count(in),
         in > 0,
         {next_v, next_u},
         {next_v != nullptr ? rows * s_.in_block / 16 : 0, next_u != nullptr ? s_.in_block * s_.out_block / 16 : 0}},
        queue_);
  }
  const float* v_panel(std::int64_t p, std::int64_t in, std::int64_t first) const {
    return v_.data + in * s_.v_block + p * s_.v_stride + first * s_.in_block;
  }

  void multiply_stored(std::int64_t out, std::int64_t first, std::int64_t last) {
    const float* blocks = u_ + out * s_.in_blocks * s_.u_block;
    const auto u = [&](std::int64_t p, std::int64_t in) { return blocks + in * s_.u_block + p * s_.u_stride; };
    for (std::int64_t p = 0; p < s_.kernels.products; ++p) {
      for (std::int64_t in = 0; in < s_.in_blocks; ++in) {
        const std::int64_t next_in = in + 1 < s_.in_blocks ? in + 1 : 0, next_p = next_in > 0 ? p : p + 1;
        const bool more = next_p < s_.kernels.products;
        multiply(p, in, out, first, last, u(p, in), more ? v_panel(next_p, next_in, first) : nullptr,
                 more ? u(next_p, next_in) : nullptr);
      }
    }
  }

  void multiply_just_in_time(std::int64_t out, std::int64_t count) {
    const std::int64_t products = s_.kernels.products;
    for (std::int64_t in = 0; in < s_.in_blocks; ++in) {
      make_filters(out, in, u_);
      const bool same_out = in + 1 < s_.in_blocks;
      const std::int64_t next_in = same_out ? in + 1 : 0, next_out = same_out ? out : claims_.next();
      queue_ = {};
      if (next_out < s_.out_blocks) queue_.area[queue_.areas++] = weights_ahead(next_out, next_in);
      set_pace(queue_, products * s_.kernels.product->micro_kernels(count, s_.out_block));
      for (std::int64_t p = 0; p < products; ++p) {
        const bool more = p + 1 < products;
        multiply(p, in, out, 0, count, u_ + p * s_.u_stride, more ? v_panel(p + 1, in, 0) : v_panel(0, next_in, 0),
                 more ? u_ + (p + 1) * s_.u_stride : nullptr);
      }
    }
  }

  void write(std::int64_t out, std::int64_t begin, std::int64_t end) const {
    const std::int64_t channel = out * s_.out_block;
    const auto from = [channel](const auto* first, std::int64_t element) {
      return first != nullptr ? first + channel * element : nullptr;
    };
    s_.kernels.tiles->output(s_.grid, {begin, end, 0},
                             {q_, s_.q_stride, s_.out_block, static_cast<char*>(y_.data) + channel * s_.kernels.element,
                              std::min(s_.out_block, s_.Cout - channel), y_.pitch, from(scale_, 1), from(bias_, 1),
                              from(residual_.as<char>(), s_.kernels.element), residual_.pitch, s_.relu, stream_});
  }

  const Schedule& s_;
  ConstView x_, weights_, residual_;
  View y_;
  const float* scale_;
  const float* bias_;
  float* u_;
  WinogradPanels v_;
  float* q_;
  Claims claims_;
  int id_, size_;
  bool stream_;
  PrefetchQueue queue_;
};

/// Values of the output channels as f32, zeros up to the end of the last block; null if there are none.
const float* padded(const Schedule& s, const ConstView& values, float* to) {
  if (!values) return nullptr;
  std::fill_n(to, s.out_blocks * s.out_block, 0.0f);
  for (std::int64_t c = 0; c < s.Cout; ++c) to[c] = float_at(values, c);
  return to;
}

/// io: x, weights, y, and of the rest what is wanted.
void run(const Schedule& s, const ConvOperands& io, void* memory) {
  float* workspace = static_cast<float*>(memory);
  const float* scale = padded(s, io.scale, workspace + s.scale_offset);
  const float* bias = padded(s, io.bias, workspace + s.bias_offset);
  std::atomic<std::int64_t> counter{0};
  parallel_team(std::min(s.team, threads()), [&](int id, int size, const TeamBarrier& barrier) {
    Worker(s, io, scale, bias, workspace, counter, id, size).run(barrier);
  });
}

}  // namespace

ConvPlan plan_winograd_forward(const ConvCase& c, const WinogradKernels& kernels) {
  const Schedule schedule = make_schedule(kernels, c);
  ConvPlan plan{{}, schedule.workspace, {}, true};
  if (schedule.rotated) {
    plan.run = [schedule](const ConvOperands& io, void* workspace) {
      ConvOperands wanted;
      wanted.x = io.dy;
      wanted.weights = io.weights;
      wanted.y = io.dx;
      run(schedule, wanted, workspace);
    };
  } else {
    plan.scales_y = true;
    plan.run = [schedule, spec = c.spec](const ConvOperands& io, void* workspace) {
      ConvOperands wanted = io;
      if (!spec.bias) wanted.bias = {};
      if (!spec.residual) wanted.residual = {};
      run(schedule, wanted, workspace);
    };
  }
  return plan;
}

}  // namespace unet::kernels::cpu
