#include "kernels/cpu/first_layer_conv.h"

#include <algorithm>

#include "kernels/cpu/float_element.h"
#include "kernels/cpu/isa/first_layer_conv.h"
#include "kernels/cpu/parallel.h"

namespace unet::kernels::cpu {
namespace {

constexpr std::int64_t kMostChannels = 4;  // Cin
constexpr std::int64_t kMostGroups = 32;   // partial sums of the weight gradient: fixed, whatever the threads

struct FirstLayer {
  const FirstLayerLoops* loops;
  ConvShape shape;
  bool bias, relu;
  std::int64_t element;  // bytes of one activation
  int team;

  std::int64_t rows() const { return shape.N * shape.H; }
  std::int64_t taps() const { return 9 * shape.Cin; }
  std::int64_t columns() const { return (shape.Cout + 15) / 16 * 16; }
  std::int64_t table() const { return taps() * columns(); }                               // floats of [taps][columns]
  std::int64_t padded_row() const { return ((shape.W + 2) * shape.Cin + 15) / 16 * 16; }  // floats
  std::int64_t groups() const { return std::min(kMostGroups, rows()); }
};

/// The three padded rows of x around a moving row of the image.
class RowWindow {
 public:
  RowWindow(const FirstLayer& layer, const ConstView& x, float* memory) : layer_(layer), x_(x), memory_(memory) {}

  /// Rows h-1, h, h+1 of image n, where r = n*H + h. Rows must be asked for in ascending order without gaps.
  FirstLayerRow at(std::int64_t r) {
    const std::int64_t h = r % layer_.shape.H;
    for (std::int64_t d = fresh_ || h == 0 ? -1 : 1; d <= 1; ++d) fill(r, h, d);
    fresh_ = false;
    return {{slot(r - 1), slot(r), slot(r + 1)}, layer_.shape.W, layer_.shape.Cin, layer_.shape.Cout, layer_.columns()};
  }

 private:
  float* slot(std::int64_t r) const { return memory_ + (r + 3) % 3 * layer_.padded_row(); }
  void fill(std::int64_t r, std::int64_t h, std::int64_t d) {
    if (h + d < 0 || h + d >= layer_.shape.H) {
      std::fill_n(slot(r + d), layer_.padded_row(), 0.0f);
      return;
    }
    const std::int64_t offset = (r + d) * layer_.shape.W * x_.pitch * layer_.element;
    layer_.loops->pad(static_cast<const char*>(x_.data) + offset, layer_.shape.W, layer_.shape.Cin, x_.pitch,
                      slot(r + d));
  }

  const FirstLayer& layer_;
  ConstView x_;
  float* memory_;
  bool fresh_ = true;
};

/// Workspace: weights [taps][columns], bias [columns], three rows for every thread.
void forward(const FirstLayer& layer, const ConvOperands& io, float* workspace) {
  const std::int64_t columns = layer.columns();
  float* weights = workspace;
  float* bias = weights + layer.table();
  float* padded_rows = bias + columns;
  std::fill(workspace, padded_rows, 0.0f);
  for (std::int64_t co = 0; co < layer.shape.Cout; ++co) {
    for (std::int64_t t = 0; t < layer.taps(); ++t) {
      weights[t * columns + co] = float_at(io.weights, co * layer.taps() + t);
    }
    if (layer.bias) bias[co] = float_at(io.bias, co);
  }
  const bool large = layer.rows() * layer.shape.W * layer.shape.Cout * 4 >= std::int64_t{16} << 20;
  const bool stream = large && layer.element == 4 && layer.shape.Cout % 16 == 0 && io.y.pitch % 16 == 0 &&
                      reinterpret_cast<std::uintptr_t>(io.y.data) % 64 == 0;
  parallel_team(std::min(layer.team, threads()), [&](int id, int size, const TeamBarrier&) {
    RowWindow window(layer, io.x, padded_rows + id * 3 * layer.padded_row());
    for (std::int64_t r = layer.rows() * id / size; r < layer.rows() * (id + 1) / size; ++r) {
      char* y = static_cast<char*>(io.y.data) + r * layer.shape.W * io.y.pitch * layer.element;
      layer.loops->forward(window.at(r), weights, layer.bias ? bias : nullptr, layer.relu, stream, y, io.y.pitch);
    }
    if (stream) layer.loops->fence();
  });
}

/// Workspace: a partial gradient [taps][columns] of every group of rows, three rows for every thread.
void backward_weights(const FirstLayer& layer, const ConvOperands& io, float* workspace) {
  const std::int64_t groups = layer.groups(), table = layer.table();
  float* padded_rows = workspace + groups * table;
  parallel_team(std::min(layer.team, threads()), [&](int id, int size, const TeamBarrier&) {
    for (std::int64_t g = groups * id / size; g < groups * (id + 1) / size; ++g) {
      RowWindow window(layer, io.x, padded_rows + id * 3 * layer.padded_row());
      float* sum = workspace + g * table;
      std::fill_n(sum, table, 0.0f);
      for (std::int64_t r = layer.rows() * g / groups; r < layer.rows() * (g + 1) / groups; ++r) {
        const char* dy = static_cast<const char*>(io.dy.data) + r * layer.shape.W * io.dy.pitch * layer.element;
        layer.loops->backward_weights(window.at(r), dy, io.dy.pitch, sum);
      }
    }
  });
  for (std::int64_t g = 1; g < groups; ++g) {
    for (std::int64_t i = 0; i < table; ++i) workspace[i] += workspace[g * table + i];
  }
  for (std::int64_t co = 0; co < layer.shape.Cout; ++co) {
    for (std::int64_t t = 0; t < layer.taps(); ++t) {
      set_float(io.dweights, co * layer.taps() + t, workspace[t * layer.columns() + co]);
    }
  }
}

}  // namespace

bool first_layer_supports(const ConvCase& c) {
  const ConvShape& s = c.shape;
  const bool not_empty = std::min({s.N, s.H, s.W, s.Cin, s.Cout}) > 0;
  return c.pass != ConvPass::backward_data && not_empty && s.Cin <= kMostChannels && s.Kh == 3 && s.Kw == 3 &&
         c.spec.stride == 1 && c.spec.pad == 1 && !c.spec.residual && (c.dtype == Dtype::f32 || c.dtype == Dtype::bf16);
}

ConvPlan first_layer_plan(const ConvCase& c, Isa set) {
  const int type = c.dtype == Dtype::bf16;
  const FirstLayerLoops& loops = set >= Isa::avx512 ? avx512::first_layer_loops[type]
                                 : set == Isa::avx2 ? avx2::first_layer_loops[type]
                                                    : baseline::first_layer_loops[type];
  const FirstLayer layer{&loops,   c.shape, c.spec.bias, c.spec.relu, static_cast<std::int64_t>(size_of(c.dtype)),
                         threads()};
  const bool is_forward = c.pass == ConvPass::forward;
  const std::int64_t tables = is_forward ? layer.table() + layer.columns() : layer.groups() * layer.table();
  const std::int64_t floats = tables + layer.team * 3 * layer.padded_row();
  return {"own:first-layer", static_cast<std::size_t>(floats) * sizeof(float),
          [layer, is_forward](const ConvOperands& io, void* workspace) {
            (is_forward ? forward : backward_weights)(layer, io, static_cast<float*>(workspace));
          },
          true};
}

}  // namespace unet::kernels::cpu
