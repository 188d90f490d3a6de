// A program's options as a table, a row each: what the command line, the file of --config, run.json, the comparison at
// a resume and the README's list are made of.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "apps/numbers.h"
#include "apps/options.h"

namespace unet {

/// How words become an option's value, and how run.json tells it.
struct OptionKind {
  std::function<CLI::Option*(CLI::App&, const std::string& names, const std::string& help)> add;
  std::function<std::string()> text;  // the value in force; none: of this call alone, not recorded
};

struct OptionRow {
  std::string group;  // of --help
  std::string names;  // "-d,--data"
  OptionKind kind;
  std::string help;
  bool harmless = false;  // another value changes nothing in a run's result: it may differ at a resume

  /// The first long one, without dashes; others are aliases.
  std::string name() const;
};
using OptionTable = std::vector<OptionRow>;

/// The options of train_unet; their values are those of `o`, which outlives the table. networks: names for --model.
OptionTable table_of(TrainOptions& o, const std::vector<std::string>& networks);

/// Adds every row to the command line.
void add_options(CLI::App& app, const OptionTable& table);

// ---- kinds ----

/// Holds a text to these words; an error names the nearest.
CLI::Validator one_of(const std::vector<std::string>& words);

/// A number within its bounds. (Value may be an optional: nothing is shown as its default.)
template <class Value, class Bounds>
OptionKind number(Value& value, Bounds bounds) {
  return {[&value, bounds](CLI::App& app, const std::string& names, const std::string& help) {
            return add_number(app, names, value, bounds, help);
          },
          [&value] {
            if constexpr (requires { *value; }) {
              return value ? told(*value) : std::string();
            } else {
              return told(value);
            }
          }};
}
OptionKind seed(std::uint64_t& value);
OptionKind flag(bool& value);
/// One that is not given is `auto`.
OptionKind flag(std::optional<bool>& value);
/// One of these words.
OptionKind words(std::string& value, const std::vector<std::string>& words);
/// The name of a file or folder. An empty one is what an unset variable of a shell leaves, and no wish to do without.
OptionKind name(std::string& value, const std::string& type);
/// A height and a width of the option `name`, with what --help shows as its default.
OptionKind extent(const std::string& name, std::function<void(ImageExtent)> set, const std::string& default_text,
                  std::function<std::string()> text = {});
/// Likewise; one that is not given is `none`.
OptionKind extent(const std::string& name, std::optional<ImageExtent>& value, const std::string& default_text);
/// A pattern of --group-by. Wrong use is told at once; what the names in the folder make of it, when that is opened.
OptionKind pattern(std::string& value);
/// How images are normalized (models/normalization.h).
OptionKind normalization(std::optional<kernels::NormalizeSpec>& value);
/// One of these kinds, by its name. Value is Kind, or an optional of it.
template <class Value, class Kind>
OptionKind choice(Value& value, std::initializer_list<Kind> kinds) {
  std::map<std::string, Kind> of;
  for (const Kind kind : kinds) of[name_of(kind)] = kind;
  const auto text = [&value]() -> std::string {
    if constexpr (requires { *value; }) {
      return value ? name_of(*value) : "";
    } else {
      return name_of(value);
    }
  };
  return {[&value, of, text](CLI::App& app, const std::string& names, const std::string& help) {
            std::vector<std::string> words;
            for (const auto& [word, kind] : of) words.push_back(word);
            return app
                .add_option_function<std::string>(
                    names, [&value, of](const std::string& word) { value = of.at(word); }, help)
                ->check(one_of(words))
                ->type_name("WORD")
                ->default_str(text());
          },
          text};
}

// ---- other than the kind has it ----

OptionKind required(OptionKind kind);
/// What --help shows as the default.
OptionKind by_default(OptionKind kind, const std::string& text);
/// What run.json tells.
OptionKind told_as(OptionKind kind, std::function<std::string()> text);
/// Not recorded.
OptionKind of_this_call(OptionKind kind);

/// --device to --threads.
OptionTable machine_rows(MachineOptions& o);
/// --data to --binarize: where they are, and what masks mean.
OptionTable data_rows(DataOptions& o, const std::string& group);
/// Reads the class map. Throws Error as that does; returns what is wrong with these options together, or nothing.
std::string resolve(DataOptions& o);
inline constexpr std::initializer_list<Exif> kExif{Exif::apply, Exif::ignore};
inline constexpr const char* kExifHelp = "Turn photographs upright as their EXIF orientation asks, or not";
inline constexpr const char* kNormalizationHelp =
    "How images are normalized: imagenet, unit (x/255) or means and deviations, 0.5,0.5,0.5/0.25,0.25,0.25";
inline constexpr const char* kExtentHelp = "Network resolution: N or HxW (height x width), at least 16 a side";
inline constexpr std::int64_t kMostOf = std::int64_t{1} << 30;  // of anything that is counted
inline constexpr Within kBatch{1, 65536};

}  // namespace unet
