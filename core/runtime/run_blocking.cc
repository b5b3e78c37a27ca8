// SPDX-License-Identifier: Apache-2.0

#include "core/runtime/run_blocking.h"

#include "core/io/reactor.h"

namespace tandem::internal {

void BlockingCall::Submit() { Reactor::Current().Submit(*this); }

void BlockingCall::Cancel() { Reactor::Current().Cancel(*this); }

}  // namespace tandem::internal
