// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/join_handle.h"

namespace tandem::internal {

void JoinState::Fail() {
  if (detached_ && waiter_ == nullptr) Executor::Current().EscapedException();
  exception_.Catch();
}

void JoinState::End() {
  ended_ = true;
  if (waiter_ != nullptr) waiter_->OnEnd();
}

void JoinState::Detach() {
  detached_ = true;
  // A call of Join() that has not returned will throw it.
  if (waiter_ == nullptr && exception_ && !Executor::Current().dead()) exception_.Escape();
}

}  // namespace tandem::internal
