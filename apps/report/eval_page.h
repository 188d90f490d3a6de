// The page of an evaluation: eval_unet --report.
#pragma once

#include <string>
#include <vector>

#include "apps/report/review.h"
#include "apps/report/run_facts.h"

namespace unet {

struct EvalFacts {
  std::string title, subtitle;
  std::vector<Figure> figures;
  std::string remarks, data;  // lines
  std::vector<std::string> warnings;
  NamedTexts machine;
  std::string command;
};

/// metrics at the network's size, native at the masks' own.
std::string eval_page(const EvalFacts& facts, const SegmentationMetrics& metrics, const SegmentationMetrics& native,
                      const Review& review);

}  // namespace unet
