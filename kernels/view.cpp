#include "kernels/view.h"

namespace unet::kernels {

std::size_t size_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f64:
      return 8;
    case Dtype::f32:
      return 4;
    case Dtype::bf16:
      return 2;
    case Dtype::u8:
      return 1;
    case Dtype::i32:
      return 4;
  }
  return 0;
}

const char* name_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f64:
      return "f64";
    case Dtype::f32:
      return "f32";
    case Dtype::bf16:
      return "bf16";
    case Dtype::u8:
      return "u8";
    case Dtype::i32:
      return "i32";
  }
  return "?";
}

}  // namespace unet::kernels
