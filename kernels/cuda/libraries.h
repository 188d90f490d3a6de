// cuDNN and cuBLASLt are opened when they are first needed, never linked, so that one program starts on machines with
// and without them. Looked for in this order:
//   1. the environment variable (UNET_CUDNN, UNET_CUBLASLT): the file or its folder; nothing else is tried then
//   2. the system's own search (LD_LIBRARY_PATH, ld.so.cache)
//   3. the toolkit: $CUDA_HOME, $CUDA_PATH, /usr/local/cuda
//   4. Python environments: $VIRTUAL_ENV, $CONDA_PREFIX, the prefix of every folder of $PATH and $HOME/.local, where
//      pip's NVIDIA packages lie
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace unet::kernels::cuda {

/// A shared library, open until the process ends.
class Library {
 public:
  Library(std::string title, std::string path, void* handle)
      : title_(std::move(title)), path_(std::move(path)), handle_(handle) {}

  /// The function of that name. Throws std::runtime_error if the library has none.
  template <class Function>
  Function* function(const char* name) const {
    return reinterpret_cast<Function*>(address(name));
  }
  /// The file that was opened.
  const std::string& path() const { return path_; }

 private:
  void* address(const char* name) const;

  std::string title_, path_;
  void* handle_;
};

/// What a library goes by.
struct LibraryNames {
  std::string title;                        // "cuDNN", for messages
  std::string variable;                     // of the environment
  std::vector<std::string> files;           // in the order of preference
  std::vector<std::string> python_folders;  // below site-packages
  std::string remedy;                       // how to get it, for the message
};

/// The value of an environment variable, empty if unset.
using Environment = std::function<std::string(const char*)>;
std::string process_environment(const char* variable);

/// What open_library tries, in order: bare file names (for the system's search) and paths.
std::vector<std::string> library_candidates(const LibraryNames& names, const Environment& environment);
/// Throws std::runtime_error that lists every place tried, with the loader's reason, and the remedy.
Library open_library(const LibraryNames& names, const Environment& environment);

/// Opened by the first call. Throws as open_library; a later call tries again.
const Library& cudnn_library();
const Library& cublaslt_library();

/// For logs and plan files, e.g. "9.19.0". Throws as cudnn_library.
std::string cudnn_version();
std::string cublaslt_version();

}  // namespace unet::kernels::cuda
