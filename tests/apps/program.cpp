#include "tests/apps/program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "engine/io/safetensors.h"
#include "tests/support/places.h"

extern char** environ;

namespace unet::test {
namespace {

std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> out;
  for (std::string& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

pid_t start(Words words, const Words& settings, const fs::path& folder, const fs::path& out, const fs::path& err) {
  static const Folder cache;  // what the programs keep for each other: nothing of whoever tests
  std::vector<std::string> environment = settings;
  const auto set_if_unset = [&](const std::string& entry) {
    const std::string name = entry.substr(0, entry.find('=') + 1);
    if (std::none_of(environment.begin(), environment.end(), [&](const auto& set) { return set.starts_with(name); })) {
      environment.push_back(entry);
    }
  };
  set_if_unset("OMP_WAIT_POLICY=passive");
  set_if_unset("XDG_CACHE_HOME=" + cache.path().string());
  for (char** entry = environ; *entry != nullptr; ++entry) set_if_unset(*entry);
  const std::vector<char*> arguments = pointers_to(words), variables = pointers_to(environment);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  if (!folder.empty()) ::posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  ::posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  pid_t process = -1;
  const int error = ::posix_spawnp(&process, arguments[0], &actions, nullptr, arguments.data(), variables.data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw Error("cannot run {}: error {}", words[0], error);
  return process;
}

int code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

}  // namespace

ProgramResult run(const Words& words, const Words& settings, const fs::path& folder) {
  const Folder captured;
  const pid_t process = start(words, settings, folder, captured / "out", captured / "err");
  int status = 0;
  rusage used{};
  ::wait4(process, &status, 0, &used);
  ProgramResult result;
  result.peak_mib = static_cast<double>(used.ru_maxrss) / 1024;
  result.code = code_of(status);
  result.out = text_of(captured / "out");
  result.err = text_of(captured / "err");
  return result;
}

std::string program(const std::string& name) { return places::build("bin/" + name); }
ProgramResult train_unet(const Words& words) { return run(Words{program("train_unet")} + words); }
ProgramResult eval_unet(const Words& words) { return run(Words{program("eval_unet")} + words); }
ProgramResult predict_unet(const Words& words) { return run(Words{program("predict_unet")} + words); }
ProgramResult make_sample_pets(const Words& words) { return run(Words{program("make_sample_pets")} + words); }

BackgroundProgram::BackgroundProgram(const Words& words, const fs::path& output)
    : process_(start(words, {}, {}, output, "/dev/null")) {}

BackgroundProgram::~BackgroundProgram() {
  send(SIGKILL);
  wait();
}

bool BackgroundProgram::ended() {
  int status = 0;
  if (code_ < 0 && ::waitpid(process_, &status, WNOHANG) == process_) code_ = code_of(status);
  return code_ >= 0;
}

void BackgroundProgram::send(int signal) {
  if (!ended()) ::kill(process_, signal);
}

int BackgroundProgram::wait() {
  int status = 0;
  if (code_ < 0 && ::waitpid(process_, &status, 0) == process_) code_ = code_of(status);
  return code_;
}

Words operator+(Words a, const Words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path << " cannot be read";
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::map<std::string, std::string> tensors_of(const fs::path& checkpoint) {
  const SafetensorsFile file(checkpoint);
  std::map<std::string, std::string> out;
  for (const TensorInfo& info : file.tensors()) {
    std::string bytes(info.bytes(), '\0');
    file.read(info, bytes.data());
    std::string& text = out[info.name];
    text = safe_dtype_name(info.dtype);
    for (const std::int64_t size : info.shape) text += " " + std::to_string(size);
    text += ":" + bytes;
  }
  return out;
}

}  // namespace unet::test
