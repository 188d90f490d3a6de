#include "kernels/cuda/cudnn_conv.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <stdexcept>

#include "kernels/cuda/libraries.h"

namespace unet::kernels::cuda {
namespace {

constexpr std::array<std::pair<CudnnForm, const char*>, 3> kForms{
    {{CudnnForm::plain, "plain"}, {CudnnForm::fused, "fused"}, {CudnnForm::rotated, "rotated"}}};

const char* name_of(CudnnForm form) {
  for (const auto& [value, name] : kForms) {
    if (value == form) return name;
  }
  return "?";
}

// ---- graphs ---------------------------------------------------------------------------------------------------------

/// Adds to a graph, whose vectors own what is made. Room is reserved, so that references stay good.
class Builder {
 public:
  explicit Builder(CudnnGraph& graph) : graph_(graph) {
    graph_.parts.reserve(16);
    graph_.operations.reserve(4);
  }

  /// Dense, the channels innermost in memory; cuDNN names the extents N, C, H, W whatever the layout.
  const CudnnDescriptor& tensor(std::int64_t id, std::array<std::int64_t, 4> nhwc, cudnnDataType_t type,
                                bool is_virtual) {
    const auto [N, H, W, C] = nhwc;
    CudnnDescriptor& out = graph_.parts.emplace_back(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    out.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type);
    set_values(out, CUDNN_ATTR_TENSOR_DIMENSIONS, std::array{N, C, H, W});
    set_values(out, CUDNN_ATTR_TENSOR_STRIDES, std::array{H * W * C, std::int64_t{1}, W * C, C});
    out.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
    out.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, std::int64_t{16});
    out.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, is_virtual);
    out.finalize();
    return out;
  }

  const CudnnDescriptor& convolution(std::int64_t stride, std::int64_t pad_h, std::int64_t pad_w) {
    CudnnDescriptor& out = graph_.parts.emplace_back(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    out.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2});
    out.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
    out.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION);
    set_values(out, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, std::array{pad_h, pad_w});
    set_values(out, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, std::array{pad_h, pad_w});
    set_values(out, CUDNN_ATTR_CONVOLUTION_DILATIONS, std::array{std::int64_t{1}, std::int64_t{1}});
    set_values(out, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, std::array{stride, stride});
    out.finalize();
    return out;
  }

  void forward(const CudnnDescriptor& x, const CudnnDescriptor& weights, const CudnnDescriptor& y,
               const CudnnDescriptor& convolution) {
    CudnnDescriptor& op = graph_.operations.emplace_back(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, weights);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, convolution);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 1.0f);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, 0.0f);
    op.finalize();
  }

  void backward_data(const CudnnDescriptor& dx, const CudnnDescriptor& weights, const CudnnDescriptor& dy,
                     const CudnnDescriptor& convolution) {
    CudnnDescriptor& op = graph_.operations.emplace_back(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, dx);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, weights);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, dy);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, convolution);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, 1.0f);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, 0.0f);
    op.finalize();
  }

  void backward_weights(const CudnnDescriptor& x, const CudnnDescriptor& dweights, const CudnnDescriptor& dy,
                        const CudnnDescriptor& convolution) {
    CudnnDescriptor& op =
        graph_.operations.emplace_back(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, x);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, dweights);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, dy);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, convolution);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, 1.0f);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, 0.0f);
    op.finalize();
  }

  /// y = x + b, or max(x, 0) where b is null.
  void pointwise(cudnnPointwiseMode_t mode, const CudnnDescriptor& x, const CudnnDescriptor* b,
                 const CudnnDescriptor& y) {
    CudnnDescriptor& what = graph_.parts.emplace_back(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    what.set(CUDNN_ATTR_POINTWISE_MODE, mode);
    what.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
    what.finalize();
    CudnnDescriptor& op = graph_.operations.emplace_back(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, what);
    op.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b != nullptr) op.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b);
    op.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    op.finalize();
  }

 private:
  template <std::size_t Count>
  static void set_values(CudnnDescriptor& descriptor, cudnnBackendAttributeName_t name,
                         const std::array<std::int64_t, Count>& values) {
    descriptor.set_all(name, std::span<const std::int64_t>(values));
  }

  CudnnGraph& graph_;
};

