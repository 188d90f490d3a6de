// The project's own sources as text, and the rules that a file can break. Rules are functions of (path, text), so that
// tests can show them a made-up breach.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace unet::tests {

struct Source {
  std::string path;  // relative to the root, with '/'
  std::string text;
};

/// Every .h, .cpp, .cu and .cuh below the given folders of the project; folders that are absent are left out.
std::vector<Source> project_sources(const std::vector<std::string>& folders);

struct Include {
  int line = 0;
  bool quoted = false;  // "..." rather than <...>
  std::string path;
};
std::vector<Include> includes_of(const std::string& text);

/// kernels <- engine <- models <- apps: a file includes from its own folder and those left of it; tests and bench from
/// all four and from themselves. Quoted includes are written from the root (a test's neighbour may go by its bare
/// name), project headers are never in <>.
std::vector<std::string> breaches_of_layers(const Source& source);
/// Inside the engine core <- {io, autograd} <- {ops, data, train} and ops <- nn: rooms side by side do not include each
/// other. A room that the law does not name is a breach.
std::vector<std::string> breaches_of_rooms(const Source& source);
/// CUDA, cuDNN and cuBLAS headers stay in kernels/cuda.
std::vector<std::string> breaches_of_the_cuda_door(const Source& source);
/// Headers: #pragma once, no `using namespace`, the namespace that belongs to the folder.
std::vector<std::string> breaches_of_header_form(const Source& source);
/// No macros of our own but the CUDA and cuDNN checks.
std::vector<std::string> breaches_of_no_macros(const Source& source);
/// Programs know networks by the registry: no file of apps/ includes one, or has the name of one as a text.
std::vector<std::string> breaches_of_the_registry(const Source& source, const std::vector<std::string>& networks);

/// The folders that hold these sources, and the folders above them.
std::set<std::string> folders_of(const std::vector<Source>& sources);
/// A source of the tests lies in tests/<folder of the product>, or below tests/structure, tests/support or tests/fuzz.
std::vector<std::string> breaches_of_the_test_tree(const Source& source, const std::set<std::string>& product_folders);
/// A test begins with `namespace unet::...::<its file's name> {` and, on the next line, `namespace {`: several of a
/// program are compiled as one file.
std::vector<std::string> breaches_of_a_tests_namespace(const Source& source);

int lines_of(const std::string& text);

}  // namespace unet::tests
