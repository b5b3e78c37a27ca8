// SPDX-License-Identifier: Apache-2.0
//
// Which reactor a real machine is to use: what the program asks for, else what the environment does.

#ifndef TANDEM_POSIX_CHOSEN_KIND_H_
#define TANDEM_POSIX_CHOSEN_KIND_H_

#include "absl/status/statusor.h"
#include "tandem/core/io/reactor_kind.h"
#include "tandem/core/io/reactor_options.h"

namespace tandem::posix {

// `options.kind()`; when that is kAuto, the environment variable TANDEM_REACTOR (auto, uring, epoll), kAuto when it is
// unset or empty.
//
// Errors:
//   kInvalidArgument  The variable names no reactor.
absl::StatusOr<ReactorKind> ChosenKind(const ReactorOptions& options);

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_CHOSEN_KIND_H_
