#include "kernels/cpu/onednn_conv.h"

#include <stdexcept>

#if defined(UNET_HAS_ONEDNN)

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <future>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/elementwise.h"

namespace unet::kernels::cpu {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

/// OpenMP's library ends the process where the system gives it too few threads: asks for as many at once beforehand.
void require_threads(int count) {
  static std::atomic<int> given{1};
  if (count <= given.load()) return;
  std::promise<void> all_there;
  const std::shared_future<void> wait = all_there.get_future().share();
  std::vector<std::jthread> trial;
  try {
    while (static_cast<int>(trial.size()) < count - 1) trial.emplace_back([wait] { wait.wait(); });
  } catch (const std::system_error& error) {
    all_there.set_value();
    throw std::runtime_error("cannot start " + std::to_string(count) + " threads for oneDNN: " + error.what() +
                             "; ask for fewer --threads, or raise the limit (ulimit -u)");
  }
  all_there.set_value();
  given = count;
}

/// While it lives, oneDNN uses as many threads as our kernels do.
class OnednnThreads {
 public:
  OnednnThreads() {
    require_threads(threads());
    omp_set_num_threads(threads());
  }
  ~OnednnThreads() { omp_set_num_threads(before_); }
  OnednnThreads(const OnednnThreads&) = delete;
  OnednnThreads& operator=(const OnednnThreads&) = delete;

 private:
  int before_ = omp_get_max_threads();
};

dnnl::engine& cpu_engine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& cpu_stream() {
  static dnnl::stream stream(cpu_engine());
  return stream;
}

memory::desc desc(const memory::dims& dims, Tag tag) { return {dims, memory::data_type::f32, tag}; }

/// A primitive descriptor of one pass, with the memory descriptors that the library chose.
struct Chosen {
  dnnl::primitive primitive;
  memory::desc src, weights, dst, scratchpad;
};

/// residual: y holds it beforehand, the results are added to it.
dnnl::primitive_attr attributes(bool residual, bool relu) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops post;
  if (residual) post.append_sum(1.f);
  if (relu) {
#if DNNL_VERSION_MAJOR >= 3
    post.append_eltwise(dnnl::algorithm::eltwise_relu, 0.f, 0.f);
#else
    post.append_eltwise(1.f, dnnl::algorithm::eltwise_relu, 0.f, 0.f);
#endif
  }
  attr.set_post_ops(post);
  return attr;
}

struct Geometry {
  memory::desc src, weights, dst;
  memory::dims strides, pad_before, pad_after;
};

constexpr auto kDirect = dnnl::algorithm::convolution_direct;

Chosen choose_forward(const Geometry& g, const memory::desc& bias, const dnnl::primitive_attr& attr) {
  using Conv = dnnl::convolution_forward;
  // Training and inference differ in nothing here; the inference kind lets the library choose from more kernels.
  constexpr auto kind = dnnl::prop_kind::forward_inference;
#if DNNL_VERSION_MAJOR >= 3
  const Conv::primitive_desc pd(cpu_engine(), kind, kDirect, g.src, g.weights, bias, g.dst, g.strides, g.pad_before,
                                g.pad_after, attr);
#else
  const Conv::primitive_desc pd(
      Conv::desc(kind, kDirect, g.src, g.weights, bias, g.dst, g.strides, g.pad_before, g.pad_after), attr,
      cpu_engine());
#endif
  return {Conv(pd), pd.src_desc(), pd.weights_desc(), pd.dst_desc(), pd.scratchpad_desc()};
}

Chosen choose_backward(ConvPass pass, const Geometry& g, const dnnl::primitive_attr& attr) {
  using Forward = dnnl::convolution_forward;
  using Data = dnnl::convolution_backward_data;
  using Weights = dnnl::convolution_backward_weights;
  constexpr auto kind = dnnl::prop_kind::forward_training;
#if DNNL_VERSION_MAJOR >= 3
  const Forward::primitive_desc hint(cpu_engine(), kind, kDirect, g.src, g.weights, g.dst, g.strides, g.pad_before,
                                     g.pad_after);
  if (pass == ConvPass::backward_data) {
    const Data::primitive_desc pd(cpu_engine(), kDirect, g.src, g.weights, g.dst, g.strides, g.pad_before, g.pad_after,
                                  hint, attr);
    return {Data(pd), pd.diff_src_desc(), pd.weights_desc(), pd.diff_dst_desc(), pd.scratchpad_desc()};
  }
  const Weights::primitive_desc pd(cpu_engine(), kDirect, g.src, g.weights, g.dst, g.strides, g.pad_before, g.pad_after,
                                   hint, attr);
#else
  const Forward::primitive_desc hint(
      Forward::desc(kind, kDirect, g.src, g.weights, g.dst, g.strides, g.pad_before, g.pad_after), cpu_engine());
  if (pass == ConvPass::backward_data) {
    const Data::primitive_desc pd(Data::desc(kDirect, g.src, g.weights, g.dst, g.strides, g.pad_before, g.pad_after),
                                  attr, cpu_engine(), hint);
    return {Data(pd), pd.diff_src_desc(), pd.weights_desc(), pd.diff_dst_desc(), pd.scratchpad_desc()};
  }
  const Weights::primitive_desc pd(
      Weights::desc(kDirect, g.src, g.weights, g.dst, g.strides, g.pad_before, g.pad_after), attr, cpu_engine(), hint);
#endif
  return {Weights(pd), pd.src_desc(), pd.diff_weights_desc(), pd.diff_dst_desc(), pd.scratchpad_desc()};
}

