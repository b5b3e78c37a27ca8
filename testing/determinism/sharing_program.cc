// SPDX-License-Identifier: Apache-2.0
//
// Programs whose hosts share a global variable, and some whose hosts do not: for harness_test.py, which looks at what
// --check_isolation says. Written as a user would, outside of Tandem's namespace.

#include <string>

#include "absl/log/log.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/sim_test.h"

namespace shop {

int orders = 0;
thread_local int visits = 0;
tandem::HostLocal<int> orders_of_host;

struct Basket {
  static int count;
};
int Basket::count = 0;

namespace {

int refunds = 0;

int CountCalls() {
  static int calls = 0;
  return ++calls;
}

const std::string& Greeting() {
  static const auto& greeting = *new std::string("made at its first use");
  return greeting;
}

using Change = void (*)();

tandem::Task<absl::Status> Write(Change change) {
  change();
  co_return co_await tandem::Sleep(absl::Milliseconds(10));
}

tandem::Task<absl::Status> WriteInBlockingWork() {
  const absl::Status done = co_await tandem::RunBlocking([] { ++orders; });
  if (!done.ok()) co_return done;
  co_return co_await tandem::Sleep(absl::Milliseconds(10));
}

void RunTwoHosts(tandem::sim::World& world, const tandem::sim::HostMain& main) {
  tandem::sim::Host& a = world.AddHost("a", main);
  tandem::sim::Host& b = world.AddHost("b", main);
  EXPECT_TRUE(world.RunUntilDone(a, absl::Minutes(1)).ok());
  EXPECT_TRUE(world.RunUntilDone(b, absl::Minutes(1)).ok());
}

void CrashAfter(tandem::sim::World& world, Change change) {
  tandem::sim::Host& host = world.AddHost("a", [change] { return Write(change); });
  EXPECT_TRUE(world.RunFor(absl::Milliseconds(5)).ok());
  host.Crash();
  host.Restart();
  EXPECT_TRUE(world.RunUntilDone(host, absl::Minutes(1)).ok());
}

SIM_TEST(Sharing, NamespaceScope) {
  RunTwoHosts(world, [] { return Write([] { ++orders; }); });
}
SIM_TEST(Sharing, AnonymousNamespace) {
  RunTwoHosts(world, [] { return Write([] { ++refunds; }); });
}
SIM_TEST(Sharing, FunctionStatic) {
  RunTwoHosts(world, [] { return Write([] { CountCalls(); }); });
}
SIM_TEST(Sharing, StaticMember) {
  RunTwoHosts(world, [] { return Write([] { ++Basket::count; }); });
}
SIM_TEST(Sharing, ThreadLocal) {
  RunTwoHosts(world, [] { return Write([] { ++visits; }); });
}
SIM_TEST(Sharing, InBlockingWork) { RunTwoHosts(world, &WriteInBlockingWork); }
SIM_TEST(Sharing, SurvivesACrash) {
  CrashAfter(world, [] { ++orders; });
}

SIM_TEST(Sharing, CleanHostLocal) {
  RunTwoHosts(world, [] { return Write([] { ++*orders_of_host; }); });
}
SIM_TEST(Sharing, CleanHostLocalInACrash) {
  CrashAfter(world, [] { ++*orders_of_host; });
}
SIM_TEST(Sharing, CleanConstant) {
  RunTwoHosts(world, [] { return Write([] { EXPECT_FALSE(Greeting().empty()); }); });
}
SIM_TEST(Sharing, CleanConstantInACrash) {
  CrashAfter(world, [] { EXPECT_FALSE(Greeting().empty()); });
}
SIM_TEST(Sharing, CleanLog) {
  CrashAfter(world, [] {
    VLOG(1) << "not shown";
    LOG_FIRST_N(INFO, 1) << "shown once";
  });
}
SIM_TEST(Sharing, CleanOfTheTest) {
  orders = 0;
  RunTwoHosts(world, [] { return Write([] {}); });
  ++orders;  // The test may use what it likes.
}

}  // namespace
}  // namespace shop
