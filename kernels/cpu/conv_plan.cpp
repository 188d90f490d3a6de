#include "kernels/conv_plan.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/cpu/first_layer_conv.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/onednn_conv.h"
#include "kernels/cpu/own_conv.h"
#include "kernels/cpu/tile_conv.h"
#include "kernels/cpu/winograd.h"

namespace unet::kernels::cpu {
namespace {

enum class Method { winograd, first_layer, own_gemm, onednn_nhwc, onednn_own_layout, onednn_nhwc_rotated };

/// F(6x6) where it has fewer products than F(4x4) after padding to whole tiles, enough tiles to pay for its larger
/// filters, and enough channels for its longer transforms. Measured on 2 threads of the same EPYC, both tiles in turn,
/// times faster than F(4x4): 256^2 and 128^2 0.99 to 1.18, 64^2 1.00 to 1.13 (of one image 0.92 to 1.06); 32^2 and
/// below, where padding takes the advantage, 0.55 to 0.98; 16 channels 0.87 to 1.07, gradients of fewer than 64 0.76 to
/// 0.97. With AVX2 (f32, base 32) 1.05 to 1.14 where it is taken.
///
/// In f32 sums over more than 512 channels come too near to an error (NMSE) of 1e-10. F(2x2) where a tile of it covers
/// the image: 1.6 to 2.1 times faster than F(4x4); and where there are so few tiles that the transforms of the filters
/// are most of the work, forward and backward data (8^2 of one image, 512 channels: 1.1 to 1.3 times).
WinogradTile winograd_tile(const ConvCase& c) {
  const ConvShape& s = c.shape;
  if (s.H <= 2 && s.W <= 2) return WinogradTile::f2x2;
  const auto tiles = [&](std::int64_t m) { return s.N * ((s.H + m - 1) / m) * ((s.W + m - 1) / m); };
  if (tiles(4) <= 4 && c.pass != ConvPass::backward_weights) return WinogradTile::f2x2;
  const std::int64_t few = std::min(s.Cin, s.Cout), summed = c.pass == ConvPass::forward ? s.Cin : s.Cout;
  const bool enough_channels = few >= (c.pass == ConvPass::backward_weights || c.dtype == Dtype::f32 ? 64 : 32);
  const bool exact = c.dtype != Dtype::f32 || c.pass == ConvPass::backward_weights || summed <= 512;
  const bool fewer = tiles(6) >= 100 && 10 * 64 * tiles(6) <= 9 * 36 * tiles(4);
  return fewer && enough_channels && exact ? WinogradTile::f6x6 : WinogradTile::f4x4;
}

/// Whether tiles are faster than Winograd, by measurement (bench/README.md): forward and backward data, unless few
/// channels leave the tiles half empty, 1.1 to 3.5 times; backward weights 1.15 to 1.45 times where many pixels are
/// summed for each copied weight.
bool tiles_pay(const ConvCase& c) {
  if (!tile_conv_supports(c)) return false;
  const std::int64_t few = std::min(c.shape.Cin, c.shape.Cout), many = std::max(c.shape.Cin, c.shape.Cout);
  if (c.pass == ConvPass::backward_weights) return few >= 64 && c.shape.N * c.Ho() * c.Wo() >= 2048;
  return few >= 16 && many >= 32;
}

/// The fixed choice, within `provider`: the case, no clock. Measured with oneDNN 2.6.3 on one thread of an
/// EPYC (Zen 4, AVX-512, 117 GFLOP/s), 3x3 unless said otherwise, milliseconds, workspace copies included:
///
///   N, Cin -> Cout, size     own:gemm   onednn:nhwc  :own-layout  :nhwc-rotated
///   forward
///     2,    3 ->   64, 256^2     8.8          4.8          4.6
///     2,   64 ->   64, 256^2      96           86           86
///     2, 1024 -> 1024,  16^2     106           88           88
///   backward data
///     2,   64 ->   64, 256^2      96           90           99           86
///     2, 1024 -> 1024,  16^2     101          190           90           92
///     8,   16 ->   16, 128^2     9.0          7.2          8.6          6.1
///   backward weights
///     2,   64 ->   64, 256^2     102           98          119
///     2,   64 ->  128, 128^2      49           64           56
///     2,  128 ->  128, 128^2      98          126          108
///     2,  256 ->  256,  64^2     106          122          106
///     2,  512 ->  512,  32^2     106           94          104
///     8,   16 ->   16, 128^2     9.2          5.9          7.8
///     8,   32 ->   32, 128^2      27           29           30
///     8,  128 ->  128,  32^2      24           22           26
///     2,  256 ->  256,  64^2 1x1  12           11           13
///
/// Its own layout is never ahead of the best of the others by more than 2 %, and far behind where the copies weigh.
/// With a stride (ResNet34-UNet's, bench/README.md) own:gemm takes up to 1.3 times as long as oneDNN forward, 0.7
/// to 1.0 in backward weights of 3x3; but what it reads there is a slice, of which oneDNN would need a copy, and its
/// threads then wait on the cores that the next kernel wants.
Method rule(ConvProvider provider, const ConvCase& c) {
  const ConvShape& s = c.shape;
  if (provider == ConvProvider::automatic || provider == ConvProvider::direct) {
    if (first_layer_supports(c)) return Method::first_layer;
    // Faster than every direct method but tiles at each of UNet's layers (bench/README.md). By counting operations the
    // transforms cost what the products save at 8 channels; below, it keeps small networks off oneDNN, whose threads
    // spin at every barrier while others want the machine. Baseline vectors were not timed: they are left to the direct
    // methods.
    if (provider == ConvProvider::automatic && isa() != Isa::baseline && winograd_supports(c) && s.Cin >= 4 &&
        s.Cout >= 4 && !tiles_pay(c)) {
      return Method::winograd;
    }
  }
  if (provider == ConvProvider::own || !onednn_can(OnednnLayout::nhwc, c)) return Method::own_gemm;
  if (provider != ConvProvider::onednn && c.spec.stride > 1) return Method::own_gemm;
  if (onednn_can(OnednnLayout::nhwc_rotated, c)) return Method::onednn_nhwc_rotated;
  if (provider != ConvProvider::onednn && c.pass == ConvPass::backward_weights) {
    const bool large = s.taps() > 1 && s.Cin >= 32 && s.Cout >= 32;
    if (large && c.Wo() >= 64) return Method::own_gemm;
  }
  return Method::onednn_nhwc;
}

ConvPlan plan_own_gemm(ConvCase c) {
  if (c.pass != ConvPass::forward) c.spec.bias = false;
  return {"own:gemm", own_conv_workspace(c),
          [c](const ConvOperands& io, void* workspace) { own_conv(c, io, workspace); }, true};
}

ConvPlan plan_method(Method method, const ConvCase& c) {
  switch (method) {
    case Method::winograd:
      return winograd_plan(c, winograd_tile(c));
    case Method::first_layer:
      return first_layer_plan(c);
    case Method::own_gemm:
      break;
    case Method::onednn_nhwc:
      return plan_onednn_conv(OnednnLayout::nhwc, c);
    case Method::onednn_own_layout:
      return plan_onednn_conv(OnednnLayout::own_layout, c);
    case Method::onednn_nhwc_rotated:
      return plan_onednn_conv(OnednnLayout::nhwc_rotated, c);
  }
  return plan_own_gemm(c);
}

}  // namespace

bool conv_provider_available(ConvProvider provider, const ConvCase& c) {
  if (provider == ConvProvider::onednn) return onednn_can(OnednnLayout::nhwc, c);
  return c.dtype == Dtype::f32 || c.dtype == Dtype::f64 || c.dtype == Dtype::bf16;
}

ConvPlan plan_conv(const ConvCase& c, ConvProvider provider) {
  if (!conv_provider_available(provider, c)) {
    std::string reason = "own convolutions are f32, f64 and bf16";
    if (provider == ConvProvider::onednn) {
      reason = onednn_version().empty() ? "oneDNN is not built in"
               : c.dtype != Dtype::f32  ? "oneDNN convolutions are f32 here"
                                        : "oneDNN overruns its workspace in this pass, so it is not used";
    }
    throw std::invalid_argument("convolution " + text_of(c) + ": " + reason);
  }
  return plan_method(rule(provider, c), c);
}

ConvPlan plan_conv_by_id(const ConvCase& c, const std::string& id) {
  std::string known;
  for (ConvPlan& plan : plan_conv_candidates(c)) {
    if (plan.id == id) return std::move(plan);
    if (!known.empty()) known += ", ";
    known += plan.id;
  }
  std::string message = "convolution " + text_of(c);
  message.append(": no implementation is called \"").append(id).append("\" here; there are ").append(known);
  throw std::invalid_argument(message);
}

std::string conv_machine() {
  std::string text = name_of(isa());
  if (const std::string version = onednn_version(); !version.empty()) text.append(", oneDNN ").append(version);
  return text;
}

std::vector<ConvPlan> plan_conv_candidates(const ConvCase& c) {
  std::vector<ConvPlan> plans;
  if (conv_provider_available(ConvProvider::own, c)) plans.push_back(plan_own_gemm(c));
  for (const auto layout : {OnednnLayout::nhwc, OnednnLayout::own_layout, OnednnLayout::nhwc_rotated}) {
    if (onednn_can(layout, c)) plans.push_back(plan_onednn_conv(layout, c));
  }
  if (first_layer_supports(c)) plans.push_back(first_layer_plan(c));
  if (winograd_supports(c)) {
    for (const auto tile : {WinogradTile::f6x6, WinogradTile::f4x4, WinogradTile::f2x2}) {
      plans.push_back(winograd_plan(c, tile));
    }
  }
  return plans;
}

}  // namespace unet::kernels::cpu
