// SPDX-License-Identifier: Apache-2.0
//
// Starts a task on a shard so that whoever turns the shard's loop from outside sees its end.

#ifndef TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_SHARD_RUNNER_H_
#define TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_SHARD_RUNNER_H_

#include <optional>
#include <string>
#include <utility>

#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/runtime/shard.h"

namespace tandem::testing {

inline Task<void> KeepResult(std::optional<std::string>* result, Task<std::string> task) {
  std::string text = co_await std::move(task);
  result->emplace(std::move(text));
  // The loop is turned from outside: it must not go to sleep before the result was looked at.
  Shard::Current().Post([] {});
}

inline void StartInto(std::optional<std::string>* result, Task<std::string> task) {
  Spawn(&KeepResult, result, std::move(task));
}

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_CONFORMANCE_DIFFERENTIAL_SHARD_RUNNER_H_
