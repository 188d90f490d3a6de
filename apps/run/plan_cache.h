// What autotune chose on a GPU, kept for later runs: a file for each GPU, its libraries and version of the program, in
// unet.cpp below $XDG_CACHE_HOME, or else ~/.cache. It saves time and makes runs choose alike: whatever is wrong with
// it is told in a line on stderr and lived with.
#pragma once

namespace unet {

/// Convolutions that would be timed on the GPU follow the file, where it has them (offer_conv_plans).
void open_plan_cache();
/// Adds to the file what has been timed since it was opened, or since the last call, whole and durably; of two
/// processes that do so at once one may be lost. Nothing if none was opened.
void keep_plans();

}  // namespace unet
