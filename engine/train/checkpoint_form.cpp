#include "engine/train/checkpoint_form.h"

#include "engine/core/error.h"
#include "engine/core/rng.h"

namespace unet::checkpoint_form {

std::vector<Place> places_of(const Parameters& parameters) {
  std::vector<Place> out;
  for (const Parameters::Param& param : parameters.params()) {
    out.push_back({param.name, param.shape, false, param.offset});
  }
  for (const Parameters::Stats& stats : parameters.stats()) {
    out.push_back({stats.name + ".running_mean", {stats.channels}, true, stats.mean_offset});
    out.push_back({stats.name + ".running_var", {stats.channels}, true, stats.variance_offset});
  }
  return out;
}

std::string moment_name(const Optimizer::Moment& moment) { return kStatePrefix + moment.name; }
std::string steps_name(const Optimizer& optimizer) { return kStatePrefix + optimizer.name() + "_steps"; }

std::string tracked_name(const Parameters::Stats& stats) { return stats.name + ".num_batches_tracked"; }

std::vector<std::int64_t> disk_shape(const Shape& s) {
  if (s.rank() == 4) return {s[0], s[3], s[1], s[2]};
  std::vector<std::int64_t> out;
  for (int i = 0; i < s.rank(); ++i) out.push_back(s[i]);
  return out;
}

std::vector<std::int64_t> steps_shape(const Parameters& parameters) {
  const auto groups = static_cast<std::int64_t>(parameters.groups().size());
  return groups == 1 ? std::vector<std::int64_t>() : std::vector<std::int64_t>{groups};
}

SafeDtype file_dtype(const Parameters& parameters) {
  return parameters.dtype() == Dtype::f64 ? SafeDtype::kF64 : SafeDtype::kF32;
}

std::string checksum_key(const std::string& tensor) { return std::string(kChecksum) + tensor; }
std::string checksum_text(std::uint64_t checksum) { return fmt::format("{:016x}", checksum); }

std::uint64_t digest_with(std::uint64_t digest, std::uint64_t checksum) { return mix64(digest ^ checksum); }

}  // namespace unet::checkpoint_form
