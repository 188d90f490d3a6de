#include "kernels/conv_plan.h"

namespace unet::kernels {

const char* name_of(ConvPass pass) {
  switch (pass) {
    case ConvPass::forward:
      return "forward";
    case ConvPass::backward_data:
      return "backward_data";
    case ConvPass::backward_weights:
      return "backward_weights";
  }
  return "?";
}

double ConvCase::flops() const {
  double product = 2;
  for (const std::int64_t n : {shape.N, Ho(), Wo(), shape.Cout, shape.Kh, shape.Kw, shape.Cin}) product *= double(n);
  return product;
}

std::string text_of(const ConvCase& c) {
  const auto list = [](std::initializer_list<std::int64_t> values) {
    std::string text = "[";
    for (const std::int64_t value : values) text.append(text.size() > 1 ? "," : "").append(std::to_string(value));
    return text + "]";
  };
  const ConvShape& s = c.shape;
  return std::string(name_of(c.pass)) + " " + (c.tf32 ? "tf32" : name_of(c.dtype)) + ", x " +
         list({s.N, s.H, s.W, s.Cin}) + ", weights " + list({s.Cout, s.Kh, s.Kw, s.Cin}) + ", stride " +
         std::to_string(c.spec.stride) + ", pad " + std::to_string(c.spec.pad);
}

}  // namespace unet::kernels