std::shared_ptr<const CudnnGraph> make_graph(const std::shared_ptr<const CudnnTarget>& target, const ConvCase& c,
                                             CudnnForm form) {
  if (c.dtype != Dtype::f32 && c.dtype != Dtype::bf16) {
    throw std::invalid_argument(fmt::format("convolution {}: cuDNN convolutions are f32 and bf16", text_of(c)));
  }
  auto graph = std::make_shared<CudnnGraph>(target);
  Builder build(*graph);
  const ConvShape& s = c.shape;
  const cudnnDataType_t type = c.dtype == Dtype::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
  const std::array<std::int64_t, 4> x{s.N, s.H, s.W, s.Cin}, y{s.N, c.Ho(), c.Wo(), s.Cout};
  const std::array<std::int64_t, 4> weights{s.Cout, s.Kh, s.Kw, s.Cin};
  if (form == CudnnForm::rotated) {
    build.forward(
        build.tensor(kCudnnX, y, type, false), build.tensor(kCudnnWeights, {s.Cin, s.Kh, s.Kw, s.Cout}, type, false),
        build.tensor(kCudnnY, x, type, false), build.convolution(1, s.Kh - 1 - c.spec.pad, s.Kw - 1 - c.spec.pad));
    graph->finalize();
    return graph;
  }

  const bool fused = form == CudnnForm::fused;
  const CudnnDescriptor& in = build.tensor(kCudnnX, x, type, false);
  const CudnnDescriptor& filter = build.tensor(kCudnnWeights, weights, type, false);
  const CudnnDescriptor& out = build.tensor(fused ? kCudnnY + 10 : kCudnnY, y, fused ? CUDNN_DATA_FLOAT : type, fused);
  const CudnnDescriptor& convolution = build.convolution(c.spec.stride, c.spec.pad, c.spec.pad);
  if (c.pass == ConvPass::forward) build.forward(in, filter, out, convolution);
  if (c.pass == ConvPass::backward_data) build.backward_data(in, filter, out, convolution);
  if (c.pass == ConvPass::backward_weights) build.backward_weights(in, filter, out, convolution);
  if (fused) {
    const CudnnDescriptor& result = build.tensor(kCudnnY, y, type, false);
    const CudnnDescriptor* before_relu = &out;
    if (c.spec.bias) {
      const CudnnDescriptor& bias = build.tensor(kCudnnBias, {1, 1, 1, s.Cout}, type, false);
      const CudnnDescriptor& sum = c.spec.relu ? build.tensor(kCudnnY + 20, y, CUDNN_DATA_FLOAT, true) : result;
      build.pointwise(CUDNN_POINTWISE_ADD, out, &bias, sum);
      before_relu = &sum;
    }
    if (c.spec.relu) build.pointwise(CUDNN_POINTWISE_RELU_FWD, *before_relu, nullptr, result);
  }
  graph->finalize();
  return graph;
}

// ---- choice ---------------------------------------------------------------------------------------------------------

/// Engine 0 of each pass is a plain loop, there so that every shape has one.
constexpr std::int64_t kNaiveEngine = 0;

bool may_run(const CudnnConfig& config, const ConvCase& c) {
  if (config.has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)) return false;
  if (config.has(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS)) return false;
  if (config.has(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)) return false;
  return c.dtype != Dtype::f32 || c.tf32 || !config.has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
}

std::string id_of(CudnnForm form, const CudnnConfig& config) {
  std::string out = fmt::format("cudnn:{}:{}:e{}:", cudnn_version(), name_of(form), config.engine_index);
  for (const auto& [type, value] : config.settings) {
    out += fmt::format("{}{}={}", out.back() == ':' ? "" : ",", type, value);
  }
  return out;
}

