// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/io/reactor_kind.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace tandem {

absl::StatusOr<ReactorKind> ParseReactorKind(absl::string_view name) {
  if (name == "auto") return ReactorKind::kAuto;
  if (name == "uring") return ReactorKind::kUring;
  if (name == "epoll") return ReactorKind::kEpoll;
  return absl::InvalidArgumentError(
      absl::StrCat("no reactor is called \"", absl::CEscape(name), "\"; expected auto, uring or epoll"));
}

bool AbslParseFlag(absl::string_view text, ReactorKind* kind, std::string* error) {
  const absl::StatusOr<ReactorKind> parsed = ParseReactorKind(text);
  if (!parsed.ok()) {
    *error = std::string(parsed.status().message());
    return false;
  }
  *kind = *parsed;
  return true;
}

std::string AbslUnparseFlag(ReactorKind kind) {
  switch (kind) {
    case ReactorKind::kAuto:
      return "auto";
    case ReactorKind::kUring:
      return "uring";
    case ReactorKind::kEpoll:
      return "epoll";
  }
  return "";
}

}  // namespace tandem
