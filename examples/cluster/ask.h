// SPDX-License-Identifier: Apache-2.0
//
// Ask: one line to a server, one line back.

#ifndef TANDEM_EXAMPLES_CLUSTER_ASK_H_
#define TANDEM_EXAMPLES_CLUSTER_ASK_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/tandem.h"

namespace examples {

// Sends `line` to `server`, "host:port", over a connection of its own, and returns the line that answers it. After an
// error, such as kDeadlineExceeded after `timeout`, nobody knows whether the server has acted on it, or will: the line
// may still be on its way.
tandem::Task<absl::StatusOr<std::string>> Ask(std::string server, std::string line, absl::Duration timeout);

// What `word` says, or 0 when it is no number.
int64_t Number(absl::string_view word);

}  // namespace examples

#endif  // TANDEM_EXAMPLES_CLUSTER_ASK_H_
