// The page of compare_runs: runs on the same data beside each other; the first is what the others are held against.
#pragma once

#include <string>
#include <vector>

#include "apps/report/left_run.h"

namespace unet {

/// An image that a later run does worse than the first; pictures are data: URIs.
struct Regression {
  std::string name, run;
  double first = 0, second = 0;
  std::string photo, truth, first_prediction, second_prediction;
};

/// note: why there are no pictures, or empty.
std::string comparison_page(const std::vector<LeftRun>& runs, const std::vector<Regression>& regressions,
                            const std::string& note, bool with_paths);

}  // namespace unet