/// One operand: the caller's memory, and the library's copy of it in the workspace where the layouts differ.
struct Operand {
  memory user, own;
  dnnl::reorder reorder;
  std::unordered_map<int, memory> reorder_args;
  std::size_t offset = 0;  // of `own` in the workspace
  bool copied = false;

  Operand() = default;
  /// Reserves its share of `workspace` bytes if it needs a copy, into the library's layout for an input and out of it
  /// for an output.
  Operand(const memory::desc& outside, const memory::desc& inside, bool output, std::size_t& workspace)
      : user(outside, cpu_engine(), nullptr), own(user), copied(outside != inside) {
    if (!copied) return;
    own = memory(inside, cpu_engine(), nullptr);
    offset = workspace;
    workspace += (inside.get_size() + 63) / 64 * 64;
    const memory& from = output ? own : user;
    const memory& to = output ? user : own;
    reorder = dnnl::reorder(from, to);
    reorder_args = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
  }

  void point_to(const void* data, void* workspace) {
    user.set_data_handle(const_cast<void*>(data));
    if (copied) own.set_data_handle(static_cast<char*>(workspace) + offset);
  }
  void copy() {
    if (copied) reorder.execute(cpu_stream(), reorder_args);
  }
};

/// Everything that is made once at planning. src, weights and dst are meant as in the forward direction of the
/// primitive, so src is dy and dst is dx where backward data runs as a forward convolution.
struct State {
  dnnl::primitive primitive;
  std::unordered_map<int, memory> args;
  Operand src, weights, dst;
  memory bias, scratchpad;
  std::size_t scratchpad_offset = 0;
  std::size_t rotated_offset = 0;
};

/// dst[co, t, ci] = src[co, taps - 1 - t, ci].
void rotate(const float* src, std::int64_t Cout, std::int64_t taps, std::int64_t Cin, float* dst) {
  parallel_for(Cout, [&](std::int64_t co) {
    for (std::int64_t t = 0; t < taps; ++t) {
      std::memcpy(dst + (co * taps + t) * Cin, src + (co * taps + taps - 1 - t) * Cin,
                  static_cast<std::size_t>(Cin) * sizeof(float));
    }
  });
}

const char* id_of(OnednnLayout layout) {
  switch (layout) {
    case OnednnLayout::nhwc:
      return "onednn:nhwc";
    case OnednnLayout::own_layout:
      return "onednn:own-layout";
    case OnednnLayout::nhwc_rotated:
      return "onednn:nhwc-rotated";
  }
  return "?";
}

}  // namespace

std::string onednn_version() {
  const dnnl_version_t* v = dnnl_version();
  return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
}

bool onednn_can(OnednnLayout layout, const ConvCase& c) {
  if (c.dtype != Dtype::f32) return false;
  // 2.6.3 gathers a strided 1x1 in steps of 16 channels and overruns its scratchpad where x has fewer.
  const bool strided_1x1 = c.shape.taps() == 1 && c.spec.stride > 1;
  if (c.pass == ConvPass::backward_weights && strided_1x1 && c.shape.Cin % 16 != 0) return false;
  if (layout == OnednnLayout::own_layout) return !c.spec.residual;
  if (layout == OnednnLayout::nhwc) return true;
  return c.pass == ConvPass::backward_data && c.spec.stride == 1 && c.spec.pad < std::min(c.shape.Kh, c.shape.Kw);
}

