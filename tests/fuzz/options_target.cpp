#include <limits>

#include "apps/numbers.h"
#include "apps/options_file.h"
#include "tests/fuzz/targets.h"

namespace unet::fuzz {

void fuzz_options(Bytes bytes) {
  const MemoryFile file(bytes);
  std::int64_t epochs = 30;
  std::uint64_t seed = 0;
  double lr = 1e-3, share = 0.5;
  std::string output = "runs/unet";
  bool quiet = false;
  CLI::App app("", "fuzz_options");
  add_options_file(app);
  add_number(app, "-e,--epochs", epochs, Within{1, 1000}, "");
  add_number(app, "--lr", lr, Real::positive, "");
  add_number(app, "--share", share, Real::share, "");
  add_seed(app, "--seed", seed, "");
  app.add_option("--output", output);
  app.add_flag("--quiet", quiet);
  const std::string path = file.path();
  const char* const words[] = {"fuzz_options", "--config", path.c_str()};
  try {
    app.parse(3, words);
  } catch (const CLI::ParseError& error) {
    require(error.what()[0] != '\0', "a refusal says why");
  }
  require(epochs >= 1 && epochs <= 1000, "a whole number is within its bounds");
  require(lr > 0 && lr <= std::numeric_limits<double>::max(), "a number is positive and finite");
  require(share >= 0 && share <= 1, "a share is one");
  require(output.find('\0') == output.npos, "a name ends where C says");
}

}  // namespace unet::fuzz
