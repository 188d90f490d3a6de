// Where cuDNN and cuBLASLt are looked for, and what is said when they are not there.
#include "kernels/cuda/libraries.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "tests/kernels/cuda/needs_cudnn.h"

namespace unet::tests::libraries_with_cudnn_test {
namespace {

namespace fs = std::filesystem;
using kernels::cuda::Environment;
using kernels::cuda::LibraryNames;

const LibraryNames kNames{"Thing", "UNET_THING", {"libthing.so.2", "libthing.so.1"}, {"maker/thing/lib"}, "make one"};

Environment environment(const std::map<std::string, std::string>& values) {
  return [values](const char* name) {
    const auto found = values.find(name);
    return found == values.end() ? std::string() : found->second;
  };
}

class CudaLibraries : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / fmt::format("unet_libraries_{}", ::getpid());
    for (const char* folder : {"toolkit/lib64", "venv/lib/python3.11/site-packages/maker/thing/lib", "venv/bin",
                               "home/.local/lib/python3.9/site-packages/maker/thing/lib", "given"}) {
      fs::create_directories(root_ / folder);
    }
  }
  void TearDown() override { fs::remove_all(root_); }
  std::string at(const std::string& path) const { return (root_ / path).string(); }

  fs::path root_;
};

TEST_F(CudaLibraries, AreLookedForInTheSystemTheToolkitAndPython) {
  std::vector<std::string> found =
      library_candidates(kNames, environment({{"CUDA_HOME", at("toolkit")},
                                              {"PATH", "/usr/bin:" + at("venv/bin") + ":" + at("nowhere")},
                                              {"HOME", at("home")}}));
  std::erase_if(found, [](const std::string& path) { return path.rfind("/usr/local/cuda/", 0) == 0; });
  const std::string venv = at("venv/lib/python3.11/site-packages/maker/thing/lib/");
  const std::string local = at("home/.local/lib/python3.9/site-packages/maker/thing/lib/");
  const std::vector<std::string> expected{"libthing.so.2",
                                          "libthing.so.1",
                                          at("toolkit/lib64/libthing.so.2"),
                                          at("toolkit/lib64/libthing.so.1"),
                                          venv + "libthing.so.2",
                                          venv + "libthing.so.1",
                                          local + "libthing.so.2",
                                          local + "libthing.so.1"};
  EXPECT_EQ(found, expected);
}

TEST_F(CudaLibraries, AnEnvironmentVariableIsTheOnlyPlace) {
  const auto candidates = [&](const std::string& value) {
    return library_candidates(kNames, environment({{"UNET_THING", value}, {"CUDA_HOME", at("toolkit")}}));
  };
  EXPECT_EQ(candidates(at("given")), (std::vector{at("given/libthing.so.2"), at("given/libthing.so.1")}));
  EXPECT_EQ(candidates(at("given/mine.so")), std::vector{at("given/mine.so")});
}

TEST_F(CudaLibraries, ThatAreAbsentAreSaidSo) {
  std::ofstream(root_ / "given/libthing.so.1") << "no library";
  try {
    open_library(kNames, environment({{"UNET_THING", at("given")}}));
    FAIL() << "opened";
  } catch (const std::runtime_error& error) {
    const std::string what = error.what();
    EXPECT_EQ(what.rfind("Thing cannot be loaded; tried:\n  " + at("given/libthing.so.2"), 0), 0u) << what;
    EXPECT_NE(what.find("\n  " + at("given/libthing.so.1") + ": "), std::string::npos) << what;
    EXPECT_NE(what.find("\nTo mend it: make one, or set UNET_THING to its file or folder"), std::string::npos) << what;
  }
}

using CudaLibrariesReal = NeedsCudnn;

TEST_F(CudaLibrariesReal, TellTheirVersionAndFile) {
  EXPECT_EQ(kernels::cuda::cudnn_version().rfind("9.", 0), 0u) << kernels::cuda::cudnn_version();
  EXPECT_NE(kernels::cuda::cudnn_library().path().find("libcudnn.so.9"), std::string::npos);
  EXPECT_TRUE(fs::exists(kernels::cuda::cudnn_library().path())) << kernels::cuda::cudnn_library().path();
  try {
    kernels::cuda::cudnn_library().function<void()>("cudnnMakesCoffee");
    FAIL() << "found";
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(std::string(error.what()), "cuDNN: " + kernels::cuda::cudnn_library().path() +
                                             " has no function cudnnMakesCoffee; a newer version is needed");
  }
}

}  // namespace
}  // namespace unet::tests::libraries_with_cudnn_test
