#include "tests/apps/checkpoint_edit.h"

#include "engine/io/safetensors.h"

namespace unet::test {

void write_with_metadata(const fs::path& from, const fs::path& to,
                         const std::function<void(std::map<std::string, std::string>&)>& change) {
  const SafetensorsFile file(from);
  std::map<std::string, std::string> metadata = file.metadata();
  change(metadata);
  std::vector<SafetensorsEntry> entries;
  std::vector<std::vector<char>> bytes;
  for (const TensorInfo& info : file.tensors()) {
    file.read(info, bytes.emplace_back(info.bytes()).data());
    entries.push_back({info.name, info.dtype, info.shape, bytes.back().data(), {}});
  }
  write_safetensors(to, metadata, entries);
}

void write_with_record(const fs::path& from, const fs::path& to, const std::function<void(nlohmann::json&)>& change) {
  write_with_metadata(from, to, [&](std::map<std::string, std::string>& metadata) {
    nlohmann::json record = nlohmann::json::parse(metadata.at("run"));
    change(record);
    metadata["run"] = record.dump();
  });
}

}  // namespace unet::test
