// SPDX-License-Identifier: Apache-2.0
//
// Offices and clients on a simulated network, under faults of the seed's choice and under a plan of one's own.

#include <csignal>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tandem/examples/tickets/tickets.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"
#include "tandem/testing/co_assert.h"
#include "tandem/testing/history.h"
#include "tandem/testing/linearizability.h"
#include "tandem/testing/sim_sweep.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

namespace tickets {
namespace {

using namespace tandem;

// [RunOffice]
// What main() would do: its own listener, and the rest from the library.
Task<absl::Status> RunOffice(std::string name) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(7410));
  if (!listener.ok()) co_return listener.status();
  Office office(name);
  co_return co_await Sell(*std::move(listener), &office);
}

// What all clients were given. The hosts are in one process, so the test may know what none of them does.
using Given = std::set<std::string>;

Task<absl::Status> TakeAndCheck(std::string who, std::vector<std::string> offices, Given* given) {
  absl::StatusOr<std::string> ticket = co_await Take(who, offices);
  if (!ticket.ok()) co_return ticket.status();
  EXPECT_TRUE(given->insert(*ticket).second) << *ticket << " was given before";
  co_return absl::OkStatus();
}

// Takes tickets for a minute, in which the faults lie and any call may fail, and one afterwards, which must not fail.
Task<absl::Status> RunClient(std::string who, std::vector<std::string> offices, Given* given) {
  const Instant calm = Now() + absl::Minutes(1);
  while (Now() < calm) {
    (void)co_await TakeAndCheck(who, offices, given);
    co_await Pause(absl::Milliseconds(200));
  }
  co_return co_await TakeAndCheck(who, offices, given);
}
// [end]

// [NoTicketTwice]
SIM_TEST(Tickets, NoTicketTwice) {
  const std::vector<std::string> offices = {"north:7410", "south:7410", "west:7410"};
  for (std::string name : {"north", "south", "west"}) {
    world.AddServer(name, [name] { return RunOffice(name); });
  }
  Given given;
  for (std::string name : {"ann", "bob"}) {
    world.AddClient(name, [&, name] { return RunClient(name, offices, &given); });
  }
  world.Inject(sim::Faults::All().Spare("ann").Spare("bob"));  // Offices crash, clients do not.

  EXPECT_OK(world.RunClients(absl::Minutes(10)));
}
// [end]

// [NumbersInOrder]
// What one office promises: each ticket has the next number. It is asked one thing only.
struct Numbers {
  using State = int64_t;
  State Start() const { return 0; }
  std::optional<std::string> Apply(const tandem::testing::History::Operation&, State* state) const {
    return absl::StrCat(++*state);
  }
};

Task<absl::Status> TakeAndRecord(std::string who, tandem::testing::History* history) {
  const std::vector<std::string> offices = {"north:7410"};
  tandem::testing::History::Call call = history->Invoke(who, "north", "take");
  const absl::StatusOr<std::string> ticket = co_await Take(who, offices);
  if (!ticket.ok()) co_return ticket.status();  // The call stays open: a ticket was given, will be, or never.
  call.Return(ticket->substr(ticket->rfind('-') + 1));
  co_return absl::OkStatus();
}

Task<absl::Status> TakeAndRecordOften(std::string who, tandem::testing::History* history) {
  for (const Instant calm = Now() + absl::Minutes(1); Now() < calm;) {
    (void)co_await TakeAndRecord(who, history);
    co_await Pause(absl::Milliseconds(200));
  }
  co_return co_await TakeAndRecord(who, history);
}

SIM_TEST(Tickets, NumbersInOrder) {
  tandem::testing::History history(Now);
  world.AddServer("north", [] { return RunOffice("north"); });
  for (std::string name : {"ann", "bob", "eve"}) {
    world.AddClient(name, [&history, name] { return TakeAndRecordOften(name, &history); });
  }
  world.Inject(sim::Faults::Network());

  EXPECT_OK(world.RunClients(absl::Minutes(10)));
  EXPECT_OK(tandem::testing::CheckLinearizable(history.operations(), Numbers()));
}
// [end]

// [AnyOperationMayFail]
// Takes three tickets, which may fail or not.
Task<absl::Status> TakeThree(std::vector<std::string> offices, bool may_fail, Given* given) {
  for (int i = 0; i < 3; ++i) {
    const absl::Status taken = co_await TakeAndCheck("ann", offices, given);
    if (!may_fail) CO_ASSERT_OK(taken);
  }
  co_return absl::OkStatus();
}

// Runs once for each operation of ann, which fails then: alone, so that ann has to try again, or with all that come
// after it.
SIM_SWEEP(Tickets, AnyOperationMayFail, "ann") {
  Given given;
  for (std::string name : {"north", "south"}) {
    world.AddServer(name, [name] { return RunOffice(name); });
  }
  const sim::Scenario scenario = world.scenario();  // By --scenario it may have no failure.
  const bool all_fail = !scenario.failures.empty() && scenario.failures.front().and_after;
  world.AddClient("ann", [&] { return TakeThree({"north:7410", "south:7410"}, all_fail, &given); });

  EXPECT_OK(world.RunClients(absl::Minutes(1)));
}
// [end]

