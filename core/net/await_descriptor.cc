// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/await_descriptor.h"

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/reactor.h"

namespace tandem {

std::string AwaitDescriptorOperation::Describe() const { return absl::StrCat("descriptor ", call_.socket); }

bool AwaitDescriptorOperation::Start() {
  Reactor& reactor = Reactor::Current();
  if (call_.socket < 0 || !reactor.awaits_descriptors()) {
    error_ = call_.socket < 0 ? EBADF : EOPNOTSUPP;
    done_ = true;
    return true;
  }
  reactor.Submit(call_);
  return false;
}

void AwaitDescriptorOperation::OnStop() { Reactor::Current().Cancel(call_); }

void AwaitDescriptorOperation::OnDone(int64_t result) {
  error_ = static_cast<int>(-result);
  done_ = error_ != ECANCELED;
  Finish();
}

absl::Status AwaitDescriptorOperation::TakeResult() {
  if (!done_) return cause() == StopCause::kNone ? CancelledStatus() : StopStatus();
  const std::string operation = absl::StrCat("wait for descriptor ", call_.socket);
  if (error_ == EOPNOTSUPP) {
    return absl::UnimplementedError(absl::StrCat(operation, ": a simulated process has no descriptors to wait for"));
  }
  if (error_ == ENOSPC) return absl::ResourceExhaustedError(absl::StrCat(operation, ": epoll's max_user_watches"));
  return ErrnoStatus(error_, operation);
}

}  // namespace tandem
