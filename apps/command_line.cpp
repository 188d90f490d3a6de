#include "apps/command_line.h"

#include <sstream>

#include "apps/run/screen.h"

namespace unet {

std::optional<int> parse_words(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    std::ostringstream text;
    app.exit(asked, text, text);
    say_text(text.str());
    check_screen();
    return 0;
  } catch (const CLI::FileError& error) {
    warn("{}: {}\n", app.get_name(), error.what());
    return 1;
  } catch (const CLI::ParseError& error) {
    warn("{}: {}\nRun `{} --help` for the options.\n", app.get_name(), error.what(), app.get_name());
    return 2;
  }
  return std::nullopt;
}

}  // namespace unet
