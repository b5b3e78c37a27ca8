// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/exception_trace.h"

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
  if (awaits_.size() < kKept) {
    awaits_.push_back(promise.await_location);
  } else {
    ++more_;
  }
}

std::string ExceptionTrace::Describe() const {
  std::string text;
  for (const std::source_location& location : awaits_) {
    absl::StrAppend(&text, "\n    last await at ");
    WritePlace(location, [&](absl::string_view part) { absl::StrAppend(&text, part); });
  }
  if (more_ > 0) absl::StrAppend(&text, "\n    and ", more_, " more");
  return text;
}

}  // namespace tandem
