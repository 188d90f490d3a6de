// A run is a list of phases. Two are its default, not its shape: cross-entropy, then soft-Dice from the best of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/nn/loss.h"

namespace unet {

/// Which weights of the phase before a phase begins with.
enum class From { best, last };
const char* name_of(From from);

struct Phase {
  int number = 1;  // from 1
  nn::Loss loss;
  std::int64_t epochs = 0;
  double lr = 0;
  From from = From::best;  // of no meaning in the first
};
using Recipe = std::vector<Phase>;
inline constexpr std::size_t kMostPhases = 99;

/// The phase in "loss=cross_entropy + 0.5 dice, epochs=10, lr=1e-4, from=best"; `from` may be left out. Throws Error
/// naming what is wrong.
Phase parse_phase(const std::string& text);
/// The text of phases that parse_phase reads, "; " between them.
std::string text_of(const Recipe& recipe);

/// Whether a run of `then`, stopped in this phase, may go on as one of `now`: the same but for epochs that have become
/// more in a phase that is not over, and for phases behind the last.
bool may_become(const std::string& then, const std::string& now, int phase);

}  // namespace unet
