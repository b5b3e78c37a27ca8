// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/exception_trace.h"

#include <charconv>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tandem/core/async/await_stack.h"
#include "tandem/core/async/executor.h"

namespace tandem {

void ExceptionTrace::Note(const PromiseBase& promise) {
  if (!LeadsTo(&promise)) {
    awaits_.clear();
    more_ = 0;
  }
  anywhere_ = false;
  next_ = promise.parent;
  if (promise.await_location.line() == 0) return;  // It has not awaited anything.
  if (awaits_.size() < kKept) {
    awaits_.push_back(promise.await_location);
  } else {
    ++more_;
  }
}

void ExceptionTrace::Write(absl::FunctionRef<void(absl::string_view text)> write) const {
  for (const std::source_location& location : awaits_) {
    write("\n    last await at ");
    WritePlace(location, write);
  }
  if (more_ == 0) return;
  char digits[24];
  const std::to_chars_result end = std::to_chars(digits, digits + sizeof(digits), more_);
  write("\n    and ");
  write(absl::string_view(digits, static_cast<size_t>(end.ptr - digits)));
  write(" more");
}

std::string ExceptionTrace::Describe() const {
  std::string text;
  Write([&](absl::string_view part) { absl::StrAppend(&text, part); });
  return text;
}

}  // namespace tandem
