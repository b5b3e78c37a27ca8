// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/sim_sweep.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tandem/core/base/random.h"

namespace tandem::testing {
namespace {

// What two sweeps are compared by is what their runs are, one after the other.
void AddProgress(const SeedProgress& run, SeedProgress& sum) {
  sum.digest_high = HashCombine(sum.digest_high, run.digest_high);
  sum.digest_low = HashCombine(sum.digest_low, run.digest_low);
  sum.fine_digest_high = HashCombine(sum.fine_digest_high, run.fine_digest_high);
  sum.fine_digest_low = HashCombine(sum.fine_digest_low, run.fine_digest_low);
  sum.events += run.events;
}

// One run, in which operation `number` fails. Adds it to `sum`, and returns whether there was such an operation and
// nothing was wrong.
bool RunOne(const SeedOptions& options, absl::string_view host, uint64_t number, bool and_after,
            absl::FunctionRef<void(sim::World& world)> body, SeedResult& sum) {
  const std::string what =
      absl::StrCat("operation ", number, " of host ", host, and_after ? " fails, and all after it" : " fails, alone");
  const ::testing::ScopedTrace trace(__FILE__, __LINE__, what);
  uint64_t operations = 0;
  const auto run_body = [&](sim::World& world) {
    world.FailOperation(host, number, and_after);
    body(world);
    operations = world.operations(host);
  };
  SeedResult result = RunInWorld(options, sim::WorldOptions(), run_body);
  sum.failed = result.failed;
  if (result.failed) sum.message = absl::StrCat(what, ": ", result.message);
  sum.place = result.place;
  sum.scenario = result.scenario;
  sum.steps = result.steps;
  AddProgress(result.progress, sum.progress);
  sum.faults = result.faults;
  sum.fault_counts = result.fault_counts;
  sum.operations = std::max(sum.operations, std::min(operations, number));
  sum.hand_offs.insert(sum.hand_offs.end(), result.hand_offs.begin(), result.hand_offs.end());
  std::sort(sum.hand_offs.begin(), sum.hand_offs.end());
  sum.hand_offs.erase(std::unique(sum.hand_offs.begin(), sum.hand_offs.end()), sum.hand_offs.end());
  return !sum.failed && !::testing::Test::HasFailure() && number <= operations;
}

}  // namespace

SeedResult SweepOperations(const SeedOptions& options, absl::string_view host,
                           absl::FunctionRef<void(sim::World& world)> body) {
  if (!options.scenario.empty()) return RunInWorld(options, sim::WorldOptions(), body);
  SeedResult sum;
  for (const bool and_after : {false, true}) {
    uint64_t number = 1;
    while (RunOne(options, host, number, and_after, body, sum)) ++number;
    if (sum.failed || ::testing::Test::HasFailure()) break;
  }
  return sum;
}

}  // namespace tandem::testing
