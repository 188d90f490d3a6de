// The real programs with a call that fails, or that ends them: by tests/support/preload, loaded into them.
#pragma once

#include <string>
#include <vector>

#include "tests/apps/program.h"
#include "tests/support/long_run.h"

namespace unet::test {

using tests::long_run;

/// Where and how a program meets its end. Calls count where they are among `calls` (blanks between; all if empty),
/// reach a file below the folder, and its path below the folder holds `name`.
struct Fault {
  std::string act;    // "signal N", "tear", "error N", "errors N", "wait N", "waits N": see
                      // tests/support/preload/file_faults.cpp
  std::string calls;  // open write ftruncate fsync close link rename unlink
  std::string name;
  long at = 1;  // the how manieth
};

/// run(words) with this fault below `folder`.
ProgramResult run_into(const Fault& fault, const Words& words, const fs::path& folder);

/// The same, and every call that counted until its end: "call path".
struct FaultyRun {
  ProgramResult result;
  std::vector<std::string> calls;
};
FaultyRun logged_run_into(const Fault& fault, const Words& words, const fs::path& folder);

/// The same as a command line, its standard error on its standard output.
Words with_fault(const Fault& fault, const Words& words, const fs::path& folder);

/// run(words), which must end well, and every call below `folder` that counts as Fault::calls and name say: "call
/// path".
std::vector<std::string> calls_of(const Words& words, const fs::path& folder, const std::string& calls = "",
                                  const std::string& name = "");

/// run(words) where call number `at` of operator new for 4 KiB or more throws; with 0 none does, and `total`
/// becomes their number. (Smaller ones also fail inside destructors and noexcept functions of the standard library and
/// of the JSON library, which end the program whatever its own code does.)
ProgramResult run_without_memory(long at, const Words& words, long* total = nullptr);

/// run(words) where the system gives no more than so many threads besides the first.
ProgramResult run_with_threads(int most, const Words& words);

/// Where files cost no time: a folder in memory if the machine has one. No test here asks the disk itself.
fs::path fast_folder();

}  // namespace unet::test
