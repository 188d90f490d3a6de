#include "apps/run/recipe.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "engine/core/error.h"
#include "engine/core/text.h"

namespace unet {
namespace {

constexpr std::int64_t kMostEpochs = std::int64_t{1} << 30;

std::string trimmed(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(' '), text.size());
  return std::string(text.substr(begin, text.find_last_not_of(' ') + 1 - begin));
}

/// The parts of a text between separators.
std::vector<std::string> parts_of(std::string_view text, char separator) {
  std::vector<std::string> out;
  for (std::size_t end = 0; end != text.npos;) {
    end = text.find(separator);
    out.push_back(trimmed(text.substr(0, end)));
    if (end != text.npos) text.remove_prefix(end + 1);
  }
  return out;
}

void set(Phase& phase, const std::string& key, const std::string& value) {
  const auto refuse = [&](const char* expected) {
    throw Error("{} of a phase is \"{}\", expected {}", key, printable(value), expected);
  };
  if (key == "loss") {
    phase.loss = nn::parse_loss(value);
  } else if (key == "epochs") {
    const std::optional<std::int64_t> epochs = plain_number(value);
    if (!epochs || *epochs < 1 || *epochs > kMostEpochs) refuse("a whole number from 1 on");
    phase.epochs = *epochs;
  } else if (key == "lr") {
    const std::optional<double> lr = plain_real(value);
    if (!lr || !(*lr > 0) || !std::isfinite(*lr)) refuse("a number above 0");
    phase.lr = *lr;
  } else if (key == "from") {
    if (value != "best" && value != "last") refuse("best or last: which weights of the phase before it begins with");
    phase.from = value == "best" ? From::best : From::last;
  } else {
    throw Error("\"{}\" is no part of a phase, expected loss, epochs, lr or from", printable(key));
  }
}

}  // namespace

const char* name_of(From from) { return from == From::best ? "best" : "last"; }

Phase parse_phase(const std::string& text) {
  Phase phase;
  std::set<std::string> seen;
  for (const std::string& part : parts_of(text, ',')) {
    const std::size_t equals = part.find('=');
    if (equals == part.npos) throw Error("\"{}\" is no part of a phase, expected NAME=VALUE", printable(part));
    const std::string key = trimmed(part.substr(0, equals));
    set(phase, key, trimmed(part.substr(equals + 1)));
    if (!seen.insert(key).second) throw Error("a phase has {} twice, expected it once", key);
  }
  for (const char* key : {"loss", "epochs", "lr"}) {
    if (!seen.contains(key)) throw Error("a phase has no {}, expected loss, epochs and lr of each", key);
  }
  return phase;
}

std::string text_of(const Recipe& recipe) {
  std::string out;
  for (const Phase& phase : recipe) {
    out += fmt::format("{}loss={}, epochs={}, lr={}{}", out.empty() ? "" : "; ", nn::text_of(phase.loss), phase.epochs,
                       phase.lr, phase.from == From::best ? "" : fmt::format(", from={}", name_of(phase.from)));
  }
  return out;
}

bool may_become(const std::string& then, const std::string& now, int phase) {
  const std::vector<std::string> before = parts_of(then, ';'), after = parts_of(now, ';');
  if (then.empty() || after.size() < before.size()) return false;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i] == after[i]) continue;
    try {
      Phase grown = parse_phase(before[i]);
      const Phase wanted = parse_phase(after[i]);
      if (static_cast<int>(i) + 1 < phase || wanted.epochs < grown.epochs) return false;
      grown.epochs = wanted.epochs;
      if (text_of({grown}) != after[i]) return false;
    } catch (const Error&) {  // a record from other hands
      return false;
    }
  }
  return true;
}

}  // namespace unet
