// SPDX-License-Identifier: Apache-2.0
//
// ExceptionTrace: the awaits that an exception has passed on its way up, for the report of one that nobody catches.
//
// It holds places in the source and nothing of the exception: what that owns is freed when the last handler is done
// with it.

#ifndef TANDEM_CORE_ASYNC_EXCEPTION_TRACE_H_
#define TANDEM_CORE_ASYNC_EXCEPTION_TRACE_H_

#include <cstddef>
#include <source_location>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace tandem {

class PromiseBase;

class ExceptionTrace {
 public:
  // An exception leaves the coroutine of `promise`. It is taken for the one that was noted last when it comes from the
  // coroutine that awaited that one; else a new trace begins.
  void Note(const PromiseBase& promise);
  // True when what was noted last goes to the coroutine of `promise`.
  bool LeadsTo(const PromiseBase* promise) const { return anywhere_ || (next_ != nullptr && next_ == promise); }
  // The exception goes on elsewhere: the next one that is noted is the same.
  void LeadAnywhere() { anywhere_ = true; }
  // The task has suspended or ended, so no exception is on its way any more.
  void End() {
    next_ = nullptr;
    anywhere_ = false;
  }

  // A line for each await, innermost first, each after a line break.
  std::string Describe() const;
  // The same, without the heap.
  void Write(absl::FunctionRef<void(absl::string_view text)> write) const;

 private:
  // The innermost ones say what was going on; the rest of a deep chain is counted.
  static constexpr size_t kKept = 64;

  std::vector<std::source_location> awaits_;
  size_t more_ = 0;
  const PromiseBase* next_ = nullptr;  // Only compared: it may be gone.
  bool anywhere_ = false;
};

}  // namespace tandem

#endif  // TANDEM_CORE_ASYNC_EXCEPTION_TRACE_H_
