#include "tests/apps/checkpoint_edit.h"

#include "tests/support/tensor_file.h"

namespace unet::test {

void write_with_metadata(const fs::path& from, const fs::path& to,
                         const std::function<void(std::map<std::string, std::string>&)>& change) {
  TensorFile file(from);
  change(file.metadata);
  file.write(to);
}

void write_with_record(const fs::path& from, const fs::path& to, const std::function<void(nlohmann::json&)>& change) {
  write_with_metadata(from, to, [&](std::map<std::string, std::string>& metadata) {
    nlohmann::json record = nlohmann::json::parse(metadata.at("run"));
    change(record);
    metadata["run"] = record.dump();
  });
}

}  // namespace unet::test
