#include "apps/options_file.h"

#include <fmt/core.h>

#include <memory>
#include <optional>
#include <set>

#include "apps/command_line.h"
#include "engine/core/nearest.h"
#include "engine/core/text.h"

namespace unet {
namespace {

constexpr std::size_t kMostBytes = 1 << 20;
constexpr std::string_view kBlanks = " \t\r";

/// One line, read from left to right.
class Line {
 public:
  explicit Line(std::string_view text) : rest_(text) {}

  void skip_blanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(kBlanks), rest_.size())); }
  bool ended() const { return rest_.empty() || rest_.front() == '#'; }
  bool begins(char c) const { return rest_.starts_with(c); }
  void skip() { rest_.remove_prefix(1); }
  /// Whether the text is next; then it is passed.
  bool take(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  /// Up to a blank, a comment or one of these.
  std::string word(std::string_view ends) {
    const std::string_view text = rest_.substr(0, rest_.find_first_of(std::string(" \t\r#").append(ends)));
    rest_.remove_prefix(text.size());
    return std::string(text);
  }
  /// The text between quotes; nothing where the second is missing or an escape is none of TOML's short ones.
  std::optional<std::string> quoted() {
    const char quote = rest_.front();
    std::string out;
    for (skip(); !rest_.empty(); skip()) {
      if (begins(quote)) return skip(), out;
      if (quote == '"' && begins('\\')) {
        constexpr std::string_view names = "\"\\btnfr", meant = "\"\\\b\t\n\f\r";
        skip();
        const std::size_t at = rest_.empty() ? names.npos : names.find(rest_.front());
        if (at == names.npos) return std::nullopt;
        out += meant[at];
      } else {
        out += rest_.front();
      }
    }
    return std::nullopt;
  }

 private:
  std::string_view rest_;
};

class OptionsFile : public CLI::Config {
 public:
  explicit OptionsFile(const CLI::App& app) : app_(app) {}

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    std::string text(kMostBytes + 1, '\0');
    input.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(input.gcount()));
    if (text.size() > kMostBytes) refuse(0, fmt::format("more than {} bytes: is this a file of options?", kMostBytes));
    std::string_view rest = text;
    if (text.find('\0') != text.npos) refuse(0, "a NUL byte, expected text in UTF-8");
    if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);
    std::vector<CLI::ConfigItem> found;
    std::vector<std::string> phases;  // texts of --phase
    std::set<const CLI::Option*> seen;
    for (int number = 1; !rest.empty(); ++number) {
      const std::size_t end = rest.find('\n');
      Line line(rest.substr(0, end));
      rest.remove_prefix(end == rest.npos ? rest.size() : end + 1);
      line.skip_blanks();
      if (line.ended()) continue;
      if (line.begins('[')) {
        begin_phase(line, number);
        phases.emplace_back();
        continue;
      }
      if (!phases.empty()) {
        phases.back() += (phases.back().empty() ? "" : ", ") + part_of_phase(line, number);
        continue;
      }
      found.push_back(item_of(line, number));
      if (!seen.insert(option_of(found.back().name)).second) {
        refuse(number, fmt::format("\"{}\" is given twice, expected each option once", found.back().name));
      }
    }
    if (!phases.empty()) {
      found.emplace_back();
      found.back().name = "phase";
      found.back().inputs = phases;
    }
    return found;
  }
  std::string to_config(const CLI::App*, bool, bool, std::string) const override { return {}; }

 private:
  [[noreturn]] void refuse(int line, const std::string& reason) const {
    const std::string file = printable(app_.get_config_ptr()->as<std::string>());
    throw CLI::ConfigError(line == 0 ? fmt::format("{}: {}", file, reason)
                                     : fmt::format("{}:{}: {}", file, line, reason));
  }

  const CLI::Option* option_of(const std::string& name) const {
    const CLI::Option* found = app_.get_option_no_throw("--" + name);
    return found == nullptr && name.size() == 1 ? app_.get_option_no_throw("-" + name) : found;
  }

  /// The one section there is. What follows is its, up to the next or the end.
  void begin_phase(Line& line, int number) const {
    if (line.take("[[phase]]") && app_.get_option_no_throw("--phase") != nullptr) {
      line.skip_blanks();
      if (line.ended()) return;
    }
    line.take("[");
    refuse(number, fmt::format("section [{}] is not read: write its lines without it, each name as after the dashes of "
                               "an option; phases of training are sections [[phase]], behind all other lines",
                               printable(line.word("]"))));
  }

  /// A line of [[phase]] as --phase takes it.
  std::string part_of_phase(Line& line, int number) const {
    const std::string name = line.word("=");
    line.skip_blanks();
    if (name != "loss" && name != "epochs" && name != "lr" && name != "from") {
      refuse(number, fmt::format("\"{}\" is no part of a phase, expected loss, epochs, lr or from (other options stand "
                                 "before the first [[phase]])",
                                 printable(name)));
    }
    const std::string value = value_behind_equals(line, name, number);
    if (value.find(',') != value.npos) {
      refuse(number, fmt::format("{} is \"{}\", expected no comma", name, printable(value)));
    }
    return name + "=" + value;
  }

  CLI::ConfigItem item_of(Line& line, int number) const {
    CLI::ConfigItem item;
    item.name = line.word("=");
    line.skip_blanks();
    const CLI::Option* option = option_of(item.name);
    if (option == nullptr || !option->get_configurable()) {
      refuse(number,
             fmt::format("\"{}\" is no option; expected a name of `{} --help` without dashes, in no section{}",
                         printable(item.name), app_.get_name(), nearest_text("--" + item.name, long_names(app_))));
    }
    if (item.name == "phase") refuse(number, "a phase is a section: [[phase]], then its lines");
    item.inputs = {value_behind_equals(line, item.name, number)};
    const bool is_flag = option->get_expected_min() == 0;
    if (is_flag && item.inputs[0] != "true" && item.inputs[0] != "false") {
      refuse(number, fmt::format("{} is \"{}\", expected true or false", item.name, printable(item.inputs[0])));
    }
    return item;
  }

  /// To the end of the line.
  std::string value_behind_equals(Line& line, const std::string& name, int number) const {
    if (!line.begins('=')) refuse(number, fmt::format("\"{}\" has no value, expected {} = ...", name, name));
    line.skip();
    line.skip_blanks();
    std::string value = value_of(line, name, number);
    line.skip_blanks();
    if (!line.ended()) {
      refuse(number, fmt::format("\"{}\" has more than one value; a text with blanks stands in quotes", name));
    }
    return value;
  }

  std::string value_of(Line& line, const std::string& name, int number) const {
    if (line.begins('[') || line.begins('{')) refuse(number, fmt::format("{} is a list, expected one value", name));
    if (!line.begins('"') && !line.begins('\'')) {
      const std::string word = line.word({});
      if (word.empty()) refuse(number, fmt::format("\"{}\" has no value, expected {} = ...", name, name));
      return word;
    }
    const std::optional<std::string> text = line.quoted();
    if (!text) refuse(number, fmt::format("{} has a text that does not end on its line, or an unknown escape", name));
    return *text;
  }

  const CLI::App& app_;
};

}  // namespace

void add_options_file(CLI::App& app) {
  app.set_config("--config", "", "Read options from a TOML file: the names below without dashes")
      ->type_name("FILE")
      ->check([](const std::string& text) { return text.empty() ? "is empty, expected a name" : std::string(); });
  app.config_formatter(std::make_shared<OptionsFile>(app));
}

}  // namespace unet
