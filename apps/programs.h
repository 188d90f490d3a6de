// The programs as functions: what main() is, over any table of networks.
#pragma once

#include "models/registry.h"

namespace unet {

/// Each returns the exit code: 0, 1 after an error, 2 for wrong use, 128 and the signal's number after one.
int train_unet(int argc, char** argv, const models::Registry& registry);
int eval_unet(int argc, char** argv, const models::Registry& registry);
int compare_runs(int argc, char** argv, const models::Registry& registry);
int predict_unet(int argc, char** argv, const models::Registry& registry);

}  // namespace unet