/// The forms to try, the preferred one first.
std::vector<CudnnForm> forms_of(const ConvCase& c) {
  if (c.pass == ConvPass::forward && c.spec.residual) return {CudnnForm::plain};
  if (c.pass == ConvPass::forward && (c.spec.bias || c.spec.relu)) return {CudnnForm::fused, CudnnForm::plain};
  // In f32 the backward data engines for NHWC copy both tensors into another layout and back (without tensor cores on
  // every chip, with them on sm_80 and sm_120), or they are the naive one; the forward pass has an engine that does
  // not.
  const bool rotatable = c.spec.stride == 1 && c.spec.pad < c.shape.Kh && c.spec.pad < c.shape.Kw;
  if (c.pass == ConvPass::backward_data && c.dtype == Dtype::f32 && rotatable) {
    if (c.tf32) return {CudnnForm::plain, CudnnForm::rotated};
    return {CudnnForm::rotated, CudnnForm::plain};
  }
  return {CudnnForm::plain};
}

/// What cuDNN repacks, it repacks whole: a workspace as large as an activation may be a hidden copy of one.
std::size_t smaller_activation(const ConvCase& c) {
  const ConvShape& s = c.shape;
  const std::int64_t x = s.N * s.H * s.W * s.Cin, y = s.N * c.Ho() * c.Wo() * s.Cout;
  return static_cast<std::size_t>(std::min(x, y)) * size_of(c.dtype);
}

std::size_t workspace_limit(const ConvCase& c) {
  return std::clamp(smaller_activation(c), kCudnnSmallWorkspace, kCudnnWorkspaceLimit);
}

/// The first that is lean (cudnn_conv.h).
std::vector<CudnnConv>::iterator first_lean(std::vector<CudnnConv>& found, const ConvCase& c) {
  const std::size_t whole = smaller_activation(c);
  return std::find_if(found.begin(), found.end(),
                      [&](const CudnnConv& conv) { return conv.plan->workspace() < whole; });
}

/// Appends to `found` what passes, until it holds as many as are wanted and a lean one is among them. refusal: what
/// cuDNN last refused, if it did.
void collect(const std::shared_ptr<const CudnnGraph>& graph, CudnnForm form, cudnnBackendHeurMode_t mode,
             const ConvCase& c, const CudnnChoice& choice, std::vector<CudnnConv>& found, std::string& refusal) {
  const auto has_lean = [&] { return first_lean(found, c) != found.end(); };
  const auto enough = [&] { return found.size() >= choice.most && has_lean(); };
  if (enough()) return;
  for (CudnnDescriptor& proposal : propose(*graph, mode, refusal)) {
    CudnnConfig config = examine(std::move(proposal));
    if (!may_run(config, c)) continue;
    const bool last_resort = mode == CUDNN_HEUR_MODE_FALLBACK && found.empty();
    if (config.engine_index == kNaiveEngine && !last_resort) continue;
    const auto same_engine = [&](const CudnnConv& other) {
      return other.form == form && other.plan->config().engine_index == config.engine_index;
    };
    const auto of_engine = static_cast<std::size_t>(std::count_if(found.begin(), found.end(), same_engine));
    if (of_engine >= choice.most_of_an_engine && has_lean()) continue;
    CudnnConv entry{id_of(form, config), form, {}};
    const auto known = [&](const CudnnConv& other) { return other.id == entry.id; };
    if (std::any_of(found.begin(), found.end(), known)) continue;
    try {
      entry.plan = std::make_shared<CudnnPlan>(graph, std::move(config));
    } catch (const std::runtime_error& error) {
      refusal = error.what();  // a heuristic may propose what the engine then refuses
      continue;
    }
    if (entry.plan->workspace() > workspace_limit(c)) continue;
    found.push_back(std::move(entry));
    if (enough()) return;
  }
}

std::int64_t number(std::string_view text, const std::string& id) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw std::invalid_argument(fmt::format("plan id \"{}\": \"{}\" is not a number", id, text));
  }
  return value;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    out.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

}  // namespace

