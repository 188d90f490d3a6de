#include "apps/signals.h"

#include <unistd.h>

#include <csignal>

namespace unet {
namespace {

volatile std::sig_atomic_t noted = 0;

void note(int signal) {
  if (noted != 0) ::_exit(128 + signal);
  noted = signal;
}

}  // namespace

void watch_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = note;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int stop_signal() { return noted; }

}  // namespace unet