// [OneOfficeIsEnough]
SIM_TEST(Tickets, OneOfficeIsEnough) {
  sim::Host& north = world.AddHost("north", [] { return RunOffice("north"); });
  sim::Host& south = world.AddHost("south", [] { return RunOffice("south"); });
  Given given;
  sim::Host& ann = world.AddHost("ann", [&] { return RunClient("ann", {"north:7410", "south:7410"}, &given); });
  world.Inject(*sim::FaultPlan::Parse("partition north ann from 10s to 20s"));

  EXPECT_OK(world.RunFor(absl::Seconds(15)));
  EXPECT_THAT(given, ::testing::Contains(::testing::StartsWith("south-")));  // North cannot be reached.
  EXPECT_OK(world.RunFor(absl::Seconds(15)));
  south.Crash();  // And north is there again.
  const size_t before = given.size();
  EXPECT_OK(world.RunFor(absl::Seconds(10)));
  EXPECT_GT(given.size(), before);
  north.Kill();
  north.Restart(absl::Seconds(5));
  EXPECT_OK(world.RunUntilDone(ann, absl::Minutes(10)));
  EXPECT_EQ(north.restarts(), 1u);
}
// [end]

// [OutageTest]
// What both tests have: two offices that a supervisor starts again when they fail, and a client.
class OutageTest : public tandem::testing::SimFixture {
 public:
  static sim::WorldOptions Options() { return sim::WorldOptions().set_max_events(2'000'000); }

 protected:
  OutageTest() {
    for (std::string name : {"office-1", "office-2"}) {
      world.AddServer(name, [name] { return RunOffice(name); }).set_restart_policy(sim::RestartPolicy::kOnFailure);
    }
    world.AddClient("ann", [this] { return RunClient("ann", {"office-1:7410", "office-2:7410"}, &given_); });
    // Holds at all times: a ticket is of one of the offices.
    world.AfterEachStep([this]() -> absl::Status {
      if (given_.empty() || given_.begin()->starts_with("office-")) return absl::OkStatus();
      return absl::DataLossError(*given_.begin());
    });
  }

  Given given_;
};

SIM_TEST_F(OutageTest, ComesRightWhenAllIsWellAgain) {
  world.Inject(sim::Faults::All().Spare("ann"));
  EXPECT_OK(world.RunFor(absl::Seconds(20)));
  world.Partition({"ann"}, {"office-*"});
  EXPECT_OK(world.RunFor(absl::Seconds(10)));
  world.CrashAll("office-*");
  EXPECT_OK(world.RunFor(absl::Seconds(5)));

  const size_t before = given_.size();
  EXPECT_OK(world.HealAndExpect(absl::Seconds(30), "ann gets a ticket", [&] { return given_.size() > before; }));
  EXPECT_OK(world.RunClients(absl::Minutes(10)));
}

SIM_TEST_F(OutageTest, SurvivesAnUpgradeOfOneOfficeAfterTheOther) {
  for (sim::Host* office : world.HostsLike("office-*")) {
    EXPECT_OK(world.RunFor(absl::Seconds(5)));
    office->set_main([] { return RunOffice("office-new"); });
    office->DeliverSignal(SIGTERM);
    office->Restart();  // When the old one has drained.
    EXPECT_OK(world.RunUntil("the new one runs", [&] { return office->restarts() == 1; }, absl::Seconds(20)));
  }
  EXPECT_OK(world.RunClients(absl::Minutes(10)));
}
// [end]

// [DelayTest]
// One office, whose answers are held back for so many seconds: Take() has given up by then, or not yet.
class DelayTest : public tandem::testing::SimFixtureWithParam<int> {};

Task<absl::Status> TakeOne(size_t* taken) {
  const std::vector<std::string> offices = {"north:7410"};
  CO_ASSERT_OK_AND_ASSIGN(const std::string ticket, co_await Take("ann", offices));
  CO_ASSERT_THAT(ticket, ::testing::StartsWith("north-"));
  ++*taken;
  co_return absl::OkStatus();
}

SIM_TEST_P(DelayTest, AnAnswerThatIsNotTooLateCounts, 0, 1) {
  size_t taken = 0;
  world.AddServer("north", [] { return RunOffice("north"); });
  world.AddClient("ann", [&] { return TakeOne(&taken); });
  world.Hold("north", "ann");
  EXPECT_OK(world.RunFor(absl::Seconds(GetParam())));
  world.Release("north", "ann");

  EXPECT_OK(world.RunClients(absl::Minutes(1)));
  EXPECT_EQ(taken, 1u);
}
// [end]

}  // namespace
}  // namespace tickets
