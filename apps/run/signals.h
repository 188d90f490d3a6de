// SIGINT, SIGTERM and SIGHUP ask a run to stop: the step under way is finished and saved. A second one leaves at once.
#pragma once

namespace unet {

/// From now on the first of these signals is noted and the second ends the process with 128 + its number. One that the
/// process was started to ignore (nohup, a shell's `&`) stays ignored.
void watch_stop_signals();
/// The signal noted, or 0.
int stop_signal();

/// Thrown where a pass over data is cut short by stop_signal().
struct Interrupted {
  bool saved = true;  // whether --resume goes on from here
};

}  // namespace unet
