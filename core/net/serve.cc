// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/serve.h"

#include <algorithm>

#include "absl/log/check.h"

namespace tandem::internal {

ServedConnections::~ServedConnections() {
  // Empty, but for a simulated crash, which may destroy this before the frames of the connections.
  while (!connections_.empty()) connections_.PopFront();
}

void ServedConnections::Begin(Connection& connection) {
  connections_.PushBack(connection);
  if (draining_) connection.idle.Cancel();
}

void ServedConnections::End(Connection& connection) {
  CHECK_GT(count_, 0u);
  connection.Unlink();
  --count_;
  ended_.Set();
}

void ServedConnections::Drain() {
  draining_ = true;
  connections_.ForEach([](Connection& connection) { connection.idle.Cancel(); });
}

Task<absl::Status> ServedConnections::WaitForRoom() { return WaitUntilBelow(limit_); }

Task<absl::Status> ServedConnections::WaitUntilNone() { return WaitUntilBelow(1); }

Task<absl::Status> ServedConnections::WaitUntilBelow(size_t count) {
  while (count_ >= count) {
    ended_.Reset();
    absl::Status status = co_await ended_.Wait();
    if (!status.ok()) co_return status;
  }
  co_return absl::OkStatus();
}

SleepOperation AcceptBackoff::Pause() {
  const absl::Duration pause = next_;
  next_ = std::min(2 * next_, kLongest);
  return Sleep(pause);
}

bool AcceptBackoff::IsFinal(const absl::Status& status) {
  return absl::IsCancelled(status) || absl::IsDeadlineExceeded(status) || absl::IsFailedPrecondition(status) ||
         absl::IsInvalidArgument(status);
}

}  // namespace tandem::internal
