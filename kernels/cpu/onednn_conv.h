// Convolutions of oneDNN, versions 2.x and 3.x, f32.
#pragma once

#include "kernels/conv_plan.h"

namespace unet::kernels::cpu {

/// nhwc: activations are read and written in place, weights in the library's own order (a copy in the workspace).
/// own_layout: activations in the library's own order too, copied to and from inside run.
/// nhwc_rotated: backward data of stride 1 as a forward convolution of dy with rotated and transposed weights; the
/// forward kernels of oneDNN 2.x are faster than its backward ones.
enum class OnednnLayout { nhwc, own_layout, nhwc_rotated };

/// "2.6.3", or "" if oneDNN is not built in.
std::string onednn_version();
/// False if oneDNN is not built in. A residual is taken in nhwc alone.
bool onednn_can(OnednnLayout layout, const ConvCase& c);
/// Only where onednn_can. Throws std::runtime_error with the library's message if it has no kernel.
ConvPlan plan_onednn_conv(OnednnLayout layout, const ConvCase& c);

}  // namespace unet::kernels::cpu
