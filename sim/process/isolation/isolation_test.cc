// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/process/isolation/isolation.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/config.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "tandem/sim/process/isolation/globals.h"

#if defined(ABSL_HAVE_ADDRESS_SANITIZER) || defined(ABSL_HAVE_THREAD_SANITIZER)

namespace tandem::sim {
namespace {

TEST(ProgramGlobalsTest, AreNotToldFromThoseOfASanitizer) {
  EXPECT_EQ(ProgramGlobals().status().code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace tandem::sim

#else

// What a program might have, outside of Tandem's namespace.
namespace shop {

int orders = 0;
std::string last_customer;
thread_local int visits = 0;
constexpr int kPrice = 3;

namespace {
int refunds = 0;
}  // namespace

struct Basket {
  static int count;
};
int Basket::count = 0;

int CountCalls() {
  static int calls = 0;
  return ++calls;
}

const std::string& Greeting() {
  static const auto& greeting = *new std::string("a text that is made at its first use");
  return greeting;
}

}  // namespace shop

namespace tandem {

int of_tandem = 0;

namespace sim {
namespace {

std::vector<std::string> NamesOf(const std::vector<GlobalVariable>& variables) {
  std::vector<std::string> names;
  names.reserve(variables.size());
  for (const GlobalVariable& variable : variables) names.push_back(variable.name);
  return names;
}

TEST(ProgramGlobalsTest, AreThoseOfTheProgramByName) {
  const auto variables = ProgramGlobals();
  ASSERT_TRUE(variables.ok()) << variables.status();
  std::vector<std::string> names = NamesOf(*variables);
  std::sort(names.begin(), names.end());
  shop::Greeting();
  of_tandem = shop::CountCalls() + shop::kPrice;

  EXPECT_EQ(names,
            (std::vector<std::string>{"shop::(anonymous namespace)::refunds", "shop::Basket::count",
                                      "shop::CountCalls()::calls", "shop::Greeting[abi:cxx11]()::greeting[abi:cxx11]",
                                      "shop::last_customer[abi:cxx11]", "shop::orders", "shop::visits"}));
}

class IsolationTest : public ::testing::Test {
 protected:
  IsolationTest()
      : isolation_(*ProgramGlobals(), [this](absl::string_view finding) { findings_.emplace_back(finding); }) {}

  // `change` is what `host` does in a turn.
  template <typename Change>
  void Turn(absl::string_view host, Change change) {
    isolation_.BeginTurn();
    change();
    isolation_.EndTurn(host);
  }

  std::vector<std::string> findings_;
  Isolation isolation_;
};

TEST_F(IsolationTest, TwoHostsThatWriteTheSameVariableAreReportedOnce) {
  for (int round = 0; round < 3; ++round) {
    Turn("a", [] { ++shop::orders; });
    Turn("b", [] { ++shop::orders; });
  }

  EXPECT_EQ(findings_, (std::vector<std::string>{"hosts a and b have both written the global variable shop::orders: "
                                                 "hosts share one process; make it a tandem::HostLocal"}));
}

TEST_F(IsolationTest, EveryKindOfVariableIsSeen) {
  for (const absl::string_view host : {"a", "b"}) {
    Turn(host, [host] {
      shop::last_customer = host;
      ++shop::visits;
      ++shop::refunds;
      ++shop::Basket::count;
      shop::CountCalls();
    });
  }

  ASSERT_EQ(findings_.size(), 5u);
  for (const absl::string_view name : {"shop::last_customer", "shop::visits", "shop::(anonymous namespace)::refunds",
                                       "shop::Basket::count", "shop::CountCalls()::calls"}) {
    EXPECT_TRUE(std::any_of(findings_.begin(), findings_.end(), [name](const std::string& finding) {
      return absl::StrContains(finding, name);
    })) << name;
  }
}

TEST_F(IsolationTest, WhatSurvivesACrashIsReported) {
  Turn("a", [] { ++shop::orders; });
  Turn("a", [] { ++shop::refunds; });
  Turn("a", [] { --shop::refunds; });  // As its destructors might.
  isolation_.OnCrash("b");
  EXPECT_TRUE(findings_.empty());

  isolation_.OnCrash("a");

  EXPECT_EQ(findings_, (std::vector<std::string>{"the global variable shop::orders keeps what host a wrote to it, "
                                                 "though the host has crashed: hosts share one process; make it a "
                                                 "tandem::HostLocal"}));
}

TEST_F(IsolationTest, WhatNoTwoHostsWriteIsNotReported) {
  Turn("a", [] { ++shop::orders; });
  ++shop::refunds;  // The test itself.
  Turn("b", [] { ++shop::refunds; });
  --shop::orders;
  ++of_tandem;
  Turn("b", [] { ++of_tandem; });

  EXPECT_TRUE(findings_.empty()) << findings_[0];
}

TEST(LazyVariableTest, TheFirstUseOfAVariableIsNoWrite) {
  // As a function's static: a guard that is set when the variable is made.
  static std::string bytes(4, '\0');
  static char guard = 0;
  std::vector<std::string> findings;
  Isolation isolation({{"lazy", bytes.data(), bytes.size(), &guard}},
                      [&](absl::string_view finding) { findings.emplace_back(finding); });
  isolation.BeginTurn();
  guard = 1;
  bytes[0] = 'x';
  isolation.EndTurn("a");
  isolation.OnCrash("a");
  EXPECT_TRUE(findings.empty());

  for (const absl::string_view host : {"a", "b"}) {
    isolation.BeginTurn();
    bytes[1] = host[0];
    isolation.EndTurn(host);
  }

  EXPECT_EQ(findings.size(), 1u);
}

}  // namespace
}  // namespace sim
}  // namespace tandem

#endif
