// SPDX-License-Identifier: Apache-2.0
//
// CaughtException: an exception that escaped one task, kept for whoever joins it, with the awaits that it has passed.

#ifndef TANDEM_CORE_ASYNC_CAUGHT_EXCEPTION_H_
#define TANDEM_CORE_ASYNC_CAUGHT_EXCEPTION_H_

#include <exception>
#include <memory>

#include "tandem/core/async/exception_trace.h"

namespace tandem::internal {

class CaughtException {
 public:
  explicit operator bool() const { return exception_ != nullptr; }

  // Keeps the current exception, which has come up to the first frame of the running task.
  void Catch();
  // Throws what was caught, if anything was, once.
  void Rethrow();
  // Ends the process with a report, if something was caught and not thrown.
  void Escape();

 private:
  void RestoreTrace();

  std::exception_ptr exception_;
  std::unique_ptr<ExceptionTrace> trace_;  // Null: it has passed no await.
};

}  // namespace tandem::internal

#endif  // TANDEM_CORE_ASYNC_CAUGHT_EXCEPTION_H_