std::vector<CudnnConv> cudnn_conv_candidates(const std::shared_ptr<const CudnnTarget>& target, const ConvCase& c,
                                             const CudnnChoice& choice) {
  std::vector<std::pair<CudnnForm, std::shared_ptr<const CudnnGraph>>> graphs;
  std::vector<CudnnConv> found;
  std::string refusal;
  for (const CudnnForm form : forms_of(c)) {
    if (found.size() >= choice.most && first_lean(found, c) != found.end()) break;
    graphs.emplace_back(form, make_graph(target, c, form));
    collect(graphs.back().second, form, CUDNN_HEUR_MODE_A, c, choice, found, refusal);
    collect(graphs.back().second, form, CUDNN_HEUR_MODE_B, c, choice, found, refusal);
  }
  for (const auto& [form, graph] : graphs) {
    if (first_lean(found, c) == found.end()) {
      collect(graph, form, CUDNN_HEUR_MODE_FALLBACK, c, {}, found, refusal);
    }
  }
  if (found.empty()) {
    throw std::runtime_error(fmt::format(
        "convolution {}: cuDNN {} has no deterministic kernel within {} MiB of workspace{}", text_of(c),
        cudnn_version(), workspace_limit(c) >> 20, refusal.empty() ? "" : "; its last refusal: " + refusal));
  }
  const auto best = first_lean(found, c);
  if (best != found.end()) std::rotate(found.begin(), best, best + 1);
  found.resize(std::min(found.size(), choice.most));
  return found;
}

CudnnConv plan_cudnn_conv(const std::shared_ptr<const CudnnTarget>& target, const ConvCase& c) {
  return std::move(cudnn_conv_candidates(target, c, {}).front());
}

CudnnConv cudnn_conv_by_id(const std::shared_ptr<const CudnnTarget>& target, const ConvCase& c, const std::string& id) {
  const std::vector<std::string_view> parts = split(id, ':');
  if (parts.size() < 4 || parts[0] != "cudnn" || parts[3].empty() || parts[3][0] != 'e') {
    throw std::invalid_argument(fmt::format("plan id \"{}\": expected cudnn:VERSION:FORM:eENGINE:SETTINGS", id));
  }
  if (parts[1] != cudnn_version()) {
    throw std::invalid_argument(
        fmt::format("plan id \"{}\" is of cuDNN {}, but {} is loaded: plan anew", id, parts[1], cudnn_version()));
  }
  const std::vector<CudnnForm> forms = forms_of(c);
  const auto form = std::find_if(forms.begin(), forms.end(), [&](CudnnForm f) { return parts[2] == name_of(f); });
  if (form == forms.end()) throw std::invalid_argument(fmt::format("plan id \"{}\": no form \"{}\"", id, parts[2]));
  std::vector<std::pair<std::int64_t, std::int64_t>> settings;
  if (parts.size() > 4) {
    for (const std::string_view setting : split(parts[4], ',')) {
      const std::vector<std::string_view> pair = split(setting, '=');
      if (pair.size() != 2) throw std::invalid_argument(fmt::format("plan id \"{}\": setting \"{}\"", id, setting));
      settings.emplace_back(number(pair[0], id), number(pair[1], id));
    }
  }
  const auto graph = make_graph(target, c, *form);
  CudnnConfig config = configure(*graph, number(parts[3].substr(1), id), settings);
  if (!may_run(config, c)) {
    throw std::invalid_argument(fmt::format("plan id \"{}\" rounds more than {} allows: plan anew", id, text_of(c)));
  }
  auto plan = std::make_shared<CudnnPlan>(graph, std::move(config));
  if (plan->workspace() > workspace_limit(c)) {
    throw std::invalid_argument(fmt::format("plan id \"{}\" asks for {} MiB of workspace, {} at most: plan anew", id,
                                            plan->workspace() >> 20, workspace_limit(c) >> 20));
  }
  return {id, *form, std::move(plan)};
}

}  // namespace unet::kernels::cuda