ConvPlan plan_onednn_conv(OnednnLayout layout, const ConvCase& c) {
  const ConvPass pass = c.pass;
  const ConvSpec& spec = c.spec;
  const ConvShape s = c.shape;
  const OnednnThreads threads_planned;
  const bool rotated = layout == OnednnLayout::nhwc_rotated;
  const std::int64_t Ho = c.Ho(), Wo = c.Wo();
  const memory::dims x_dims{s.N, s.Cin, s.H, s.W}, y_dims{s.N, s.Cout, Ho, Wo};
  const Tag activations = layout == OnednnLayout::own_layout ? Tag::any : Tag::nhwc;
  // Zero padding may be cut short at the far border when the stride does not divide: say what is really used.
  const std::int64_t used_h = (Ho - 1) * spec.stride + s.Kh, used_w = (Wo - 1) * spec.stride + s.Kw;

  Geometry g;
  memory::desc user_weights;
  if (rotated) {
    const memory::dims dims{s.Cin, s.Cout, s.Kh, s.Kw};
    user_weights =
        memory::desc(dims, memory::data_type::f32, memory::dims{1, s.Kh * s.Kw * s.Cin, s.Kw * s.Cin, s.Cin});
    const memory::dims pad{s.Kh - 1 - spec.pad, s.Kw - 1 - spec.pad};
    g = {desc(y_dims, activations), desc(dims, Tag::any), desc(x_dims, activations), {1, 1}, pad, pad};
  } else {
    const memory::dims dims{s.Cout, s.Cin, s.Kh, s.Kw};
    user_weights = desc(dims, Tag::ohwi);
    g = {desc(x_dims, activations),  desc(dims, Tag::any), desc(y_dims, activations),
         {spec.stride, spec.stride}, {spec.pad, spec.pad}, {used_h - s.H - spec.pad, used_w - s.W - spec.pad}};
  }

  auto state = std::make_shared<State>();
  const bool bias = pass == ConvPass::forward && spec.bias;
  const memory::desc bias_desc = bias ? desc({s.Cout}, Tag::a) : memory::desc();
  const bool residual = pass == ConvPass::forward && spec.residual;
  const dnnl::primitive_attr attr = attributes(residual, pass == ConvPass::forward && spec.relu);
  Chosen chosen;
  try {
    chosen = pass == ConvPass::forward || rotated ? choose_forward(g, bias_desc, attr) : choose_backward(pass, g, attr);
  } catch (const dnnl::error& e) {
    throw std::runtime_error(std::string(id_of(layout)) + " " + name_of(pass) + ": " + e.message);
  }

  ConvPlan plan;
  plan.foreign_threads = true;
  plan.id = id_of(layout);
  const memory::dims& src_dims = rotated ? y_dims : x_dims;
  const memory::dims& dst_dims = rotated ? x_dims : y_dims;
  const bool writes_src = pass == ConvPass::backward_data && !rotated;
  const bool writes_weights = pass == ConvPass::backward_weights;
  const bool writes_dst = pass == ConvPass::forward || rotated;
  state->primitive = chosen.primitive;
  state->src = Operand(desc(src_dims, Tag::nhwc), chosen.src, writes_src, plan.workspace);
  state->weights = Operand(user_weights, chosen.weights, writes_weights, plan.workspace);
  state->dst = Operand(desc(dst_dims, Tag::nhwc), chosen.dst, writes_dst, plan.workspace);
  state->scratchpad = memory(chosen.scratchpad, cpu_engine(), nullptr);
  state->scratchpad_offset = plan.workspace;
  plan.workspace += (chosen.scratchpad.get_size() + 63) / 64 * 64;
  if (rotated) {
    state->rotated_offset = plan.workspace;
    plan.workspace += static_cast<std::size_t>(s.Cout * s.Kh * s.Kw * s.Cin) * sizeof(float);
  }
  state->args = {{writes_src ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, state->src.own},
                 {writes_weights ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, state->weights.own},
                 {writes_dst ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, state->dst.own},
                 {DNNL_ARG_SCRATCHPAD, state->scratchpad}};
  if (bias) {
    state->bias = memory(bias_desc, cpu_engine(), nullptr);
    state->args.emplace(DNNL_ARG_BIAS, state->bias);
  }

  plan.run = [state, pass, rotated, residual, s](const ConvOperands& io, void* workspace) {
    char* const bytes = static_cast<char*>(workspace);
    const void* src = pass == ConvPass::backward_data ? (rotated ? io.dy.data : io.dx.data) : io.x.data;
    const void* dst = pass == ConvPass::forward ? io.y.data : (rotated ? io.dx.data : io.dy.data);
    const void* weights = pass == ConvPass::backward_weights ? io.dweights.data : io.weights.data;
    if (rotated) {
      float* turned = reinterpret_cast<float*>(bytes + state->rotated_offset);
      rotate(io.weights.as<float>(), s.Cout, s.Kh * s.Kw, s.Cin, turned);
      weights = turned;
    }
    state->src.point_to(src, workspace);
    state->weights.point_to(weights, workspace);
    state->dst.point_to(dst, workspace);
    state->scratchpad.set_data_handle(bytes + state->scratchpad_offset);
    if (state->bias) state->bias.set_data_handle(const_cast<void*>(io.bias.data));

    if (residual) copy(io.residual, io.y);
    const OnednnThreads threads_now;
    const bool writes_src_now = pass == ConvPass::backward_data && !rotated;
    Operand& output = pass == ConvPass::backward_weights ? state->weights : writes_src_now ? state->src : state->dst;
    for (Operand* operand : {&state->src, &state->weights, &state->dst}) {
      if (operand != &output) operand->copy();
    }
    state->primitive.execute(cpu_stream(), state->args);
    output.copy();
    cpu_stream().wait();
  };
  return plan;
}

}  // namespace unet::kernels::cpu

#else

namespace unet::kernels::cpu {

std::string onednn_version() { return ""; }
bool onednn_can(OnednnLayout, const ConvCase&) { return false; }
ConvPlan plan_onednn_conv(OnednnLayout, const ConvCase&) { throw std::runtime_error("oneDNN is not built in"); }

}  // namespace unet::kernels::cpu

#endif
