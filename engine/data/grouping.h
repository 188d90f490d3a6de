// Which pictures belong together, and which split a hash gives to those that no list assigns.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/data/dataset.h"

namespace unet {

/// Throws Error naming the sample if it has no group.
using GroupOf = std::function<std::string(const Sample&)>;

/// A stem's group is what the pattern's (ECMAScript) first capture group takes of it, at the first place that matches;
/// for an empty pattern the stem itself. Throws Error on what is no regular expression or has no capture group. The
/// pattern is trusted: matching may take time exponential in its length.
GroupOf group_by(const std::string& pattern);

struct HashSplit {
  std::map<std::string, Split> split_of;  ///< by group
  std::vector<std::string> moved;         ///< groups that are not where their hash alone would put them
};

/// 80/10/10 by a hash of the group, which nothing else in the folder changes (without a test split: 90/10); but where
/// train or val would be empty, the group of the lowest hash of the larger of the other two splits is moved there (of
/// test, if they are equal). Of two groups or more one is to train and one to validate on; one group alone stays where
/// its hash puts it.
HashSplit split_by_hash(const std::set<std::string>& groups, bool with_test = true);

}  // namespace unet
