// SPDX-License-Identifier: Apache-2.0
//
// SIM_TEST: a test that runs in a simulated world, once per seed.
//
//   SIM_TEST(Kv, RepliesMatchRequestsUnderFaults) {
//     auto& client = world.AddHost("client", [] { return RunWorkload("server:6379"); });
//     world.Inject(sim::Faults::Network());
//     EXPECT_OK(world.RunUntilDone(client, absl::Minutes(10)));
//   }
//
// The body gets `tandem::sim::World& world`, made from the seed. A seed fails by a failed EXPECT_ or ASSERT_ (what the
// world finds, such as stuck tasks or a livelock, is in the status that RunUntilDone() returns), by a crash, a leak
// under ASan, an exit, or by taking too long; a failed expectation is followed by the faults of its seed. Each seed has
// a process of its own, so globals start fresh. `--help` of the test's binary lists the flags.

#ifndef TANDEM_TESTING_SIM_TEST_H_
#define TANDEM_TESTING_SIM_TEST_H_

#include "gtest/gtest.h"  // IWYU pragma: export
#include "tandem/sim/world/world.h"
#include "tandem/testing/runner.h"

namespace tandem::testing {

// Runs `body` in a new world and returns what became of it.
SeedResult RunInWorld(const SeedOptions& options, void (*body)(sim::World& world));

}  // namespace tandem::testing

#define SIM_TEST(suite, name)                                                                                       \
  static void SimTestBody_##suite##_##name(::tandem::sim::World& world);                                            \
  static ::tandem::testing::SeedResult SimTestRun_##suite##_##name(const ::tandem::testing::SeedOptions& options) { \
    return ::tandem::testing::RunInWorld(options, &SimTestBody_##suite##_##name);                                   \
  }                                                                                                                 \
  static ::tandem::testing::SimTestCase sim_test_case_##suite##_##name{#suite, #name, &SimTestRun_##suite##_##name, \
                                                                       __FILE__, __LINE__};                         \
  [[maybe_unused]] static const bool sim_test_registered_##suite##_##name =                                         \
      ::tandem::testing::RegisterSimTest(&sim_test_case_##suite##_##name);                                          \
  static void SimTestBody_##suite##_##name([[maybe_unused]] ::tandem::sim::World& world)

#endif  // TANDEM_TESTING_SIM_TEST_H_
