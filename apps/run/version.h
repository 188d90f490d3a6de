// The program's name, version and what it was built with, for --version and run.json.
#pragma once

#include <string>

namespace unet {

std::string version();
/// "train_unet 0.1.0 (oneDNN, avx512)"
std::string version_text(const std::string& program);

}  // namespace unet
