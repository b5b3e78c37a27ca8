// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/runtime/run_blocking.h"

#include "tandem/core/io/reactor.h"

namespace tandem::internal {

void BlockingCall::Submit() { Reactor::Current().Submit(*this); }

void BlockingCall::Cancel() { Reactor::Current().Cancel(*this); }

}  // namespace tandem::internal
