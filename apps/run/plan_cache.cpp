#include "apps/run/plan_cache.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "apps/run/outputs.h"
#include "apps/run/screen.h"
#include "apps/run/version.h"
#include "engine/core/error.h"
#include "engine/io/durable_file.h"
#include "engine/ops/plan_file.h"

namespace unet {
namespace {

namespace fs = std::filesystem;

/// Where this process keeps what it times; empty: nowhere.
fs::path& file() {
  static fs::path path;
  return path;
}

/// What the choices of a file hold for: their "machine" there.
std::string owner() { return conv_machine(kCuda) + ", unet.cpp " + version(); }

/// The file of this machine and program. Throws Error if there can be none.
fs::path place() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value == nullptr ? "" : value);
  };
  fs::path folder = variable("XDG_CACHE_HOME");
  if (!folder.is_absolute()) folder = variable("HOME") / ".cache";
  if (!folder.is_absolute()) throw Error("neither XDG_CACHE_HOME nor HOME names a folder for them");
  std::string name = owner();
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0 && c != '.' && c != '-'; }, '_');
  const fs::path path = folder / "unet.cpp" / (name + ".json");
  if (fs::exists(path) && !fs::is_regular_file(path)) throw Error("{}: is no regular file", path.string());
  return path;
}

/// None if there is no file. Throws Error if it is not one of this machine and program.
std::vector<PlanChoice> kept() {
  if (!fs::exists(file())) return {};
  std::vector<PlanChoice> plans = read_plans(file());
  for (PlanChoice& plan : plans) {
    if (plan.machine != owner()) {
      throw Error("{}: was made for \"{}\", this is \"{}\"", file().string(), printable(plan.machine), owner());
    }
    plan.machine = conv_machine(kCuda);
  }
  return plans;
}

}  // namespace

void open_plan_cache() {
  try {
    file() = place();
    offer_conv_plans(kept(), [told = false](const std::string& reason) mutable {
      if (std::exchange(told, true)) return;
      warn("warning: {}: what is not to be had of it is timed anew: {}\n", file().string(), printable(reason));
    });
  } catch (const std::exception& error) {
    warn("warning: convolutions are timed anew, there are no choices of earlier runs: {}\n", error.what());
  }
}

void keep_plans() {
  std::vector<PlanChoice> plans = take_timed_conv_plans();
  if (file().empty() || plans.empty()) return;
  try {
    const auto fresh = static_cast<std::ptrdiff_t>(plans.size());
    try {
      for (PlanChoice& old : kept()) {  // as other processes have left it
        const auto same = [&](const PlanChoice& plan) { return plan.of == old.of && plan.device == old.device; };
        if (std::none_of(plans.begin(), plans.begin() + fresh, same)) plans.push_back(std::move(old));
      }
    } catch (const std::exception&) {  // told when it was opened
    }
    for (PlanChoice& plan : plans) plan.machine = owner();
    make_folder(file().parent_path());
    write_file_durably(file(), plans_text(plans));
  } catch (const std::exception& error) {
    warn("warning: the choices of convolutions are not kept for later runs: {}\n", error.what());
    file().clear();  // told once
  }
}

}  // namespace unet
