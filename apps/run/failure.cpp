#include "apps/run/failure.h"

#include <new>

#include "apps/run/screen.h"

namespace unet {

const char* failure_text(const std::exception& error) noexcept {
  if (dynamic_cast<const std::bad_alloc*>(&error) == nullptr) return error.what();
  return "out of memory: the system gives no more. Use a smaller --batch-size, --image-size, --base-channels or "
         "--cache-mb, or fewer --workers.";
}

int fail(const char* program, const std::exception& error) noexcept {
  warn_text(program);
  warn_text(": ");
  warn_text(failure_text(error));
  warn_text("\n");
  return 1;
}

}  // namespace unet
