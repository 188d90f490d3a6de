// Every header compiles alone, and all of them together. That a header compiles alone, a source that was built and
// includes it before anything else has shown; for the others the compiler that builds the project looks at a file that
// includes nothing else.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include "tests/structure/source_tree.h"
#include "tests/support/places.h"

namespace unet::tests::headers_compile_test {
namespace {

namespace fs = std::filesystem;

/// The compiler's complaints about a file that includes the headers and nothing else, empty if it has none. `stem`
/// names files in the build folder.
std::string compile(const std::vector<std::string>& headers, const std::string& root, const std::string& options,
                    const std::string& stem) {
  const fs::path folder = places::build("headers_alone");
  fs::create_directories(folder);
  const fs::path unit = folder / (stem + ".cpp"), log = folder / (stem + ".log");
  std::ofstream out(unit);
  for (const std::string& header : headers) out << "#include \"" << header << "\"\n";
  out.close();
  const std::string command = "\"" + places::compiler() +
                              "\" -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -DUNET_HAS_CUDA=0" + options +
                              " -I \"" + root + "\" \"" + unit.string() + "\" > \"" + log.string() + "\" 2>&1";
  const int status = std::system(command.c_str());
  std::ifstream in(log);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return status == 0 && text.empty() ? "" : headers.front() + ":\n" + text;
}

std::string compile_alone(const std::string& header, const std::string& root, const std::string& stem) {
  // Inner loops are compiled into the namespace of an instruction set; any of them will do.
  const std::string isa =
      header.find("cpu/isa/") != std::string::npos ? " -DUNET_ISA=baseline -DUNET_ISA_baseline=1" : "";
  // CUDA's own headers are not on every machine; the tests have the part of them that kernels use.
  std::string cuda;
  if (header.find("kernels/cuda/cudnn") != std::string::npos) {
    cuda = " -isystem \"" + places::cudnn_include() + "\"";
  } else if (header.find("kernels/cuda/") != std::string::npos) {
    cuda = " -Wno-unknown-pragmas -I \"" + places::source("tests/support/cuda_shim/include") + "\"";
  }
  return compile({header}, root, isa + cuda, stem);
}

/// The headers that a source which is part of every build includes first.
std::set<std::string> shown_by_the_build(const std::vector<Source>& sources) {
  std::set<std::string> shown;
  for (const Source& source : sources) {
    if (!source.path.ends_with(".cpp") || source.path.starts_with("kernels/cuda/")) continue;
    const std::vector<Include> includes = includes_of(source.text);
    if (!includes.empty()) shown.insert(includes.front().path);
  }
  return shown;
}

TEST(Headers, CompileAlone) {
  const std::vector<Source> sources = project_sources({"kernels", "engine", "models", "apps"});
  const std::set<std::string> shown = shown_by_the_build(sources);
  std::vector<std::string> headers;
  for (const Source& source : sources) {
    const bool needs_cudnn = source.path.find("kernels/cuda/cudnn") == 0 && places::cudnn_include().empty();
    if (source.path.ends_with(".h") && !needs_cudnn && !shown.contains(source.path)) headers.push_back(source.path);
  }
  ASSERT_GT(headers.size(), 20u);
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::string problems;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < std::max(1u, std::thread::hardware_concurrency()); ++t) {
    threads.emplace_back([&] {
      for (std::size_t i = next++; i < headers.size(); i = next++) {
        const std::string found = compile_alone(headers[i], places::source(), "header_" + std::to_string(i));
        const std::lock_guard lock(mutex);
        problems += found;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(problems, "");
}

TEST(Headers, CompileTogether) {
  std::vector<std::string> headers;
  for (const Source& source : project_sources({"kernels", "engine", "models", "apps"})) {
    const bool special = source.path.starts_with("kernels/cuda/") || source.path.starts_with("kernels/cpu/isa/");
    if (source.path.ends_with(".h") && !special) headers.push_back(source.path);
  }
  ASSERT_GT(headers.size(), 100u);
  EXPECT_EQ(compile(headers, places::source(), "", "together"), "");
}

TEST(Headers, OneThatASourceIncludesLaterIsNotShownByIt) {
  EXPECT_EQ(
      shown_by_the_build({{"engine/core/a.cpp", "// a\n#include \"engine/core/a.h\"\n\n#include \"engine/core/b.h\"\n"},
                          {"kernels/cuda/c.cpp", "#include \"kernels/cuda/c.h\"\n"},
                          {"engine/core/d.h", "#include \"engine/core/e.h\"\n"}}),
      std::set<std::string>{"engine/core/a.h"});
}

TEST(Headers, AHeaderThatDoesNotIsFound) {
  const fs::path folder = places::build("headers_alone");
  fs::create_directories(folder);
  std::ofstream(folder / "needs_vector.h") << "#pragma once\ninline std::vector<int> f() { return {}; }\n";
  EXPECT_NE(compile_alone("needs_vector.h", folder.string(), "breach"), "");
}

}  // namespace
}  // namespace unet::tests::headers_compile_test
