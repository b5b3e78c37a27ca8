// SPDX-License-Identifier: Apache-2.0
//
// What this kernel's io_uring can do beyond what the set-up flags tell: found out by trying, on a small ring and a pair
// of sockets.

#ifndef TANDEM_URING_PROBE_H_
#define TANDEM_URING_PROBE_H_

#include "absl/status/statusor.h"

namespace tandem::uring {

struct Capabilities {
  // A multishot receive ends by itself: after the buffer in which it reaches a number of bytes (sqe->optlen), and with
  // bundles after exactly that number. From Linux 6.17.
  bool receive_budget = false;
};

// Errors: SetupError(); MissingFeatureError() when multishot receive is missing (before Linux 6.0).
absl::StatusOr<Capabilities> ProbeKernel();

}  // namespace tandem::uring

#endif  // TANDEM_URING_PROBE_H_
