#include "engine/nn/loss.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/nearest.h"
#include "engine/core/text.h"

namespace unet::nn {
namespace {

/// A term: its name, where its weight is and, where it takes one, its parameter with the largest value and the one that
/// is not said.
struct Term {
  const char* name;
  double Loss::*weight;
  const char* parameter = nullptr;
  double Loss::*value = nullptr;
  double most = 0, unsaid = 0;
};
constexpr std::array<Term, 4> kTerms{{
    {"cross_entropy", &Loss::cross_entropy, "smoothing", &Loss::smoothing, 1, 0},
    {"focal", &Loss::focal, "gamma", &Loss::gamma, std::numeric_limits<double>::max(), -1},
    {"dice", &Loss::dice},
    {"dice_batch", &Loss::dice_batch},
}};

std::string trimmed(const std::string& text) {
  const std::size_t begin = std::min(text.find_first_not_of(' '), text.size());
  return text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
}

void set_parameter(Loss& loss, const Term& term, const std::string& text) {
  if (term.parameter == nullptr) {
    throw Error("{} of a loss is given \"{}\", expected it without", term.name, printable(text));
  }
  const std::size_t equals = std::min(text.find('='), text.size());
  if (trimmed(text.substr(0, equals)) != term.parameter || equals == text.size()) {
    throw Error("{} of a loss is given \"{}\", expected {}=NUMBER", term.name, printable(text), term.parameter);
  }
  const std::string number = trimmed(text.substr(equals + 1));
  const std::optional<double> value = plain_real(number);
  if (!value || !(*value >= 0 && *value <= term.most)) {
    throw Error("{} of {} is \"{}\", expected a number {}", term.parameter, term.name, printable(number),
                term.most == 1 ? "from 0 to 1" : "from 0 on");
  }
  loss.*term.value = *value;
}

/// A term and its weight, in one part of a loss.
void add_term(Loss& loss, const std::string& part) {
  const std::size_t name_at = std::min(part.find_first_not_of("0123456789.-"), part.size());
  // "1e-3 dice": the e belongs to the number where a digit or a sign follows it.
  std::size_t begin = name_at;
  if (name_at > 0 && part.size() > name_at + 1 && part[name_at] == 'e' &&
      std::string("0123456789-").find(part[name_at + 1]) != std::string::npos) {
    begin = std::min(part.find_first_not_of("0123456789-", name_at + 1), part.size());
  }
  const std::string number = part.substr(0, begin), rest = trimmed(part.substr(begin));
  const std::size_t open = std::min(rest.find('('), rest.size());
  const std::string name = trimmed(rest.substr(0, open));
  const auto term = std::find_if(kTerms.begin(), kTerms.end(), [&](const Term& t) { return t.name == name; });
  if (term == kTerms.end()) {
    std::vector<std::string> names;
    for (const Term& of_all : kTerms) names.emplace_back(of_all.name);
    throw Error(
        "\"{}\" is no term of a loss, expected {} with a weight before it, as in \"cross_entropy + 0.5 dice\"{}",
        printable(part), fmt::join(names, ", "), nearest_text(name, names));
  }
  if (loss.*term->weight != 0) throw Error("a loss has {} twice, expected it once", term->name);
  loss.*term->weight = 1;
  if (!number.empty()) {
    const std::optional<double> weight = plain_real(number);
    if (!weight || !(*weight > 0) || !std::isfinite(*weight)) {
      throw Error("the weight of {} is \"{}\", expected a number above 0", term->name, printable(number));
    }
    loss.*term->weight = *weight;
  }
  if (open == rest.size()) return;
  if (rest.back() != ')') throw Error("\"{}\" of a loss has no ) at its end", printable(rest));
  set_parameter(loss, *term, trimmed(rest.substr(open + 1, rest.size() - open - 2)));
}

}  // namespace

Loss parse_loss(const std::string& text) {
  Loss loss;
  loss.cross_entropy = 0;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('+', begin), text.size());
    add_term(loss, trimmed(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return loss;
}

std::string text_of(const Loss& loss) {
  std::string out;
  for (const Term& term : kTerms) {
    const double weight = loss.*term.weight;
    if (weight == 0) continue;
    if (!out.empty()) out += " + ";
    if (weight != 1) out += fmt::format("{} ", weight);
    out += term.name;
    if (term.value == nullptr || loss.*term.value == term.unsaid) continue;
    out += fmt::format("({}={})", term.parameter, loss.*term.value);
  }
  return out;
}

}  // namespace unet::nn
