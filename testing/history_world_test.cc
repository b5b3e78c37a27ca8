// SPDX-License-Identifier: Apache-2.0
//
// Histories of tasks: the same in a simulation and on real reactors.

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/task.h"
#include "tandem/core/runtime/runtime.h"
#include "tandem/testing/history.h"
#include "tandem/testing/linearizability.h"
#include "tandem/testing/linearizability_models.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

using Outcome = History::Operation::Outcome;

// Sets `*value` after a while, and goes on for `rest`.
Task<absl::Status> Set(std::string* value, std::string next, absl::Duration rest) {
  const absl::Status waited = co_await Sleep(absl::Milliseconds(1));
  if (!waited.ok()) co_return waited;
  *value = std::move(next);
  co_return co_await Sleep(rest);
}

Task<absl::Status> Write(History* history, std::string client, std::string* value, int next, absl::Duration rest) {
  History::Call call = history->Invoke(client, "x", "write", next);
  const absl::Status set = co_await Set(value, absl::StrCat(next), rest);
  if (!set.ok()) co_return set;
  call.Return();
  co_return absl::OkStatus();
}

Task<absl::Status> Read(History* history, std::string client, std::string* value) {
  History::Call call = history->Invoke(client, "x", "read");
  const absl::Status waited = co_await Sleep(absl::Milliseconds(1));
  if (!waited.ok()) co_return waited;
  call.Return(*value);
  co_return absl::OkStatus();
}

Task<void> WriteAndStop(History* history) {
  std::string value = "nil";
  const absl::Duration rest = absl::Milliseconds(1);
  co_await WhenAll(Write(history, "ann", &value, 1, rest), Write(history, "bob", &value, 2, rest),
                   Read(history, "eve", &value));
  // Stopped before it has taken effect or after.
  const absl::Status stopped =
      co_await WithTimeout(absl::Microseconds(1500), Write(history, "ann", &value, 3, absl::Hours(1)));
  EXPECT_THAT(stopped, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_OK(co_await Read(history, "eve", &value));
}

TEST(HistoryWorldTest, WhatIsStoppedIsOpen) {
  History history(Now);
  Runtime().BlockOn(WriteAndStop(&history));

  const std::vector<History::Operation> operations = history.operations();
  ASSERT_EQ(operations.size(), 5u);
  EXPECT_EQ(operations[1].outcome, Outcome::kAnswered);
  EXPECT_EQ(operations[3].outcome, Outcome::kOpen);
  EXPECT_GE(*operations[1].returned_at - *operations[1].invoked_at, absl::Milliseconds(2));
  EXPECT_OK(CheckLinearizable(operations, Register()));
}

}  // namespace
}  // namespace tandem::testing
