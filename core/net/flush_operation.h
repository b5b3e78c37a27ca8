// SPDX-License-Identifier: Apache-2.0
//
// FlushOperation: what Flush() returns of a stream that holds nothing back.

#ifndef TANDEM_CORE_NET_FLUSH_OPERATION_H_
#define TANDEM_CORE_NET_FLUSH_OPERATION_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "tandem/core/async/leaf.h"

namespace tandem {

// Awaits to absl::Status: that of the stream. It does not wait.
class [[nodiscard]] FlushOperation final : public WithDeadline<FlushOperation> {
 public:
  explicit FlushOperation(absl::Status status) : status_(std::move(status)) {}
  std::string Describe() const override { return "a flush"; }
  absl::Status TakeResult() { return cause() == StopCause::kNone ? std::move(status_) : StopStatus(); }

 private:
  bool Start() override { return true; }
  void OnStop() override {}
  absl::Status status_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_FLUSH_OPERATION_H_
