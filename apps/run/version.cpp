#include "apps/run/version.h"

#include "engine/core/dispatch.h"
#include "kernels/cpu/isa.h"

namespace unet {

std::string version() { return UNET_VERSION; }

std::string version_text(const std::string& program) {
  std::string built;
#if defined(UNET_HAS_ONEDNN)
  built += "oneDNN, ";
#endif
  if (kHasCuda) built += "CUDA, ";
  return program + " " + version() + " (" + built + kernels::cpu::name_of(kernels::cpu::isa()) + ")";
}

}  // namespace unet
