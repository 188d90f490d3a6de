#include "engine/core/dispatch.h"
#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace unet {

kernels::NormalizeSpec imagenet_normalization() { return {{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}}; }

std::int64_t image_channels(std::int64_t channels, Device device) {
  return device.is_cpu() ? channels : (channels + 7) / 8 * 8;
}

Var normalize_images(Tape& tape, const Tensor& images, const kernels::NormalizeSpec& spec, std::int64_t channels,
                     Dtype dtype) {
  const std::string op = "normalize_images";
  if (images.dtype() != Dtype::u8 || images.shape().rank() != 4 || !images.dense()) {
    throw Error("{}: images must be dense u8 [N,H,W,C], got {} {}", op, kernels::name_of(images.dtype()),
                images.shape().str());
  }
  const Shape& s = images.shape();
  if (static_cast<std::int64_t>(spec.mean.size()) != s[3] || static_cast<std::int64_t>(spec.deviation.size()) != s[3]) {
    throw Error("{}: {} means and {} deviations for images {} (N,H,W,C)", op, spec.mean.size(), spec.deviation.size(),
                s.str());
  }
  if (channels < s[3]) throw Error("{}: {} channels asked for, images are {} (N,H,W,C)", op, channels, s.str());
  if (dtype != Dtype::f32 && dtype != Dtype::f64 && dtype != Dtype::bf16) {
    throw Error("{}: the result must be f32, f64 or bf16, got {}", op, kernels::name_of(dtype));
  }
  const Tensor y = Tensor::empty({s[0], s[1], s[2], channels}, dtype, images.device());
  dispatch<cpu::normalize_images, cuda::normalize_images>(images.device(), spec, images.const_view(), y.view());
  return tape.input(y);
}

}  // namespace unet
