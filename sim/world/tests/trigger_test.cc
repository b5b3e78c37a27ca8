// SPDX-License-Identifier: Apache-2.0
//
// Faults that begin with a call or a packet.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/site.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/core/runtime/run_blocking.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/network/link.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/schedule/schedule.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

constexpr uint16_t kPort = 7;
constexpr int kDatagrams = 10;

WorldOptions Options(uint64_t seed) { return WorldOptions().set_seed(seed).set_schedule(ScheduleKind::kFifo); }

// Sends ten datagrams in one turn, and notes how far it came.
struct Sender {
  int sent = 0;  // The program believes that it has sent so many.
  int starts = 0;
  std::set<std::string> received;
};

Task<absl::Status> Send(Sender* log) {
  ++log->starts;
  absl::StatusOr<tandem::UdpSocket> socket = tandem::UdpSocket::Bind(SocketAddress::AnyIpv4(0));
  if (!socket.ok()) co_return socket.status();
  const SocketAddress to = *HostAddress("receiver", kPort);
  for (int i = 0; i < kDatagrams; ++i) {
    const std::string text = absl::StrCat("run ", log->starts, " number ", i);
    const absl::Status status = co_await socket->SendTo(text, to);
    if (!status.ok()) co_return status;
    VisitSite("sent");
    ++log->sent;
  }
  co_return co_await Sleep(absl::Seconds(100));
}

Task<absl::Status> SendLater(Sender* log) {
  const absl::Status slept = co_await Sleep(absl::Seconds(3));
  if (!slept.ok()) co_return slept;
  co_return co_await Send(log);
}

Task<absl::Status> Receive(Sender* log) {
  absl::StatusOr<tandem::UdpSocket> socket = tandem::UdpSocket::Bind(SocketAddress::AnyIpv4(kPort));
  if (!socket.ok()) co_return socket.status();
  std::array<char, 100> buffer;
  while (true) {
    absl::StatusOr<ReceivedDatagram> datagram = co_await socket->ReceiveFrom(absl::MakeSpan(buffer));
    if (!datagram.ok()) co_return datagram.status();
    log->received.insert(std::string(buffer.data(), datagram->size));
  }
}

size_t CountOfRun(const Sender& log, int run) {
  size_t count = 0;
  for (const std::string& text : log.received) count += text.rfind(absl::StrCat("run ", run, " "), 0) == 0 ? 1 : 0;
  return count;
}

// What the sender gets out before `plan` ends its first run.
size_t SentBefore(const std::string& plan, Sender* log) {
  World world(Options(1));
  world.AddHost("receiver", [log] { return Receive(log); });
  world.AddHost("sender", [log] { return Send(log); });
  world.Inject(*FaultPlan::Parse(plan));
  EXPECT_TRUE(world.RunFor(absl::Seconds(5)).ok());
  EXPECT_GT(world.fault_hits(0), 0u) << plan;
  return CountOfRun(*log, 1);
}

TEST(TriggerTest, ACrashAtACallLetsOutExactlyWhatWasCalledBefore) {
  std::map<size_t, int> calls_with;  // By the count of datagrams that came out.
  size_t before = 0;
  for (int call = 1; call <= kDatagrams + 1; ++call) {
    Sender log;
    const size_t sent = SentBefore(absl::StrCat("crash sender at call ", call, " for 1s"), &log);
    EXPECT_GE(sent, before) << call;
    EXPECT_LE(sent, before + 1) << call;
    EXPECT_EQ(log.starts, 2) << call;
    EXPECT_EQ(CountOfRun(log, 2), size_t{kDatagrams}) << call;
    before = sent;
    ++calls_with[sent];
  }
  EXPECT_GT(calls_with.size(), 8u) << "the calls are not the sends";
}

TEST(TriggerTest, TheProgramIsNotToldOfASendThatIsNotOut) {
  for (const char* kind : {"crash", "kill"}) {
    for (int call = 1; call <= kDatagrams + 1; ++call) {
      Sender log;
      const size_t sent = SentBefore(absl::StrCat(kind, " sender at call ", call, " for 100s"), &log);
      EXPECT_EQ(static_cast<size_t>(log.sent), sent) << kind << " " << call;
      EXPECT_EQ(log.starts, 1);
    }
  }
}

