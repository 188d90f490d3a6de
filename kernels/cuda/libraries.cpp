#include "kernels/cuda/libraries.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace unet::kernels::cuda {
namespace {

namespace fs = std::filesystem;

const LibraryNames kCudnn{"cuDNN",
                          "UNET_CUDNN",
                          {"libcudnn.so.9"},
                          {"nvidia/cudnn/lib"},
                          "install cuDNN 9 (NVIDIA's packages, or pip install nvidia-cudnn-cu13)"};
// 13 and 12: either works beside a statically linked runtime of the other.
const LibraryNames kCublasLt{"cuBLASLt",
                             "UNET_CUBLASLT",
                             {"libcublasLt.so.13", "libcublasLt.so.12"},
                             {"nvidia/cu13/lib", "nvidia/cublas/lib"},
                             "install the CUDA toolkit's cuBLAS (NVIDIA's packages, or pip install nvidia-cublas)"};

/// prefix/lib/python3*/{site,dist}-packages, sorted.
std::vector<fs::path> site_packages(const fs::path& prefix) {
  std::vector<fs::path> out;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(prefix / "lib", ignored)) {
    if (entry.path().filename().string().rfind("python3", 0) != 0) continue;
    for (const char* name : {"site-packages", "dist-packages"}) {
      if (fs::is_directory(entry.path() / name, ignored)) out.push_back(entry.path() / name);
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<fs::path> python_prefixes(const Environment& environment) {
  std::vector<fs::path> out;
  const auto add = [&](const fs::path& prefix) {
    if (!prefix.empty() && std::find(out.begin(), out.end(), prefix) == out.end()) out.push_back(prefix);
  };
  add(environment("VIRTUAL_ENV"));
  add(environment("CONDA_PREFIX"));
  const std::string path = environment("PATH");
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t end = std::min(path.find(':', begin), path.size());
    const fs::path folder = path.substr(begin, end - begin);
    if (folder.filename() == "bin") add(folder.parent_path());
    begin = end + 1;
  }
  if (const std::string home = environment("HOME"); !home.empty()) add(fs::path(home) / ".local");
  return out;
}

std::string path_of(void* handle, const std::string& asked) {
  const link_map* map = nullptr;
  const bool known = dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map != nullptr && map->l_name[0] != '\0';
  return known ? map->l_name : asked;
}

}  // namespace

void* Library::address(const char* name) const {
  void* const found = dlsym(handle_, name);
  if (found == nullptr) {
    throw std::runtime_error(fmt::format("{}: {} has no function {}; a newer version is needed", title_, path_, name));
  }
  return found;
}

std::string process_environment(const char* variable) {
  const char* const value = std::getenv(variable);
  return value == nullptr ? "" : value;
}

std::vector<std::string> library_candidates(const LibraryNames& names, const Environment& environment) {
  std::vector<std::string> out;
  const auto add = [&](const fs::path& folder) {
    for (const std::string& file : names.files) out.push_back((folder / file).string());
  };
  if (const std::string given = environment(names.variable.c_str()); !given.empty()) {
    if (fs::is_directory(given)) {
      add(given);
    } else {
      out.push_back(given);
    }
    return out;
  }
  add("");
  std::error_code ignored;
  for (const std::string& root : {environment("CUDA_HOME"), environment("CUDA_PATH"), std::string("/usr/local/cuda")}) {
    if (root.empty()) continue;
    for (const char* folder : {"lib64", "lib"}) {
      if (fs::is_directory(fs::path(root) / folder, ignored)) add(fs::path(root) / folder);
    }
  }
  for (const fs::path& prefix : python_prefixes(environment)) {
    for (const fs::path& packages : site_packages(prefix)) {
      for (const std::string& folder : names.python_folders) {
        if (fs::is_directory(packages / folder, ignored)) add(packages / folder);
      }
    }
  }
  return out;
}

Library open_library(const LibraryNames& names, const Environment& environment) {
  std::string tried;
  for (const std::string& candidate : library_candidates(names, environment)) {
    if (void* const handle = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL); handle != nullptr) {
      return {names.title, path_of(handle, candidate), handle};
    }
    tried += fmt::format("\n  {}", dlerror());
  }
  throw std::runtime_error(fmt::format("{} cannot be loaded; tried:{}\nTo mend it: {}, or set {} to its file or folder",
                                       names.title, tried, names.remedy, names.variable));
}

const Library& cudnn_library() {
  static const Library library = open_library(kCudnn, process_environment);
  return library;
}

const Library& cublaslt_library() {
  static const Library library = open_library(kCublasLt, process_environment);
  return library;
}

// Version numbers are major * 10000 + minor * 100 + patch.

std::string cudnn_version() {
  const std::size_t version = cudnn_library().function<std::size_t()>("cudnnGetVersion")();
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

std::string cublaslt_version() {
  const std::size_t version = cublaslt_library().function<std::size_t()>("cublasLtGetVersion")();
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace unet::kernels::cuda
