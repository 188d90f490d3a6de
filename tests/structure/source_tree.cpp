#include "tests/structure/source_tree.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "tests/support/places.h"

namespace unet::tests {
namespace {

namespace fs = std::filesystem;

const std::array<std::string, 4> kLayers{"kernels", "engine", "models", "apps"};

bool starts_with(const std::string& text, const std::string& prefix) { return text.rfind(prefix, 0) == 0; }
bool is_header(const std::string& path) { return path.ends_with(".h") || path.ends_with(".cuh"); }

std::string top_folder(const std::string& path) { return path.substr(0, path.find('/')); }

/// Place in the order of layers; 4 for tests and bench, which see all; -1 for what is none of ours.
int layer_of(const std::string& path) {
  const std::string top = top_folder(path);
  for (std::size_t i = 0; i < kLayers.size(); ++i) {
    if (top == kLayers[i]) return static_cast<int>(i);
  }
  return top == "tests" || top == "bench" ? 4 : -1;
}

std::string at(const Source& source, int line, const std::string& what) {
  return source.path + ":" + std::to_string(line) + ": " + what;
}

template <class Body>
void for_lines(const std::string& text, Body&& body) {
  std::istringstream in(text);
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) body(number, line);
}

/// The text after `#word`, or nothing if the line is no such directive.
std::string after_directive(const std::string& line, const std::string& word) {
  std::size_t i = line.find_first_not_of(" \t");
  if (i == std::string::npos || line[i] != '#') return {};
  i = line.find_first_not_of(" \t", i + 1);
  if (i == std::string::npos || line.compare(i, word.size(), word) != 0) return {};
  i = line.find_first_not_of(" \t", i + word.size());
  return i == std::string::npos ? std::string() : line.substr(i);
}

}  // namespace

