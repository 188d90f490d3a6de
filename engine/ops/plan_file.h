// Choices of convolutions as text: what --plans reads, and what a run leaves as plans.json.
//
//   {"version": 1, "plans": [{"pass": "forward", "device": "cpu", "machine": "avx2, oneDNN 2.6.3", "dtype": "f32",
//     "tf32": false, "x": [N,H,W,Cin], "weights": [Cout,Kh,Kw,Cin], "stride": 1, "pad": 1, "bias": false,
//     "residual": false, "relu": false, "id": "winograd:f4x4"}, ...]}
//
// Without "tf32" and "residual", as older programs wrote it, a choice is one for strict fp32, without a residual.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "engine/ops/conv_plans.h"

namespace unet {

std::string plans_text(const std::vector<PlanChoice>& choices);
/// Back again. Throws Error beginning with `source` for anything but such a text: entries missing, unknown or of
/// another kind, sizes out of range, two choices for one case.
std::vector<PlanChoice> parse_plans(std::string_view text, const std::string& source);
/// parse_plans of a file.
std::vector<PlanChoice> read_plans(const std::filesystem::path& path);

}  // namespace unet
