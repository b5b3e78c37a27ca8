// SPDX-License-Identifier: Apache-2.0
//
// SIM_SWEEP: a test in which each operation of a host fails once, as an allocation in a test that fails each malloc.
//
//   SIM_SWEEP(Kv, AnyOperationOfTheServerMayFail, "server") {
//     auto& client = world.AddHost("client", [] { return AskUntilAnswered("server:6379"); });
//     EXPECT_OK(world.RunUntilDone(client, absl::Minutes(10)));
//   }
//
// The body runs again and again, each time in a new world from the same seed. First operation 1 of the host fails
// alone, then 2 and so on, until a run meets none; then the same, but that everything after it fails as well. The
// errors are the kernel's for the operation, by the seed: World::FailOperation(). A run that fails ends the sweep and
// prints a scenario with a line of its own for the operation, "fail server at operation 17"; --scenario=FILE then runs
// the body once. What the body leaves in globals the next run finds.
//
// The summary of a run says how many operations there were.

#ifndef TANDEM_TESTING_SIM_SWEEP_H_
#define TANDEM_TESTING_SIM_SWEEP_H_

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "tandem/sim/world/world.h"
#include "tandem/testing/runner.h"
#include "tandem/testing/sim_test.h"

namespace tandem::testing {

// Runs `body` once for each operation of `host` and each way to fail; SeedResult::operations is how many there were.
SeedResult SweepOperations(const SeedOptions& options, absl::string_view host,
                           absl::FunctionRef<void(sim::World& world)> body);

}  // namespace tandem::testing

#define SIM_SWEEP(suite, name, host)                                                                                \
  static void SimTestBody_##suite##_##name(::tandem::sim::World& world);                                            \
  static ::tandem::testing::SeedResult SimTestRun_##suite##_##name(const ::tandem::testing::SeedOptions& options) { \
    return ::tandem::testing::SweepOperations(options, host, &SimTestBody_##suite##_##name);                        \
  }                                                                                                                 \
  TANDEM_REGISTER_SIM_TEST(suite, name, &SimTestRun_##suite##_##name);                                              \
  static void SimTestBody_##suite##_##name([[maybe_unused]] ::tandem::sim::World& world)

#endif  // TANDEM_TESTING_SIM_SWEEP_H_