std::vector<Source> project_sources(const std::vector<std::string>& folders) {
  const fs::path root = places::source();
  std::vector<Source> out;
  for (const std::string& folder : folders) {
    if (!fs::is_directory(root / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string extension = entry.path().extension().string();
      if (!entry.is_regular_file() ||
          (extension != ".h" && extension != ".cpp" && extension != ".cu" && extension != ".cuh")) {
        continue;
      }
      std::ifstream file(entry.path(), std::ios::binary);
      out.push_back(
          {fs::relative(entry.path(), root).generic_string(), std::string(std::istreambuf_iterator<char>(file), {})});
    }
  }
  std::ranges::sort(out, {}, &Source::path);
  return out;
}

std::vector<Include> includes_of(const std::string& text) {
  std::vector<Include> out;
  for_lines(text, [&](int number, const std::string& line) {
    const std::string rest = after_directive(line, "include");
    if (rest.empty() || (rest[0] != '"' && rest[0] != '<')) return;
    const std::size_t end = rest.find(rest[0] == '"' ? '"' : '>', 1);
    if (end != std::string::npos) out.push_back({number, rest[0] == '"', rest.substr(1, end - 1)});
  });
  return out;
}

std::vector<std::string> breaches_of_layers(const Source& source) {
  std::vector<std::string> out;
  const int own = layer_of(source.path);
  for (const Include& include : includes_of(source.text)) {
    const int other = layer_of(include.path);
    const std::string what = "includes " + include.path;
    const bool neighbour = own == 4 && include.path.find('/') == std::string::npos;
    if (include.quoted && other < 0 && !neighbour) {
      out.push_back(at(source, include.line, what + ", which is not written from the root"));
    } else if (!include.quoted && other >= 0 && include.path.find('/') != std::string::npos) {
      out.push_back(at(source, include.line, what + " in <>"));
    } else if (include.quoted && other > own) {
      out.push_back(at(source, include.line, what + ", against kernels <- engine <- models <- apps"));
    } else if (include.quoted && other == 4 && top_folder(include.path) != top_folder(source.path)) {
      out.push_back(at(source, include.line, what + "; tests and bench do not share"));
    }
  }
  return out;
}

std::vector<std::string> breaches_of_rooms(const Source& source) {
  static const std::map<std::string, std::set<std::string>> kLeftOf{{"core", {}},
                                                                    {"io", {"core"}},
                                                                    {"autograd", {"core"}},
                                                                    {"ops", {"core", "io", "autograd"}},
                                                                    {"data", {"core", "io", "autograd"}},
                                                                    {"train", {"core", "io", "autograd"}},
                                                                    {"nn", {"core", "io", "autograd", "ops"}}};
  const auto room_of = [](const std::string& path) {
    const std::size_t begin = std::string("engine/").size();
    return starts_with(path, "engine/") ? path.substr(begin, path.find('/', begin) - begin) : std::string();
  };
  std::vector<std::string> out;
  const std::string own = room_of(source.path);
  if (own.empty()) return out;
  const auto left = kLeftOf.find(own);
  if (left == kLeftOf.end()) return {at(source, 1, "is in a room of the engine that its law does not name")};
  for (const Include& include : includes_of(source.text)) {
    const std::string other = room_of(include.path);
    if (other.empty() || other == own || left->second.contains(other)) continue;
    out.push_back(at(source, include.line,
                     "includes " + include.path + ", against core <- {io, autograd} <- {ops, data, train}, ops <- nn"));
  }
  return out;
}

std::vector<std::string> breaches_of_the_cuda_door(const Source& source) {
  std::vector<std::string> out;
  if (starts_with(source.path, "kernels/cuda/")) return out;
  for (const Include& include : includes_of(source.text)) {
    const std::string name = include.path.substr(include.path.rfind('/') + 1);
    const bool cuda = starts_with(name, "cuda") || starts_with(name, "cudnn") || starts_with(name, "cublas") ||
                      starts_with(name, "nvrtc") || starts_with(include.path, "cuda/");
    const bool own = include.quoted && layer_of(include.path) >= 0;
    if (cuda && !own) out.push_back(at(source, include.line, "includes " + include.path + " outside kernels/cuda"));
  }
  return out;
}

std::vector<std::string> breaches_of_header_form(const Source& source) {
  std::vector<std::string> out;
  if (!is_header(source.path)) return out;
  if (source.text.find("#pragma once") == std::string::npos) out.push_back(at(source, 1, "has no #pragma once"));
  for_lines(source.text, [&](int number, const std::string& line) {
    if (line.find("using namespace") != std::string::npos) out.push_back(at(source, number, "using namespace"));
  });
  const std::string space = starts_with(source.path, "kernels/")  ? "namespace unet::kernels"
                            : starts_with(source.path, "models/") ? "namespace unet::models"
                                                                  : "namespace unet";
  if (source.text.find(space) == std::string::npos) out.push_back(at(source, 1, "opens no " + space));
  return out;
}

std::vector<std::string> breaches_of_no_macros(const Source& source) {
  std::vector<std::string> out;
  for_lines(source.text, [&](int number, const std::string& line) {
    const std::string rest = after_directive(line, "define");
    const std::string name = rest.substr(0, rest.find_first_of(" \t("));
    if (!name.empty() && name != "UNET_CUDA_CHECK" && name != "UNET_CUDNN_CHECK") {
      out.push_back(at(source, number, "defines the macro " + name));
    }
  });
  return out;
}

std::set<std::string> folders_of(const std::vector<Source>& sources) {
  std::set<std::string> out;
  for (const Source& source : sources) {
    for (std::size_t end = source.path.find('/'); end != std::string::npos; end = source.path.find('/', end + 1)) {
      out.insert(source.path.substr(0, end));
    }
  }
  return out;
}

std::vector<std::string> breaches_of_the_test_tree(const Source& source, const std::set<std::string>& product_folders) {
  const std::string folder = fs::path(source.path).parent_path().generic_string();
  for (const char* own : {"tests/structure", "tests/support", "tests/fuzz"}) {
    if (folder == own || folder.starts_with(std::string(own) + "/")) return {};
  }
  const std::string room = "tests/";
  if (folder.starts_with(room) && product_folders.contains(folder.substr(room.size()))) return {};
  return {source.path + ": lies in " + folder + ", but the tree of tests is that of the product"};
}

std::vector<std::string> breaches_of_a_tests_namespace(const Source& source) {
  const std::string stem = fs::path(source.path).stem().string();
  if (!source.path.ends_with("_test.cpp") || source.text.find("::" + stem + " {\nnamespace {\n") != std::string::npos) {
    return {};
  }
  return {source.path + ": what it defines lies in no namespace {} of a namespace unet::...::" + stem};
}

std::vector<std::string> breaches_of_the_registry(const Source& source, const std::vector<std::string>& networks) {
  std::vector<std::string> out;
  if (!source.path.starts_with("apps/")) return out;
  for_lines(source.text, [&](int number, const std::string& line) {
    for (const std::string& name : networks) {
      if (line.find("\"models/" + name + ".h\"") == line.npos && line.find("\"" + name + "\"") == line.npos) continue;
      out.push_back(at(source, number, "names the network " + name));
    }
  });
  return out;
}

int lines_of(const std::string& text) { return static_cast<int>(std::ranges::count(text, '\n')); }

}  // namespace unet::tests
