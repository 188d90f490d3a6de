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
  ConvCase of;
  ConvShape shape;
  std::int64_t Ho, Wo;
  std::int64_t element;  // bytes of one activation
  int team;

  std::int64_t rows() const { return shape.N * Ho; }  // of y
  std::int64_t taps() const { return shape.taps() * shape.Cin; }
  std::int64_t columns() const { return (shape.Cout + 15) / 16 * 16; }
  std::int64_t table() const { return taps() * columns(); }  // floats of [taps][columns]
  std::int64_t padded_row() const { return ((shape.W + 2 * of.spec.pad) * shape.Cin + 15) / 16 * 16; }  // floats
  std::int64_t window() const { return shape.Kh * padded_row(); }
  std::int64_t groups() const { return std::min(kMostGroups, rows()); }
};

/// The Kh padded rows of x that a moving row of y is made of.
class RowWindow {
 public:
  RowWindow(const FirstLayer& layer, const ConstView& x, float* memory) : layer_(layer), x_(x), memory_(memory) {}

  /// For row ho of image n of y, where r = n*Ho + ho. Rows must be asked for in ascending order without gaps.
  FirstLayerRow at(std::int64_t r) {
    const ConvShape& s = layer_.shape;
    const std::int64_t n = r / layer_.Ho, ho = r % layer_.Ho, stride = layer_.of.spec.stride;
    const std::int64_t there = fresh_ || ho == 0 ? 0 : std::max<std::int64_t>(0, s.Kh - stride);
    fresh_ = false;
    FirstLayerRow row{{}, s.Kh, s.Kw * s.Cin, stride * s.Cin, layer_.Wo, s.Cout, layer_.columns()};
    for (std::int64_t kh = 0; kh < s.Kh; ++kh) {
      float* slot = memory_ + (ho * stride + kh) % s.Kh * layer_.padded_row();
      if (kh >= there) fill(n, ho * stride - layer_.of.spec.pad + kh, slot);
      row.x[kh] = slot;
    }
    return row;
  }

 private:
  void fill(std::int64_t n, std::int64_t h, float* slot) {
    const ConvShape& s = layer_.shape;
    if (h < 0 || h >= s.H) {
      std::fill_n(slot, layer_.padded_row(), 0.0f);
      return;
    }
    const std::int64_t offset = (n * s.H + h) * s.W * x_.pitch * layer_.element;
    layer_.loops->pad(static_cast<const char*>(x_.data) + offset, s.W, s.Cin, x_.pitch, layer_.of.spec.pad, slot);
  }

  const FirstLayer& layer_;
  ConstView x_;
  float* memory_;
  bool fresh_ = true;
};

/// Workspace: weights [taps][columns], bias [columns], a window for every thread.
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
    if (layer.of.spec.bias) bias[co] = float_at(io.bias, co);
  }
  const bool large = layer.rows() * layer.Wo * layer.shape.Cout * 4 >= std::int64_t{16} << 20;
  const bool stream = large && layer.element == 4 && layer.shape.Cout % 16 == 0 && io.y.pitch % 16 == 0 &&
                      reinterpret_cast<std::uintptr_t>(io.y.data) % 64 == 0;
  parallel_team(std::min(layer.team, threads()), [&](int id, int size, const TeamBarrier&) {
    RowWindow window(layer, io.x, padded_rows + id * layer.window());
    for (std::int64_t r = layer.rows() * id / size; r < layer.rows() * (id + 1) / size; ++r) {
      char* y = static_cast<char*>(io.y.data) + r * layer.Wo * io.y.pitch * layer.element;
      layer.loops->forward(window.at(r), weights, layer.of.spec.bias ? bias : nullptr, layer.of.spec.relu, stream, y,
                           io.y.pitch);
    }
    if (stream) layer.loops->fence();
  });
}

/// Workspace: a partial gradient [taps][columns] of every group of rows, a window for every thread.
void backward_weights(const FirstLayer& layer, const ConvOperands& io, float* workspace) {
  const std::int64_t groups = layer.groups(), table = layer.table();
  float* padded_rows = workspace + groups * table;
  parallel_team(std::min(layer.team, threads()), [&](int id, int size, const TeamBarrier&) {
    for (std::int64_t g = groups * id / size; g < groups * (id + 1) / size; ++g) {
      RowWindow window(layer, io.x, padded_rows + id * layer.window());
      float* sum = workspace + g * table;
      std::fill_n(sum, table, 0.0f);
      for (std::int64_t r = layer.rows() * g / groups; r < layer.rows() * (g + 1) / groups; ++r) {
        const char* dy = static_cast<const char*>(io.dy.data) + r * layer.Wo * io.dy.pitch * layer.element;
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
  return c.pass != ConvPass::backward_data && not_empty && s.Cin <= kMostChannels && s.Kh == s.Kw && s.Kh >= 3 &&
         s.Kh <= kFirstLayerRows && !c.spec.residual && (c.dtype == Dtype::f32 || c.dtype == Dtype::bf16);
}

ConvPlan first_layer_plan(const ConvCase& c, Isa set) {
  const int type = c.dtype == Dtype::bf16;
  const FirstLayerLoops& loops = set >= Isa::avx512 ? avx512::first_layer_loops[type]
                                 : set == Isa::avx2 ? avx2::first_layer_loops[type]
                                                    : baseline::first_layer_loops[type];
  const FirstLayer layer{&loops, c, c.shape, c.Ho(), c.Wo(), static_cast<std::int64_t>(size_of(c.dtype)), threads()};
  const bool is_forward = c.pass == ConvPass::forward;
  const std::int64_t tables = is_forward ? layer.table() + layer.columns() : layer.groups() * layer.table();
  const std::int64_t floats = tables + layer.team * layer.window();
  return {"own:first-layer", static_cast<std::size_t>(floats) * sizeof(float),
          [layer, is_forward](const ConvOperands& io, void* workspace) {
            (is_forward ? forward : backward_weights)(layer, io, static_cast<float*>(workspace));
          },
          true};
}

}  // namespace unet::kernels::cpu
