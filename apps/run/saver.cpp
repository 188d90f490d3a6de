#include "apps/run/saver.h"

#include <functional>
#include <system_error>
#include <utility>

#include "apps/run/failure.h"

namespace unet {

Saver::~Saver() {
  try {
    finish();
  } catch (const std::exception& error) {
    fail("train_unet", error);
  }
}

void Saver::begin(const Learner& learner, const std::optional<EpochFigures>& ended) {
  finish();
  folder_.mend_steps();
  snapshot_.take(learner.optimizer.get(), learner.average.get());
  saving_ = record_;
  const std::function<void()> write = [this, ended] {
    if (ended) folder_.add_epoch(saving_->state, *ended, snapshot_, metadata_);
    folder_.save_state(*saving_, snapshot_, metadata_);
  };
  try {
    thread_ = std::thread([this, write] {
      try {
        write();
      } catch (...) {
        error_ = std::current_exception();
      }
    });
  } catch (const std::system_error&) {
    write();
  }
}

void Saver::finish() {
  if (thread_.joinable()) thread_.join();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  if (!saving_) return;
  record_.state.best = saving_->state.best;
  record_.state.best_of_phase = saving_->state.best_of_phase;
  record_.state.metrics_rows = saving_->state.metrics_rows;
  saving_.reset();
}

}  // namespace unet
