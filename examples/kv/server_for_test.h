// SPDX-License-Identifier: Apache-2.0
//
// What tests of the server share: a server around the body of a test, and questions to it.

#ifndef TANDEM_EXAMPLES_KV_SERVER_FOR_TEST_H_
#define TANDEM_EXAMPLES_KV_SERVER_FOR_TEST_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tandem/examples/kv/client.h"
#include "tandem/examples/kv/server.h"
#include "tandem/tandem.h"

namespace tandem::kv {

// Long enough for any machine; nothing is measured by it.
inline constexpr absl::Duration kPatience = absl::Seconds(60);

// What a test does with the server at `address`.
using Body = Task<absl::Status> (*)(SocketAddress address);

// Runs a server on a free port of the loopback address in a runtime of its own, until `body` has returned. Returns what
// `body` returned, or why the server ended before.
absl::Status WithServer(const Options& options, Body body);

// The reply to one request, on a connection of its own.
Task<absl::StatusOr<Reply>> Ask(SocketAddress address, Request request);

// A number from INFO, on a connection that is there.
Task<absl::StatusOr<int64_t>> InfoOn(Client* client, std::string name);

// A number from INFO.
Task<absl::StatusOr<int64_t>> Info(SocketAddress address, std::string name);

// Waits until a number from INFO is `value`.
//
// Errors:
//   kDeadlineExceeded  It is not within kPatience.
Task<absl::Status> InfoBecomes(SocketAddress address, std::string name, int64_t value);

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_SERVER_FOR_TEST_H_
