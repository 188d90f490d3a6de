// The three programs over a longer table of networks: toy_programs NAME WORDS...
#include <cstdio>
#include <string>

#include "apps/programs.h"
#include "tests/support/toy/toy.h"

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  const auto program = name == "train_unet"     ? unet::train_unet
                       : name == "eval_unet"    ? unet::eval_unet
                       : name == "predict_unet" ? unet::predict_unet
                                                : nullptr;
  if (program == nullptr) {
    std::fputs("usage: toy_programs train_unet|eval_unet|predict_unet WORDS...\n", stderr);
    return 2;
  }
  return program(argc - 1, argv + 1, unet::test::registry_with_toy());
}
