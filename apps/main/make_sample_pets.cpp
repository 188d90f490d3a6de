// Writes a synthetic data set in the layout of Oxford-IIIT Pet (images/, annotations/): for the demo and the tests. Not
// real photographs, not part of that data set.
#include <filesystem>

#include "apps/command_line.h"
#include "apps/numbers.h"
#include "apps/run/failure.h"
#include "apps/run/screen.h"
#include "apps/run/version.h"
#include "apps/synthetic_pet.h"
#include "engine/core/error.h"
#include "engine/io/durable_file.h"
#include "kernels/cpu/parallel.h"

using namespace unet;
namespace fs = std::filesystem;

namespace {

struct SampleOptions {
  std::string output = "sample_pets";
  int trainval = 200;
  int test = 50;
  std::uint64_t seed = 0;
};

void run(const SampleOptions& options) {
  const fs::path folder(options.output);
  if (fs::exists(folder) && !(fs::is_directory(folder) && fs::is_empty(folder))) {
    throw Error("{} exists already; name a new folder with --output", options.output);
  }
  std::error_code error;
  fs::create_directories(folder / "images", error);
  if (!error) fs::create_directories(folder / "annotations" / "trimaps", error);
  if (error) throw Error("cannot make the folder {}: {}", options.output, error.message());

  const std::int64_t count = options.trainval + options.test;
  std::vector<std::string> names(static_cast<std::size_t>(count)), faults(names.size());
  kernels::cpu::parallel_for(count, [&](std::int64_t i) {
    const auto place = static_cast<std::size_t>(i);
    try {
      const SyntheticPet pet = draw_synthetic_pet(options.seed, static_cast<std::uint64_t>(i));
      names[place] = fmt::format("synthetic_{}_{:04}", pet.cat ? "cat" : "dog", i + 1);
      write_file(folder / "images" / (names[place] + ".jpg"), encode_jpeg(pet.photo, 92));
      write_file(folder / "annotations" / "trimaps" / (names[place] + ".png"), encode_png(pet.trimap));
    } catch (const std::exception& fault) {
      faults[place] = fault.what();
    }
  });
  for (const std::string& fault : faults) {
    if (!fault.empty()) throw Error("{}", fault);
  }

  const auto list = [&](const char* name, std::int64_t begin, std::int64_t end) {
    std::string text = "# synthetic pictures by make_sample_pets: name class species breed\n";
    for (std::int64_t i = begin; i < end; ++i) {
      const std::string& sample = names[static_cast<std::size_t>(i)];
      const int species = sample.find("_cat_") != std::string::npos ? 1 : 2;
      text += fmt::format("{} {} {} 1\n", sample, species, species);
    }
    write_file_durably(folder / "annotations" / name, text);
  };
  list("list.txt", 0, count);
  list("trainval.txt", 0, options.trainval);
  list("test.txt", options.trainval, count);
  say("{}: {} synthetic pictures to train and validate on, {} to test on (seed {})\n", options.output, options.trainval,
      options.test, options.seed);
}

}  // namespace

int main(int argc, char** argv) {
  begin_program();
  SampleOptions options;
  CLI::App app("Makes a synthetic data set in the layout of Oxford-IIIT Pet.", "make_sample_pets");
  app.set_version_flag("--version", version_text("make_sample_pets"));
  app.add_option("-o,--output", options.output, "New folder")->type_name("DIR")->capture_default_str();
  add_number(app, "--trainval", options.trainval, Within{2, 100000}, "Pictures to train and validate on");
  add_number(app, "--test", options.test, Within{1, 100000}, "Pictures to test on");
  add_seed(app, "--seed", options.seed, "Seed");
  try {
    if (const std::optional<int> code = parse_words(app, argc, argv)) return *code;
    run(options);
    check_screen();
  } catch (const std::exception& error) {
    return fail("make_sample_pets", error);
  }
  return 0;
}