TEST(TriggerTest, ACrashAtAVisitLetsOutWhatWasCalledBefore) {
  for (const char* kind : {"crash", "kill"}) {
    for (int visit = 1; visit <= kDatagrams; ++visit) {
      Sender log;
      EXPECT_EQ(SentBefore(absl::StrCat(kind, " sender at visit ", visit, " of \"sent\" for 1s"), &log),
                static_cast<size_t>(visit));
      EXPECT_EQ(log.starts, 2) << visit;
      EXPECT_EQ(CountOfRun(log, 2), size_t{kDatagrams}) << visit;
    }
  }
}

TEST(TriggerTest, VisitsAreCountedByHostAndSiteOverAllRuns) {
  Sender log;
  World world(Options(1));
  world.AddHost("receiver", [&] { return Receive(&log); });
  const Host& sender = world.AddHost("sender", [&] { return Send(&log); });
  const Host& other = world.AddHost("other", [&] { return Send(&log); });
  world.Inject(
      *FaultPlan::Parse("kill sender at visit 3 of \"sent\" for 1s\nkill sender at visit 13 of \"sent\" for 1s\n"
                        "kill sender at visit 1 of \"never\" for 1s\n"));
  EXPECT_TRUE(world.RunFor(absl::Seconds(5)).ok());
  EXPECT_EQ(sender.restarts(), 2u);
  EXPECT_EQ(sender.visits().at("sent"), 3u + 10u + 10u);
  EXPECT_EQ(other.restarts(), 0u);
  EXPECT_EQ(other.visits().at("sent"), uint64_t{kDatagrams});
  EXPECT_EQ(world.fault_hits(2), 0u);
}

Task<void> StepOften(int* steps) {
  for (;;) {
    ++*steps;
    VisitSite("step");
    const absl::Status yielded = co_await Yield();
    if (!yielded.ok()) co_return;
  }
}

Task<absl::Status> StepInTasks(int* steps) {
  for (int task = 0; task < 5; ++task) Spawn(&StepOften, steps);
  co_return co_await Sleep(absl::Seconds(100));
}

// Also where each task takes a step because a schedule has held one back for long.
TEST(TriggerTest, NoOtherTaskTakesAStepAfterAKill) {
  for (const ScheduleKind kind : {ScheduleKind::kFifo, ScheduleKind::kPos, ScheduleKind::kPct}) {
    for (int visit = 4080; visit < 4120; ++visit) {
      int steps = 0;
      World world(WorldOptions().set_seed(1).set_schedule(kind));
      world.AddHost("host", [&] { return StepInTasks(&steps); });
      world.Inject(*FaultPlan::Parse(absl::StrCat("kill host at visit ", visit, " of \"step\" for 100s")));
      ASSERT_TRUE(world.RunFor(absl::Seconds(1)).ok());
      EXPECT_EQ(steps, visit) << ScheduleName(kind);
    }
  }
}

Task<absl::Status> WorkAndVisit(int* after) {
  static_cast<void>(co_await RunBlocking([after] {
    VisitSite("in.work");
    ++*after;
  }));
  ++*after;
  co_return co_await Sleep(absl::Seconds(100));
}

TEST(TriggerTest, BlockingWorkThatVisitsGoesToItsEnd) {
  int after = 0;
  World world(Options(1));
  const Host& host = world.AddHost("host", [&] { return WorkAndVisit(&after); });
  world.Inject(*FaultPlan::Parse("kill host at visit 1 of \"in.work\" for 100s"));
  EXPECT_TRUE(world.RunFor(absl::Seconds(5)).ok());
  EXPECT_FALSE(host.alive());
  EXPECT_EQ(after, 1);
}

TEST(TriggerTest, AVisitOutsideOfAWorldOrAHostIsNothing) {
  VisitSite("nowhere");
  World world(Options(1));
  VisitSite("in the test");
  EXPECT_EQ(world.hosts().size(), 0u);
}

