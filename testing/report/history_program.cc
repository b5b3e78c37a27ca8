// SPDX-License-Identifier: Apache-2.0
//
// Fails: a register that forgets what was written. Run by explain_test.py.

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/sim/world/world.h"
#include "tandem/testing/history.h"
#include "tandem/testing/linearizability.h"
#include "tandem/testing/linearizability_models.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem {
namespace {

Task<absl::Status> Call(testing::History* history, testing::History* other) {
  [[maybe_unused]] const testing::History::Call lost = history->Invoke("eve", "y", "write", "of eve");
  testing::History::Call write = history->Invoke("ann", "x", "write", "1");
  if (absl::Status slept = co_await Sleep(absl::Seconds(1)); !slept.ok()) co_return slept;
  write.Return();
  testing::History::Call read = history->Invoke("bob", "x", "read");
  if (absl::Status slept = co_await Sleep(absl::Seconds(1)); !slept.ok()) co_return slept;
  read.Return("0");
  testing::History::Call refused = other->Invoke("ann", "door", "lock");
  refused.Fail();
  co_return absl::OkStatus();
}

SIM_TEST(Register, ForgetsWhatWasWritten) {
  testing::History history(Now);
  testing::History other;
  world.AddClient("client", [&] { return Call(&history, &other); });

  EXPECT_OK(world.RunClients(absl::Minutes(1)));
  EXPECT_OK(testing::CheckLinearizable(history.operations(), testing::Register()));
}

}  // namespace
}  // namespace tandem
