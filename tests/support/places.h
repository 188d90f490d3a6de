// Where tests find what is not in their program. The paths stand in places.cpp alone, so that the commands which
// compile all other files are the same in every checkout, and a compiler cache serves them all.
#pragma once

#include <string>
#include <string_view>

namespace unet::places {

/// A path of this project, from its root; the root itself without `inside`. The environment's UNET_SOURCE_DIR, where it
/// is set, is the root: for tests that were carried to another machine.
std::string source(std::string_view inside = {});
/// A path of the build folder: "bin/train_unet".
std::string build(std::string_view inside = {});
/// A path of the data and corpora that are no part of the project: below the environment's UNET_TEST_DATA, else below
/// `shared` beside the project. It need not be there.
std::string given(std::string_view inside);

/// The C++ compiler, CMake and the generator that this build uses.
std::string compiler();
std::string cmake();
std::string generator();
/// The folder of cudnn.h; empty in a build without CUDA.
std::string cudnn_include();

}  // namespace unet::places
