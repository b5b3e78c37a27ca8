// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_registry.h"

#include <cstdint>

#include "absl/log/check.h"
#include "tandem/testing/runner.h"

namespace tandem::testing {
namespace {

constinit SimTestCase* g_first = nullptr;
constinit SimTestCase* g_last = nullptr;
using Progress = SeedProgress (*)();
constinit Progress g_progress = nullptr;
using FailureWitness = void (*)(absl::string_view place, absl::string_view why);
constinit FailureWitness g_witness = nullptr;

}  // namespace

bool RegisterSimTest(SimTestCase* test_case) {
  CHECK(test_case->next == nullptr && test_case != g_last);  // Registered once.
  (g_first == nullptr ? g_first : g_last->next) = test_case;
  g_last = test_case;
  return true;
}

const SimTestCase* FirstSimTest() { return g_first; }

const SimTestCase& SimTestAt(uint32_t index) {
  const SimTestCase* test_case = g_first;
  for (; index > 0 && test_case != nullptr; --index) test_case = test_case->next;
  CHECK(test_case != nullptr);
  return *test_case;
}

void SetFailureWitness(void (*witness)(absl::string_view place, absl::string_view why)) { g_witness = witness; }

void TellFailureWitness(absl::string_view place, absl::string_view why) {
  if (g_witness != nullptr) g_witness(place, why);
}

void SetSeedProgress(SeedProgress (*progress)()) { g_progress = progress; }

SeedProgress CurrentSeedProgress() { return g_progress == nullptr ? SeedProgress() : g_progress(); }

}  // namespace tandem::testing
