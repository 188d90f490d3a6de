#include "apps/option_table.h"

#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/nearest.h"
#include "engine/core/text.h"
#include "engine/data/grouping.h"

namespace unet {
namespace {

constexpr std::int64_t kMinSide = 16;
constexpr std::int64_t kMaxSide = 16384;

/// "256" or "192x256" (height x width), given to an option.
ImageExtent extent_of(const std::string& option, const std::string& text) {
  const std::size_t cross = text.find('x');
  const std::optional<std::int64_t> height = plain_number(text.substr(0, cross));
  const std::optional<std::int64_t> width = cross == text.npos ? height : plain_number(text.substr(cross + 1));
  if (!height || !width) {
    throw CLI::ValidationError(option, fmt::format("\"{}\" is not N or HxW, e.g. 256 or 192x256", text));
  }
  if (std::min(*height, *width) < kMinSide || std::max(*height, *width) > kMaxSide) {
    throw CLI::ValidationError(option, fmt::format("{} is outside {}..{} pixels a side", text, kMinSide, kMaxSide));
  }
  return {*height, *width};
}

/// The kind, and something more done with the option.
OptionKind with(OptionKind kind, std::function<void(CLI::Option&)> more) {
  return {[add = std::move(kind.add), more = std::move(more)](CLI::App& app, const std::string& names,
                                                              const std::string& help) {
            CLI::Option* option = add(app, names, help);
            more(*option);
            return option;
          },
          std::move(kind.text)};
}

/// A flag that is a word of --precision.
OptionKind amp(std::string& precision) {
  return {[&precision](CLI::App& app, const std::string& names, const std::string& help) {
            return app.add_flag_callback(
                names,
                [&app, &precision] {
                  if (app.count("--precision") > 0 && precision != "bf16") {
                    throw CLI::ValidationError(
                        "--amp",
                        fmt::format("is --precision bf16, and --precision {} is given too: leave one of them out",
                                    precision));
                  }
                  precision = "bf16";
                },
                help);
          },
          {}};
}

OptionKind device(std::string& value) {
  return {[&value](CLI::App& app, const std::string& names, const std::string& help) {
            return app
                .add_option_function<std::string>(
                    names,
                    [&value](const std::string& text) {
                      const std::string ordinal = text.starts_with("cuda:") ? text.substr(5) : text;
                      if (plain_unsigned(ordinal).value_or(0) > 0) {
                        throw CLI::ValidationError(
                            "--device", fmt::format("{}: for now the first GPU computes alone, cuda:0; to use another, "
                                                    "run with CUDA_VISIBLE_DEVICES={}",
                                                    text, ordinal));
                      }
                      const bool gpu = text == "gpu" || text == "cuda:0" || text == "0";
                      value = gpu ? "cuda" : text;
                      const std::string fault = one_of({"auto", "cpu", "cuda"})(value);
                      if (!fault.empty()) throw CLI::ValidationError("--device", fault);
                    },
                    help)
                ->type_name("WORD")
                ->default_str(value);
          },
          [&value] { return value; }};
}

}  // namespace

std::string ImageExtent::str() const {
  return height == width ? std::to_string(height) : fmt::format("{}x{}", height, width);
}

void add_options(CLI::App& app, const OptionTable& table) {
  for (const OptionRow& row : table) {
    CLI::Option* option = row.kind.add(app, row.names, row.help);
    if (!row.group.empty()) option->group(row.group);
  }
}

std::string OptionRow::name() const {
  const std::size_t begin = names.find("--") + 2;
  return names.substr(begin, names.find(',', begin) - begin);
}

CLI::Validator one_of(const std::vector<std::string>& words) {
  std::string list;
  for (const std::string& word : words) list += (list.empty() ? "" : ",") + word;
  return CLI::Validator(
      [words, list](const std::string& text) {
        if (std::find(words.begin(), words.end(), text) != words.end()) return std::string();
        return fmt::format("{} not in {{{}}}{}", text, list, nearest_text(text, words));
      },
      "{" + list + "}");
}

OptionKind seed(std::uint64_t& value) {
  return {[&value](CLI::App& app, const std::string& names, const std::string& help) {
            return add_seed(app, names, value, help);
          },
          [&value] { return std::to_string(value); }};
}

OptionKind flag(bool& value) {
  return {[&value](CLI::App& app, const std::string& names, const std::string& help) {
            return app.add_flag(names, value, help);
          },
          [&value] { return std::string(value ? "true" : "false"); }};
}

OptionKind flag(std::optional<bool>& value) {
  return {[&value](CLI::App& app, const std::string& names, const std::string& help) {
            return app
                .add_flag_function(
                    names, [&value](std::int64_t count) { value = count > 0; }, help)
                ->take_last();
          },
          [&value] {
            return std::string(!value ? "auto" : *value ? "true" : "false");
          }};
}

OptionKind words(std::string& value, const std::vector<std::string>& words) {
  return {[&value, words](CLI::App& app, const std::string& names, const std::string& help) {
            return app.add_option(names, value, help)->check(one_of(words))->type_name("WORD")->capture_default_str();
          },
          [&value] { return value; }};
}

OptionKind name(std::string& value, const std::string& type) {
  return {[&value, type](CLI::App& app, const std::string& names, const std::string& help) {
            static const CLI::Validator filled(
                [](const std::string& text) {
                  return text.empty() ? std::string("is empty, expected a name") : std::string();
                },
                "");
            CLI::Option* option = app.add_option(names, value, help)->check(filled)->type_name(type);
            return value.empty() ? option : option->capture_default_str();
          },
          [&value] { return escaped(value); }};
}

OptionKind extent(const std::string& name, std::function<void(ImageExtent)> set, const std::string& default_text,
                  std::function<std::string()> text) {
  return {[name, set = std::move(set), default_text](CLI::App& app, const std::string& names, const std::string& help) {
            return app
                .add_option_function<std::string>(
                    names, [name, set](const std::string& given) { set(extent_of(name, given)); }, help)
                ->type_name("SIZE")
                ->default_str(default_text);
          },
          std::move(text)};
}

OptionKind extent(const std::string& name, std::optional<ImageExtent>& value, const std::string& default_text) {
  return extent(
      name, [&value](ImageExtent extent) { value = extent; }, default_text,
      [&value] { return value ? value->str() : "none"; });
}

OptionKind pattern(std::string& value) {
  return {[&value](CLI::App& app, const std::string& names, const std::string& help) {
            return app
                .add_option_function<std::string>(
                    names,
                    [&value, names](const std::string& given) {
                      try {
                        if (given.empty()) throw Error("is empty, expected a pattern");
                        group_by(given);
                      } catch (const Error& error) {
                        throw CLI::ValidationError(names, error.what());
                      }
                      value = given;
                    },
                    help)
                ->type_name("REGEX");
          },
          [&value] { return value.empty() ? "none" : value; }};
}

OptionKind normalization(std::optional<kernels::NormalizeSpec>& value) {
  return {[&value](CLI::App& app, const std::string& names, const std::string& help) {
            return app
                .add_option_function<std::string>(
                    names,
                    [&value](const std::string& text) {
                      try {
                        value = models::parse_normalization(text);
                      } catch (const Error& error) {
                        throw CLI::ValidationError("--normalization", error.what());
                      }
                    },
                    help)
                ->type_name("WORD|MEANS/DEVIATIONS");
          },
          [&value] { return models::text_of(value.value_or(imagenet_normalization())); }};
}

OptionKind required(OptionKind kind) {
  return with(std::move(kind), [](CLI::Option& option) { option.required(); });
}

OptionKind by_default(OptionKind kind, const std::string& text) {
  return with(std::move(kind), [text](CLI::Option& option) { option.default_str(text); });
}

OptionKind told_as(OptionKind kind, std::function<std::string()> text) {
  return {std::move(kind.add), std::move(text)};
}

OptionKind of_this_call(OptionKind kind) { return {std::move(kind.add), {}}; }

OptionTable machine_rows(MachineOptions& o) {
  const std::string group = "Machine";
  return {
      {group, "--device", device(o.device),
       "Where to compute: auto, cpu or cuda (also gpu, 0, cuda:0); auto: CUDA where it works", true},
      {group, "--precision", words(o.precision, {"auto", "fp32", "tf32", "bf16"}),
       "Arithmetic; auto: bf16 on a GPU that multiplies it, tf32 on another, fp32 on a CPU"},
      {group, "--amp", amp(o.precision), "The same as --precision bf16"},
      {group, "--conv", words(o.conv, {"auto", "direct", "onednn", "own"}), "Who provides convolutions on the CPU"},
      {group, "--autotune,!--no-autotune", flag(o.autotune),
       "Time every convolution's candidates once, at its first use, and keep the best [on a GPU, not on a CPU]", true},
      {group, "--plans", name(o.plans, "FILE"), "Choices of convolutions to repeat: a run's plans.json", true},
      {group, "--threads", number(o.threads, Within{0, 4096}),
       "Threads for computing; 0: all that the affinity mask allows", true},
  };
}

}  // namespace unet
