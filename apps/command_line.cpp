#include "apps/command_line.h"

#include <algorithm>
#include <sstream>

#include "apps/run/screen.h"
#include "engine/core/nearest.h"

namespace unet {
namespace {

/// `--resume` alone means auto. A value is written --resume=FILE, or stands behind it where no folder of data could be
/// meant.
void complete_resume(const CLI::App& app, std::vector<std::string>& words) {
  if (app.get_option_no_throw("--resume") == nullptr) return;
  for (std::size_t i = 0; i < words.size() && words[i] != "--"; ++i) {
    if (words[i] != "--resume") continue;
    const std::string next = i + 1 < words.size() ? words[i + 1] : "-";
    const bool has_value = next.empty() || next == "auto" || next.ends_with(".safetensors");
    if (!has_value) words[i] += "=auto";
  }
}

/// What is wrong with words that no option takes.
std::string complaint(const CLI::App& app) {
  const std::vector<std::string> left = app.remaining();
  const std::string word = left.empty() ? "" : left.front().substr(0, left.front().find('='));
  if (!word.starts_with('-')) return fmt::format("\"{}\" is a word too many", printable(word));
  return fmt::format("there is no option {}{}", printable(word), nearest_text(word, long_names(app)));
}

}  // namespace

std::vector<std::string> long_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::optional<int> parse_words(CLI::App& app, int argc, char** argv) {
  const auto wrong_use = [&app](const std::string& text) {
    warn("{}: {}\nRun `{} --help` for the options.\n", app.get_name(), text, app.get_name());
    return 2;
  };
  std::vector<std::string> words(argv + 1, argv + argc);
  complete_resume(app, words);
  std::reverse(words.begin(), words.end());  // as CLI11 takes them
  try {
    app.parse(std::move(words));
  } catch (const CLI::Success& asked) {  // --help, --version
    std::ostringstream text;
    app.exit(asked, text, text);
    say_text(text.str());
    check_screen();
    return 0;
  } catch (const CLI::FileError& error) {
    warn("{}: {}\n", app.get_name(), error.what());
    return 1;
  } catch (const CLI::ExtrasError&) {
    return wrong_use(complaint(app));
  } catch (const CLI::ParseError& error) {
    return wrong_use(error.what());
  }
  return std::nullopt;
}

}  // namespace unet
