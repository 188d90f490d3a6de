// Checkpoints as no run writes them.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/apps/program.h"

namespace unet::test {

/// A copy of a checkpoint with other metadata.
void write_with_metadata(const fs::path& from, const fs::path& to,
                         const std::function<void(std::map<std::string, std::string>&)>& change);
/// A copy of a state whose record is changed.
void write_with_record(const fs::path& from, const fs::path& to, const std::function<void(nlohmann::json&)>& change);

}  // namespace unet::test
