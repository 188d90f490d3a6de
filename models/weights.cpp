#include "models/weights.h"

#include <algorithm>
#include <array>
#include <limits>

#include "engine/core/device_memory.h"
#include "engine/core/error.h"
#include "engine/io/half.h"
#include "engine/train/checkpoint.h"

namespace unet::models {
namespace {

constexpr std::array<std::string_view, 4> kWrappers{"module.", "_orig_mod.", "model.", "net."};
constexpr const char* kTracked = ".num_batches_tracked";

/// A tensor of a file that is none of the network's, and the one that it becomes a part of.
struct Detour {
  NamedTensor from;
  Tensor to;
};

/// Biases that the file has and the network has not, of convolutions with a batch norm behind them; to its mean.
std::vector<Detour> biases_before_norms(const WeightsFile& weights, const Parameters& parameters) {
  std::vector<Detour> out;
  const std::vector<Parameters::Param>& params = parameters.params();
  for (std::size_t i = 0; i + 1 < params.size(); ++i) {
    const std::string bias = params[i].name.substr(0, params[i].name.rfind('.')) + ".bias";
    if (params[i].shape.rank() != 4 || weights.find(bias) == nullptr) continue;
    if (std::ranges::find(params, bias, &Parameters::Param::name) != params.end()) continue;
    for (int s = 0; const Parameters::Stats& stats : parameters.stats()) {
      const Tensor mean = parameters.running({s++}).mean;
      if (params[i + 1].name != stats.name + ".weight") continue;
      out.push_back({{bias, Tensor::empty(mean.shape(), mean.dtype())}, mean});
    }
  }
  return out;
}

/// The file's head if it has another number of outputs than the network's.
std::vector<Detour> head_of_other_size(const WeightsFile& weights, const Parameters& parameters) {
  std::vector<Detour> out;
  const std::vector<Parameters::Param>& params = parameters.params();
  std::size_t i = params.size() - 1;
  while (params[i].shape.rank() != 4) --i;
  const Shape& shape = params[i].shape;
  const TensorInfo* info = weights.find(params[i].name);
  if (info == nullptr || info->shape.empty() || info->shape[0] == shape[0]) return out;
  // As large as what lies in the file, whatever its shape says.
  const std::int64_t rows = info->shape[0], of_row = shape.size() / shape[0];
  const auto elements = static_cast<std::int64_t>(info->elements());
  if (rows < 1 || elements % rows != 0 || elements / rows != of_row) return out;
  for (; i < params.size(); ++i) {
    const Shape& s = params[i].shape;
    const Shape of_file = s.rank() == 4 ? Shape{rows, s[1], s[2], s[3]} : Shape{rows};
    const Tensor to = parameters.value({static_cast<int>(i)});
    out.push_back({{params[i].name, Tensor::empty(of_file, to.dtype())}, to});
  }
  return out;
}

}  // namespace

void put(const Tensor& to, const std::vector<double>& values) {
  const Tensor host = Tensor::of(to.shape(), to.dtype(), values);
  upload(to.data<void>(), to.device(), host.data<void>(), host.bytes());
}

std::vector<std::string> notes_of(const TensorFile& file) {
  std::vector<std::string> notes = file.notes();
  if (const auto halves = std::ranges::count_if(file.tensors(), is_half, &TensorInfo::dtype); halves > 0) {
    notes.push_back(fmt::format("{} tensors are F16 or BF16, converted to F32", halves));
  }
  return notes;
}

std::set<std::string> prefixes_of(const TensorFile& file) {
  std::set<std::string> out{""};
  for (const TensorInfo& info : file.tensors()) {
    std::string_view rest = info.name;
    const auto begins = [&](std::string_view wrapper) { return rest.starts_with(wrapper); };
    for (auto it = kWrappers.begin(); (it = std::ranges::find_if(kWrappers, begins)) != kWrappers.end();) {
      rest.remove_prefix(it->size());
    }
    out.insert(info.name.substr(0, info.name.size() - rest.size()));
  }
  return out;
}

std::vector<std::string> load_weights(const TensorFile& file, Segmenter& segmenter, OtherHead other_head) {
  Parameters& parameters = segmenter.parameters();
  WeightsFile weights{file, ""};
  for (const std::string& prefix : prefixes_of(file)) {
    if (file.find(prefix + parameters.params().front().name) == nullptr) continue;
    weights.prefix = prefix;
    break;
  }
  const std::vector<Detour> biases = biases_before_norms(weights, parameters);
  std::vector<Detour> head = head_of_other_size(weights, parameters);
  const bool sigmoid = !head.empty() && head[0].from.tensor.shape()[0] == 1 && segmenter.spec().classes == 2;
  if (!sigmoid && other_head == OtherHead::refused) head.clear();

  std::vector<NamedTensor> others;
  for (const Detour& bias : biases) others.push_back(bias.from);
  for (const Detour& part : head) others.push_back(part.from);
  const Rename rename = [&](const std::string& name) {
    return name.starts_with(weights.prefix) ? name.substr(weights.prefix.size()) : std::string();
  };
  load_tensors(file, parameters, rename, others, [&](LoadedTensors found) {
    std::erase_if(found.missing, [](const std::string& name) { return name.ends_with(kTracked); });
    require_whole(file, found);
  });

  // Nothing is refused from here on.
  for (const auto& [bias, mean] : biases) {
    constexpr double kMost = std::numeric_limits<float>::max();
    std::vector<double> values = mean.values<double>(), less = bias.tensor.values<double>();
    for (std::size_t c = 0; c < values.size(); ++c) values[c] = std::clamp(values[c] - less[c], -kMost, kMost);
    put(mean, values);
  }
  std::string names;
  for (const auto& [part, to] : head) {
    names += (names.empty() ? "" : ", ") + part.name;
    if (!sigmoid) continue;
    std::vector<double> values = part.tensor.values<double>();
    values.insert(values.begin(), values.size(), 0.0);
    put(to, values);
  }
  parameters.values_changed();
  std::size_t untracked = 0;
  for (Parameters::Stats& stats : parameters.stats()) {
    if (weights.find(stats.name + kTracked) != nullptr) continue;
    stats.batches_tracked = 0;
    ++untracked;
  }

  std::vector<std::string> notes = notes_of(file);
  if (!weights.prefix.empty()) {
    notes.push_back(fmt::format("names begin with \"{}\", which is left out", printable(weights.prefix)));
  }
  if (!biases.empty()) {
    notes.push_back(fmt::format(
        "biases of convolutions, taken off the running means of the batch norms behind them ({})", biases.size()));
  }
  if (untracked > 0) notes.push_back(fmt::format("no num_batches_tracked of {} batch norms, taken as 0", untracked));
  if (sigmoid) {
    notes.push_back("one output z (sigmoid), taken as two classes with the logits [0, z]");
  } else if (!head.empty()) {
    notes.push_back(fmt::format("{} outputs, not {}: {} stay as drawn from --seed", head[0].from.tensor.shape()[0],
                                segmenter.spec().classes, names));
  }
  return notes;
}

}  // namespace unet::models
