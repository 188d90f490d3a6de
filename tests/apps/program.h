// The real programs as child processes: what they are told, what they say, what they leave behind.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/data_support.h"

namespace unet::test {

using Words = std::vector<std::string>;

struct ProgramResult {
  int code = -1;  ///< exit code; 128 + signal if it was killed by one
  std::string out, err;
  double peak_mib = 0;  ///< of its resident memory
};

/// Runs `words` (words[0] is looked up in PATH) with `settings` ("NAME=value") added to the environment, in `folder` if
/// given. Threads that wait sleep (OMP_WAIT_POLICY=passive), so that tests share a machine; what programs keep in the
/// user's cache they keep in a folder of this process (XDG_CACHE_HOME).
ProgramResult run(const Words& words, const Words& settings = {}, const fs::path& folder = {});

/// A program of this build.
std::string program(const std::string& name);
ProgramResult train_unet(const Words& words);
ProgramResult eval_unet(const Words& words);
ProgramResult predict_unet(const Words& words);
ProgramResult make_sample_pets(const Words& words);

/// A child that runs until the end of the scope at most; its standard output goes to a file.
class BackgroundProgram {
 public:
  BackgroundProgram(const Words& words, const fs::path& output);
  ~BackgroundProgram();
  BackgroundProgram(const BackgroundProgram&) = delete;
  BackgroundProgram& operator=(const BackgroundProgram&) = delete;

  /// Whether it has come to its end.
  bool ended();
  /// Sends a signal, unless it has.
  void send(int signal);
  /// Waits for its end: the exit code, or 128 + the signal that killed it.
  int wait();

 private:
  pid_t process_;
  int code_ = -1;  // once it has ended
};

/// Words after words.
Words operator+(Words a, const Words& b);

/// The contents of a file; empty, and a failure, if it cannot be read.
std::string text_of(const fs::path& path);
std::vector<std::string> lines_of(const std::string& text);
/// The names in a folder, sorted.
std::vector<std::string> names_in(const fs::path& folder);

/// A file's tensors: name -> dtype, shape and bytes. Metadata (which holds no timestamp) is left out.
std::map<std::string, std::string> tensors_of(const fs::path& checkpoint);

}  // namespace unet::test
