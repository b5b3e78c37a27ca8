// SPDX-License-Identifier: Apache-2.0
//
// Structured concurrency in one header: time, timeouts, task groups, several at once, and spawned tasks.
//
// Every combinator joins all that it started before it returns, whatever happens: no task of a combinator outlives the
// combinator. And none throws a completed result away: bytes that a losing read has already got are in its result.

#ifndef TANDEM_CORE_ASYNC_COMBINATORS_H_
#define TANDEM_CORE_ASYNC_COMBINATORS_H_

#include "tandem/core/async/cancel.h"       // IWYU pragma: export
#include "tandem/core/async/join_handle.h"  // IWYU pragma: export
#include "tandem/core/async/sleep.h"        // IWYU pragma: export
#include "tandem/core/async/spawn.h"        // IWYU pragma: export
#include "tandem/core/async/task.h"         // IWYU pragma: export
#include "tandem/core/async/task_group.h"   // IWYU pragma: export
#include "tandem/core/async/timeout.h"      // IWYU pragma: export
#include "tandem/core/async/when.h"         // IWYU pragma: export

#endif  // TANDEM_CORE_ASYNC_COMBINATORS_H_