TEST(TriggerTest, ACallThatNeverComesTriggersNothing) {
  Sender log;
  World world(Options(1));
  world.AddHost("receiver", [&] { return Receive(&log); });
  world.AddHost("sender", [&] { return Send(&log); });
  world.Inject(*FaultPlan::Parse("crash sender at call 1000000 for 1s"));
  EXPECT_TRUE(world.RunFor(absl::Seconds(5)).ok());
  EXPECT_EQ(world.fault_hits(0), 0u);
  EXPECT_EQ(log.starts, 1);
}

TEST(TriggerTest, ALossBeginsWithItsPacket) {
  for (uint64_t packet = 1; packet <= kDatagrams; ++packet) {
    Sender log;
    EXPECT_EQ(SentBefore(absl::StrCat("loss sender receiver at packet ", packet, " for 1s strength 1000000"), &log),
              packet - 1);
  }
}

TEST(TriggerTest, AClogHoldsDatagramsBackUntilItsEnd) {
  Sender log;
  World world(Options(1));
  world.AddHost("receiver", [&] { return Receive(&log); });
  world.AddHost("sender", [&] { return Send(&log); });
  world.Inject(*FaultPlan::Parse("clog sender receiver from 0s to 3s"));
  EXPECT_TRUE(world.RunFor(absl::Seconds(2.9)).ok());
  EXPECT_EQ(log.sent, kDatagrams);
  EXPECT_TRUE(log.received.empty());
  EXPECT_TRUE(world.RunFor(absl::Seconds(1)).ok());
  EXPECT_EQ(log.received.size(), size_t{kDatagrams});
}

TEST(TriggerTest, ItEndsAfterItsTimeAndNotLaterThanItSays) {
  for (const char* end : {"for 2s", "for 100s before 2s"}) {
    Sender log;
    World world(Options(1));
    world.AddHost("receiver", [&] { return Receive(&log); });
    Host& sender = world.AddHost("sender", [&] { return Send(&log); });
    world.Inject(*FaultPlan::Parse(absl::StrCat("kill sender at call 3 ", end)));
    EXPECT_TRUE(world.RunFor(absl::Milliseconds(1990)).ok());
    EXPECT_FALSE(sender.alive()) << end;
    EXPECT_TRUE(world.RunFor(absl::Milliseconds(20)).ok());
    EXPECT_TRUE(sender.alive()) << end;
  }
}

TEST(TriggerTest, ItDoesNotBeginAfterItsLatestTime) {
  Sender log;
  World world(Options(1));
  world.AddHost("receiver", [&] { return Receive(&log); });
  Host& sender = world.AddHost("sender", [&] { return SendLater(&log); });
  world.Inject(*FaultPlan::Parse("kill sender at call 3 for 1s before 2s"));
  EXPECT_TRUE(world.RunFor(absl::Seconds(6)).ok());
  EXPECT_TRUE(sender.alive());
  EXPECT_EQ(world.fault_hits(0), 0u);
}

TEST(TriggerTest, OverlappingStopsAddUp) {
  Sender log;
  World world(Options(1));
  world.AddHost("receiver", [&] { return Receive(&log); });
  Host& sender = world.AddHost("sender", [&] { return Send(&log); });
  world.Inject(*FaultPlan::Parse("crash sender from 1s to 3s\ncrash sender from 2s to 10s"));
  EXPECT_TRUE(world.RunFor(absl::Seconds(4)).ok());
  EXPECT_FALSE(sender.alive());
  EXPECT_TRUE(world.RunFor(absl::Seconds(7)).ok());
  EXPECT_TRUE(sender.alive());
}

TEST(TriggerTest, ALinkFollowsItsConditionsAgainAfterAFault) {
  Sender log;
  World world(Options(1));
  Host& receiver = world.AddHost("receiver", [&] { return Receive(&log); });
  Host& sender = world.AddHost("sender", [&] { return Send(&log); });
  world.Inject(*FaultPlan::Parse("latency sender receiver from 0s to 1s strength 1000000"));
  EXPECT_TRUE(world.RunFor(absl::Seconds(2)).ok());
  LinkConditions slow;
  slow.latency = LatencyDistribution::Fixed(50'000'000);
  world.network().SetDefaultConditions(slow);
  EXPECT_EQ(world.network().conditions(sender.stack(), receiver.stack()).latency.median_ns, 50'000'000);
}

}  // namespace
}  // namespace tandem::sim
