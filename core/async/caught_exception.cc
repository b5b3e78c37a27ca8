// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/caught_exception.h"

#include <utility>

#include "tandem/core/async/executor.h"

namespace tandem::internal {

void CaughtException::Catch() {
  exception_ = std::current_exception();
  const ExceptionTrace& trace = Executor::Current().exception_trace();
  const bool passed_awaits = trace.LeadsTo(Executor::Current().running_task()->first_frame);
  trace_ = passed_awaits ? std::make_unique<ExceptionTrace>(trace) : nullptr;
}

void CaughtException::Rethrow() {
  if (exception_ == nullptr) return;
  RestoreTrace();
  std::rethrow_exception(std::exchange(exception_, nullptr));
}

void CaughtException::Escape() {
  if (exception_ == nullptr) return;
  RestoreTrace();
  try {
    std::rethrow_exception(std::exchange(exception_, nullptr));
  } catch (...) {
    Executor::Current().EscapedException();
  }
}

void CaughtException::RestoreTrace() {
  ExceptionTrace& trace = Executor::Current().exception_trace();
  trace.End();
  if (trace_ == nullptr) return;
  trace = *std::exchange(trace_, nullptr);
  trace.LeadAnywhere();
}

}  // namespace tandem::internal
