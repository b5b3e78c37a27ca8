// SPDX-License-Identifier: Apache-2.0
//
// What a seed costs before its first event: five hosts whose programs end at once. The time of many seeds, divided by
// their number, is that of one, with the process that the harness makes for it and the report that it gives.

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/task.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"
#include "tandem/testing/sim_test.h"

namespace tandem {
namespace {

Task<absl::Status> End() { co_return absl::OkStatus(); }

SIM_TEST(NewSeed, EndsAtOnce) {
  sim::Host* last = nullptr;
  for (int i = 0; i < 5; ++i) last = &world.AddHost(absl::StrCat("host", i), [] { return End(); });
  EXPECT_TRUE(world.RunUntilDone(*last, absl::Seconds(1)).ok());
}

}  // namespace
}  // namespace tandem
