#include "models/encoder_weights.h"

#include <algorithm>
#include <map>

#include "engine/core/error.h"
#include "engine/train/checkpoint.h"
#include "models/weights.h"

namespace unet::models {
namespace {

constexpr std::string_view kPrefix = "encoder.";

/// The first convolution's weight as the file has it, if it reads another number of channels; else nothing.
std::vector<NamedTensor> of_other_channels(const TensorInfo& info, const std::string& name, const Tensor& ours) {
  const Shape& shape = ours.shape();
  if (info.shape.size() != 4 || info.shape[1] == shape[3] || info.shape[1] < 1) return {};
  // As large as what lies in the file, whatever its shape says.
  const std::int64_t rest = shape.size() / shape[3];
  const auto elements = static_cast<std::int64_t>(info.elements());
  if (elements % rest != 0 || elements / rest != info.shape[1]) return {};
  return {{name, Tensor::empty({shape[0], shape[1], shape[2], info.shape[1]}, ours.dtype())}};
}

void adapt_channels(const Tensor& from, const Tensor& to) {
  const std::int64_t there = from.shape()[3], here = to.shape()[3], pixels = to.shape().size() / here;
  const std::vector<double> values = from.values<double>();
  std::vector<double> out;
  for (std::int64_t p = 0; p < pixels; ++p) {
    const double* slices = values.data() + p * there;
    for (std::int64_t c = 0; c < here; ++c) {
      double sum = 0;
      for (std::int64_t i = 0; here == 1 && i < there; ++i) sum += slices[i];
      out.push_back(here == 1 ? sum : slices[c % there] * static_cast<double>(there) / static_cast<double>(here));
    }
  }
  put(to, out);
}

/// Names of a file in few words: "fc.weight, fc.bias", "decoder.* (50)".
std::string names_text(const std::vector<std::string>& names) {
  constexpr std::size_t kSingly = 4;
  std::map<std::string, std::vector<std::string>> of_part;
  for (const std::string& name : names) of_part[name.substr(0, name.find('.'))].push_back(name);
  std::string out;
  const auto add = [&](const std::string& text) { out += (out.empty() ? "" : ", ") + text; };
  for (const auto& [part, all] : of_part) {
    if (all.size() > kSingly) {
      add(fmt::format("{}.* ({})", printable(part), all.size()));
    } else {
      for (const std::string& name : all) add(printable(name));
    }
  }
  return out;
}

}  // namespace

bool has_encoder(const Segmenter& segmenter) {
  return std::ranges::any_of(segmenter.parameters().groups(),
                             [](const Parameters::Group& group) { return group.name == kEncoder; });
}

std::vector<std::string> load_encoder_weights(const TensorFile& file, Segmenter& segmenter) {
  if (!has_encoder(segmenter)) {
    throw Error("{}: {} has no encoder that is trained apart from it; weights of the whole network are --init's",
                file.path().string(), segmenter.spec().model);
  }
  Parameters& parameters = segmenter.parameters();
  const std::string& first = parameters.params().front().name;  // "encoder.conv1.weight"
  std::string prefix, inner{kPrefix};
  const TensorInfo* stem = nullptr;
  for (const std::string& wrapper : prefixes_of(file)) {
    for (const std::string_view own : {kPrefix, std::string_view()}) {
      const TensorInfo* found = file.find(wrapper + std::string(own) + first.substr(kPrefix.size()));
      if (found == nullptr || stem != nullptr) continue;
      stem = found;
      prefix = wrapper;
      inner = own;
    }
  }
  if (stem == nullptr) {
    throw Error("{}: holds no encoder of {}: tensor \"{}\" is missing", file.path().string(), segmenter.spec().model,
                first.substr(kPrefix.size()));
  }
  const Rename rename = [&](const std::string& name) {
    if (!name.starts_with(prefix + inner)) return std::string();
    return std::string(kPrefix) + name.substr(prefix.size() + inner.size());
  };
  const Tensor weight = parameters.value({0});
  const std::vector<NamedTensor> other = of_other_channels(*stem, first, weight);
  const LoadedTensors found = load_tensors(file, parameters, rename, other, [&](LoadedTensors all) {
    std::erase_if(all.missing, [](const std::string& name) {
      return !name.starts_with(kPrefix) || name.ends_with(".num_batches_tracked");
    });
    all.unused.clear();
    require_whole(file, all);
  });

  // Nothing is refused from here on.
  std::vector<std::string> notes = notes_of(file);
  if (!other.empty()) {
    adapt_channels(other[0].tensor, weight);
    notes.push_back(fmt::format("{} reads {} channels, not {}: {}", first, stem->shape[1], weight.shape()[3],
                                weight.shape()[3] == 1 ? "summed" : "repeated in turn and scaled"));
  }
  parameters.values_changed();
  for (Parameters::Stats& stats : parameters.stats()) {
    const std::string tracked = stats.name + ".num_batches_tracked";
    if (std::ranges::find(found.missing, tracked) != found.missing.end()) stats.batches_tracked = 0;
  }
  if (!found.unused.empty()) notes.push_back("not the encoder's, left out: " + names_text(found.unused));
  return notes;
}

}  // namespace unet::models
