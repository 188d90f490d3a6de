#include "engine/data/grouping.h"

#include <cstdint>
#include <regex>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/rng.h"

namespace unet {
namespace {

/// FNV-1a (Fowler, Noll, Vo), mixed so that its last decimal digit is fair.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return mix64(hash);
}

std::regex parsed(const std::string& pattern) {
  try {
    std::regex regex(pattern);
    if (regex.mark_count() > 0) return regex;
  } catch (const std::regex_error& error) {
    throw Error("\"{}\" is no regular expression (ECMAScript): {}", pattern, error.what());
  }
  throw Error("\"{}\" has no capture group, expected one around what names the group, as in \"^(.+)_slice\"", pattern);
}

}  // namespace

GroupOf group_by(const std::string& pattern) {
  if (pattern.empty()) return [](const Sample& sample) { return sample.name; };
  return [pattern, regex = parsed(pattern)](const Sample& sample) {
    std::smatch match;
    if (std::regex_search(sample.name, match, regex) && match.length(1) > 0) return match.str(1);
    throw Error("{}: \"{}\" has no group by \"{}\": let the pattern's first capture group take a part of every name",
                sample.listed_at, sample.name, pattern);
  };
}

HashSplit split_by_hash(const std::set<std::string>& groups, bool with_test) {
  using ByHash = std::set<std::pair<std::uint64_t, std::string>>;
  ByHash train, val, test;
  for (const std::string& group : groups) {
    const std::uint64_t hash = hash_of(group);
    const std::uint64_t tenth = hash % 10;
    (tenth == 8 ? val : tenth == 9 && with_test ? test : train).emplace(hash, group);
  }
  HashSplit out;
  const auto fill = [&](ByHash& empty, ByHash& other) {
    ByHash& larger = other.size() > test.size() ? other : test;
    if (!empty.empty() || groups.size() < 2) return;
    out.moved.push_back(larger.begin()->second);
    empty.insert(larger.extract(larger.begin()));
  };
  fill(train, val);
  fill(val, train);
  for (const auto& [split, members] : {std::pair{Split::train, &train}, {Split::val, &val}, {Split::test, &test}}) {
    for (const auto& [hash, group] : *members) out.split_of[group] = split;
  }
  return out;
}

}  // namespace unet
