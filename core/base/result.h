// SPDX-License-Identifier: Apache-2.0
//
// What calls that can be stopped return: Status, StatusOr or IoResult, and the two codes that a stop gives.
//
// kCancelled and kDeadlineExceeded without a message come from Tandem's own scopes and deadlines and from nowhere else,
// and are made without allocation.

#ifndef TANDEM_CORE_BASE_RESULT_H_
#define TANDEM_CORE_BASE_RESULT_H_

#include <concepts>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// The enclosing scope was cancelled; nothing was consumed.
inline absl::Status CancelledStatus() { return absl::Status(absl::StatusCode::kCancelled, ""); }
// A deadline of the caller passed; nothing was consumed. A connection that the kernel timed out is kUnavailable.
inline absl::Status DeadlineExceededStatus() { return absl::Status(absl::StatusCode::kDeadlineExceeded, ""); }

// The result of a call that can be cut short after it has done part of its work.
struct [[nodiscard]] IoResult {
  absl::Status status;
  size_t bytes = 0;  // How many bytes were transferred, also when `status` is an error.

  bool ok() const { return status.ok(); }
};

// The status inside a result.
inline const absl::Status& StatusOf(const absl::Status& result) { return result; }
const absl::Status& StatusOf(absl::Status&& result) = delete;  // Would dangle.
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}
inline const absl::Status& StatusOf(const IoResult& result) { return result.status; }

// True for what CancelledStatus() made, and not for a kCancelled of another source, such as the server of a request,
// which has a message or a payload.
inline bool IsCancelledByScope(const absl::Status& status) { return status == CancelledStatus(); }

// Replaces the status of a failed result, keeping what was transferred.
inline void ReplaceStatus(absl::Status& result, absl::Status status) { result = std::move(status); }
template <typename T>
void ReplaceStatus(absl::StatusOr<T>& result, absl::Status status) {
  result = std::move(status);
}
inline void ReplaceStatus(IoResult& result, absl::Status status) { result.status = std::move(status); }

// True when a call that failed with `result` has had no effect.
template <typename T>
bool HasDoneNothing(const T&) {
  return true;
}
inline bool HasDoneNothing(const IoResult& result) { return result.bytes == 0; }

// A type that can say that a call was stopped.
template <typename T>
concept Stoppable = requires(T& result) {
  { StatusOf(result) } -> std::convertible_to<const absl::Status&>;
  ReplaceStatus(result, absl::Status());
};

}  // namespace tandem

#endif  // TANDEM_CORE_BASE_RESULT_H_
