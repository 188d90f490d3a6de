#include "apps/run/failure.h"

#include <new>
#include <sstream>

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

int end_of_parsing(const CLI::App& app, const CLI::ParseError& error) {
  std::ostringstream out, err;
  const int code = app.exit(error, out, err);
  say_text(out.str());
  warn_text(err.str());
  return code == 0 ? 0 : 2;
}

}  // namespace unet
