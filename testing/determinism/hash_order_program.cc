// SPDX-License-Identifier: Apache-2.0
//
// A simulation that breaks a rule of portable programs on purpose: it sleeps in the order of a hash table, which
// depends on addresses. For digest_test.py.

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/sim_test.h"

namespace tandem {
namespace {

Task<absl::Status> SleepInOrderOfHashes(uint64_t offset) {
  absl::flat_hash_map<std::string, uint64_t> table;
  for (uint64_t i = 0; i < 40; ++i) table[absl::StrCat("a key that is too long for the string itself ", i)] = i;
  for (const auto& [key, value] : table) {
    const absl::Status slept = co_await Sleep(absl::Milliseconds(static_cast<int64_t>(offset + value)));
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

SIM_TEST(HashOrder, ReachesTheTrace) {
  const uint64_t offset = world.random("offset").Below(1000);
  sim::Host& host = world.AddHost("host", [offset] { return SleepInOrderOfHashes(offset); });
  const absl::Status status = world.RunUntilDone(host, absl::Minutes(10));
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace tandem
