// SPDX-License-Identifier: Apache-2.0
//
// ReactorKind: what a program on a real machine can choose at its start.

#ifndef TANDEM_CORE_IO_REACTOR_KIND_H_
#define TANDEM_CORE_IO_REACTOR_KIND_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem {

enum class ReactorKind : uint8_t {
  kAuto,   // io_uring where the kernel allows it, else epoll; a line on standard error says why.
  kUring,  // io_uring, or an error that says why not.
  kEpoll,  // epoll.
};

// "auto", "uring" or "epoll": the values of the flag --reactor of servers.
//
// Errors:
//   kInvalidArgument  `name` is something else; the message quotes it and says what is expected.
absl::StatusOr<ReactorKind> ParseReactorKind(absl::string_view name);

// For ABSL_FLAG(tandem::ReactorKind, reactor, tandem::ReactorKind::kAuto, "...").
bool AbslParseFlag(absl::string_view text, ReactorKind* kind, std::string* error);
std::string AbslUnparseFlag(ReactorKind kind);

}  // namespace tandem

#endif  // TANDEM_CORE_IO_REACTOR_KIND_H_
