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

/// A tensor of a file on its way to one of the network's that is another.
template <class Id>
struct Detour {
  Id to;
  NamedTensor from;
};

/// Biases that the file has and the network has not, of convolutions with a batch norm behind them.
std::vector<Detour<StatsId>> biases_before_norms(const WeightsFile& weights, const Parameters& parameters) {
  std::vector<Detour<StatsId>> out;
  const std::vector<Parameters::Param>& params = parameters.params();
  for (std::size_t i = 0; i + 1 < params.size(); ++i) {
    const std::string bias = params[i].name.substr(0, params[i].name.rfind('.')) + ".bias";
    if (params[i].shape.rank() != 4 || weights.find(bias) == nullptr) continue;
    if (std::ranges::find(params, bias, &Parameters::Param::name) != params.end()) continue;
    for (int s = 0; const Parameters::Stats& stats : parameters.stats()) {
      const StatsId id{s++};
      if (params[i + 1].name != stats.name + ".weight") continue;
      out.push_back({id, {bias, Tensor::empty({stats.channels}, parameters.dtype())}});
    }
  }
  return out;
}

/// The network's head if the file's has another number of outputs; `from` has as many as the file's.
std::vector<Detour<ParamId>> head_of_other_size(const WeightsFile& weights, const Parameters& parameters) {
  std::vector<Detour<ParamId>> out;
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
    out.push_back({ParamId{static_cast<int>(i)}, {params[i].name, Tensor::empty(of_file, parameters.dtype())}});
  }
  return out;
}

void put(const Tensor& to, const std::vector<double>& values) {
  const Tensor host = Tensor::of(to.shape(), to.dtype(), values);
  upload(to.data<void>(), to.device(), host.data<void>(), host.bytes());
}

}  // namespace

std::set<std::string> prefixes_of(const SafetensorsFile& file) {
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

std::vector<std::string> load_weights(const SafetensorsFile& file, Segmenter& segmenter, OtherHead other_head) {
  Parameters& parameters = segmenter.parameters();
  WeightsFile weights{file, ""};
  for (const std::string& prefix : prefixes_of(file)) {
    if (file.find(prefix + parameters.params().front().name) == nullptr) continue;
    weights.prefix = prefix;
    break;
  }
  const std::vector<Detour<StatsId>> biases = biases_before_norms(weights, parameters);
  std::vector<Detour<ParamId>> head = head_of_other_size(weights, parameters);
  const bool sigmoid = !head.empty() && head[0].from.tensor.shape()[0] == 1 && segmenter.spec().classes == 2;
  if (!sigmoid && other_head == OtherHead::refused) head.clear();

  std::vector<NamedTensor> others;
  for (const auto& [to, from] : biases) others.push_back(from);
  for (const auto& [to, from] : head) others.push_back(from);
  const Rename rename = [&](const std::string& name) {
    return name.starts_with(weights.prefix) ? name.substr(weights.prefix.size()) : std::string();
  };
  load_tensors(file, parameters, rename, others, [&](LoadedTensors found) {
    std::erase_if(found.missing, [](const std::string& name) { return name.ends_with(kTracked); });
    require_whole(file, found);
  });

  // From here on nothing fails.
  std::vector<std::string> notes;
  if (!weights.prefix.empty()) {
    notes.push_back(fmt::format("names begin with \"{}\", which is left out", printable(weights.prefix)));
  }
  const auto half = std::ranges::count_if(file.tensors(), is_half, &TensorInfo::dtype);
  if (half > 0) notes.push_back(fmt::format("{} tensors are F16 or BF16, converted to F32", half));
  for (const auto& [to, from] : biases) {
    constexpr double kMost = std::numeric_limits<float>::max();
    const Tensor mean = parameters.running(to).mean;
    std::vector<double> values = mean.values<double>();
    for (std::size_t c = 0; const double bias : from.tensor.values<double>()) {
      values[c] = std::clamp(values[c] - bias, -kMost, kMost);
      ++c;
    }
    put(mean, values);
  }
  if (!biases.empty()) {
    notes.push_back(
        fmt::format("{} biases of convolutions before a batch norm, taken off its running mean", biases.size()));
  }
  std::size_t untracked = 0;
  for (Parameters::Stats& stats : parameters.stats()) {
    if (weights.find(stats.name + kTracked) != nullptr) continue;
    stats.batches_tracked = 0;
    ++untracked;
  }
  if (untracked > 0) notes.push_back(fmt::format("{} batch norms have no num_batches_tracked, taken as 0", untracked));
  std::string names;
  for (const auto& [to, from] : head) {
    names += (names.empty() ? "" : ", ") + from.name;
    if (!sigmoid) continue;
    std::vector<double> values(static_cast<std::size_t>(from.tensor.size())), row = from.tensor.values<double>();
    values.insert(values.end(), row.begin(), row.end());
    put(parameters.value(to), values);
  }
  if (sigmoid) {
    notes.push_back("one output z (sigmoid), taken as two classes with the logits [0, z]");
    parameters.values_changed();
  } else if (!head.empty()) {
    notes.push_back(fmt::format("{} outputs instead of {}: {} stay as drawn from --seed",
                                head[0].from.tensor.shape()[0], segmenter.spec().classes, names));
  }
  return notes;
}

}  // namespace unet::models
