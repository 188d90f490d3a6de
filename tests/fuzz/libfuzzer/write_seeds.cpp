// write_seeds FOLDER: the seeds of every target as files FOLDER/TARGET/NN, where libFuzzer looks for them.
#include <fmt/core.h>

#include "tests/fuzz/targets.h"
#include "tests/support/data_support.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: write_seeds FOLDER\n");
    return 2;
  }
  for (const unet::fuzz::Target& target : unet::fuzz::targets()) {
    int number = 0;
    for (const std::vector<std::uint8_t>& seed : target.seeds()) {
      unet::test::write_bytes(std::filesystem::path(argv[1]) / target.name / fmt::format("{:02}", number++), seed);
    }
  }
}
