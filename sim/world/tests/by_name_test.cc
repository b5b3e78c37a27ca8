// SPDX-License-Identifier: Apache-2.0
//
// What a test does to hosts and links by name, and what becomes of hosts that end.

#include <csignal>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/network/link.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/process.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

using Datagrams = ::tandem::UdpSocket;

constexpr uint16_t kPort = 9;

Task<absl::Status> SleepForever() { co_return co_await SleepUntil(Instant::InfiniteFuture()); }

// --- Hosts that send each other a datagram every 10 ms, and note when they last heard from each. ---

using Heard = std::map<std::string, Instant>;  // "from>to".

Task<void> Receive(Datagrams* socket, Heard* heard) {
  for (;;) {
    char bytes[16];
    absl::StatusOr<ReceivedDatagram> received = co_await socket->ReceiveFrom(absl::MakeSpan(bytes));
    if (!received.ok()) co_return;
    (*heard)[absl::StrCat(absl::string_view(bytes, received->size), ">", Process::Current()->name())] = Now();
  }
}

Task<absl::Status> Chat(Heard* heard) {
  absl::StatusOr<Datagrams> socket = Datagrams::Bind(SocketAddress::AnyIpv4(kPort));
  if (!socket.ok()) co_return socket.status();
  Spawn(&Receive, &*socket, heard);
  const std::string self = Process::Current()->name();
  for (;;) {
    for (const auto& host : World::Current()->hosts()) {
      if (host->name() != self) (void)co_await socket->SendTo(self, host->address(kPort));
    }
    absl::Status slept = co_await Sleep(absl::Milliseconds(10));
    if (!slept.ok()) co_return slept;
  }
}

class ByNameTest : public ::testing::Test {
 protected:
  ByNameTest() {
    for (const char* name : {"a1", "a2", "b"}) world_.AddHost(name, [this] { return Chat(&heard_); });
  }
  // Who hears whom in the second after the next 100 ms.
  std::string WhoHears() {
    EXPECT_TRUE(world_.RunFor(absl::Milliseconds(100)).ok());
    heard_.clear();
    EXPECT_TRUE(world_.RunFor(absl::Seconds(1)).ok());
    std::string text;
    for (const auto& [pair, time] : heard_) absl::StrAppend(&text, text.empty() ? "" : " ", pair);
    return text;
  }

  Heard heard_;
  World world_;
};

constexpr absl::string_view kAll = "a1>a2 a1>b a2>a1 a2>b b>a1 b>a2";

TEST_F(ByNameTest, APartitionCutsBothDirectionsUntilHeal) {
  EXPECT_EQ(WhoHears(), kAll);
  world_.Partition({"a1"}, {"a2", "b"});
  EXPECT_EQ(WhoHears(), "a2>b b>a2");
  world_.Heal();
  EXPECT_EQ(WhoHears(), kAll);
}

TEST_F(ByNameTest, APartitionOneWayCutsOneDirection) {
  world_.PartitionOneWay({"a*"}, {"b"});
  EXPECT_EQ(WhoHears(), "a1>a2 a2>a1 b>a1 b>a2");
}

TEST_F(ByNameTest, WhoIsIsolatedHearsNobody) {
  world_.Isolate("a?");
  EXPECT_EQ(WhoHears(), "a1>a2 a2>a1");
  world_.Heal();
  world_.Isolate("b");
  world_.Isolate("a1");
  EXPECT_EQ(WhoHears(), "");
}

TEST_F(ByNameTest, WhatWasInjectedAndWhatWasDoneByNameDoNotEndEachOther) {
  world_.Inject(*FaultPlan::Parse("partition a1 b from 0s to 3s"));
  world_.Partition({"a1"}, {"a2"});
  EXPECT_EQ(WhoHears(), "a2>b b>a2");
  world_.Heal();  // 1.1 s.
  EXPECT_EQ(WhoHears(), "a1>a2 a2>a1 a2>b b>a2");
  world_.Partition({"a1"}, {"b"});
  EXPECT_TRUE(world_.RunFor(absl::Seconds(1)).ok());
  EXPECT_EQ(WhoHears(), "a1>a2 a2>a1 a2>b b>a2");  // The plan has ended.
  world_.Heal();
  EXPECT_EQ(WhoHears(), kAll);
}

TEST_F(ByNameTest, PatternsNameHosts) {
  EXPECT_EQ(world_.HostsLike("*").size(), 3u);
  EXPECT_EQ(world_.HostsLike("a*").size(), 2u);
  EXPECT_EQ(world_.HostsLike("?2").size(), 1u);
  EXPECT_EQ(world_.HostsLike("*a*2*").size(), 1u);
}

TEST_F(ByNameTest, ManyAreCrashedKilledAndRestartedByAPattern) {
  EXPECT_TRUE(world_.RunFor(absl::Seconds(1)).ok());
  world_.CrashAll("a*");
  world_.KillAll("b");
  EXPECT_FALSE(world_.hosts()[0]->stack().up());
  EXPECT_FALSE(world_.hosts()[1]->stack().up());
  EXPECT_TRUE(world_.hosts()[2]->stack().up());
  EXPECT_EQ(WhoHears(), "");
  world_.RestartAll("*", absl::Milliseconds(50));
  EXPECT_EQ(WhoHears(), kAll);
  for (const auto& host : world_.hosts()) EXPECT_EQ(host->restarts(), 1u);
}

void NameAnother(void (*call)(World& world)) {
  World world;
  world.AddHost("a1", &SleepForever);
  world.AddHost("b", &SleepForever);
  call(world);
}

TEST(ByNameDeathTest, WhatALineOfAScenarioCouldNotSayIsNoName) {
  for (const char* name : {"", "a b", "a,b", "*", "from", "to", "at"}) {
    EXPECT_DEATH(World().AddHost(name, &SleepForever), "not a name for a host: ");
  }
}

TEST(ByNameDeathTest, AnUnknownNameIsAnErrorThatListsTheHosts) {
  EXPECT_DEATH(NameAnother([](World& world) { world.Partition({"a1"}, {"c"}); }),
               "no host is called c; there are: a1, b");
  EXPECT_DEATH(NameAnother([](World& world) { world.CrashAll("c*"); }), "no host is called c\\*; there are: a1, b");
}

// --- Hold and release ---

Task<absl::Status> SendNumbers(SocketAddress to) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(to);
  if (!stream.ok()) co_return stream.status();
  for (char number = 0; number < 100; ++number) {
    IoResult written = co_await stream->WriteAll(absl::string_view(&number, 1));
    if (!written.ok()) co_return written.status;
    absl::Status slept = co_await Sleep(absl::Milliseconds(1));
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> TakeNumbers(std::vector<std::pair<int, Instant>>* taken) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  absl::StatusOr<TcpStream> stream = co_await listener->Accept();
  if (!stream.ok()) co_return stream.status();
  for (;;) {
    char number = 0;
    absl::StatusOr<size_t> count = co_await stream->Read(absl::MakeSpan(&number, 1));
    if (!count.ok() || *count == 0) co_return count.status();
    taken->emplace_back(number, Now());
  }
}

TEST(HoldTest, WhatIsHeldArrivesInOrderWhenItIsReleased) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    World world(WorldOptions().set_seed(seed));
    std::vector<std::pair<int, Instant>> taken;
    Host& receiver = world.AddHost("receiver", [&] { return TakeNumbers(&taken); });
    world.AddHost("sender", [&] { return SendNumbers(receiver.address(kPort)); });
    ASSERT_TRUE(world.RunUntil([&] { return taken.size() == 10; }, absl::Seconds(1)).ok());

    world.Hold("sender", "receiver");
    ASSERT_TRUE(world.RunFor(absl::Milliseconds(50)).ok());
    EXPECT_EQ(taken.size(), 10u);
    const Instant released = world.Now();
    world.Release("sender", "receiver");

    ASSERT_EQ(world.RunUntilDone(receiver, absl::Seconds(10)), absl::OkStatus());
    ASSERT_EQ(taken.size(), 100u);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(taken[static_cast<size_t>(i)].first, i);
    EXPECT_EQ(taken[10].second, released);
    EXPECT_EQ(world.network().statistics().packets_lost, 0u);
  }
}

Task<absl::Status> SendDatagrams(SocketAddress to) {
  absl::StatusOr<Datagrams> socket = Datagrams::Bind(SocketAddress::AnyIpv4(kPort));
  if (!socket.ok()) co_return socket.status();
  for (char number = 0; number < 20; ++number) {
    absl::Status sent = co_await socket->SendTo(absl::string_view(&number, 1), to);
    if (!sent.ok()) co_return sent;
  }
  co_return co_await SleepForever();
}

Task<absl::Status> TakeDatagrams(std::string* taken) {
  absl::StatusOr<Datagrams> socket = Datagrams::Bind(SocketAddress::AnyIpv4(kPort));
  if (!socket.ok()) co_return socket.status();
  for (;;) {
    char number = 0;
    absl::StatusOr<ReceivedDatagram> received = co_await socket->ReceiveFrom(absl::MakeSpan(&number, 1));
    if (!received.ok()) co_return received.status();
    taken->push_back(number);
  }
}

TEST(HoldTest, WhatIsOnItsWayIsHeldTooAndHealReleasesIt) {
  World world;
  std::string taken;
  Host& b = world.AddHost("b", [&] { return TakeDatagrams(&taken); });
  world.AddHost("a", [&] { return SendDatagrams(b.address(kPort)); });
  ASSERT_TRUE(world.RunFor(absl::Nanoseconds(1)).ok());  // They are sent, and take 50 us and more.
  world.Hold("a", "b");
  ASSERT_TRUE(world.RunFor(absl::Seconds(1)).ok());
  EXPECT_EQ(taken, "");
  world.Heal();
  ASSERT_TRUE(world.RunFor(absl::Nanoseconds(1)).ok());
  ASSERT_EQ(taken.size(), 20u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(taken[static_cast<size_t>(i)], i);
}

Task<absl::Status> SendADatagramEachMillisecond(SocketAddress to) {
  absl::StatusOr<Datagrams> socket = Datagrams::Bind(SocketAddress::AnyIpv4(0));
  if (!socket.ok()) co_return socket.status();
  for (char number = 0; number < 20; ++number) {
    absl::Status sent = co_await socket->SendTo(absl::string_view(&number, 1), to);
    if (sent.ok()) sent = co_await Sleep(absl::Milliseconds(1));
    if (!sent.ok()) co_return sent;
  }
  co_return absl::OkStatus();
}

TEST(HoldTest, WhatArrivesAtTheInstantOfTheReleaseComesBehind) {
  World world;
  std::string taken;
  Host& b = world.AddHost("b", [&] { return TakeDatagrams(&taken); });
  Host& a = world.AddHost("a", [&] { return SendADatagramEachMillisecond(b.address(kPort)); });
  LinkConditions conditions;
  conditions.latency = LatencyDistribution::Fixed(3'000'000);
  world.network().SetConditions(a.stack(), b.stack(), conditions);
  world.After(absl::Milliseconds(5), [&] { world.Hold("a", "b"); });
  world.After(absl::Milliseconds(10), [&] { world.Release("a", "b"); });
  ASSERT_TRUE(world.RunFor(absl::Seconds(1)).ok());
  ASSERT_EQ(taken.size(), 20u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(taken[static_cast<size_t>(i)], i);
}

// --- Another program, and restart policies ---

Task<absl::Status> NoteAndSleep(std::string* versions, char version) {
  versions->push_back(version);
  co_return co_await SleepForever();
}

TEST(UpgradeTest, ARestartRunsTheProgramThatWasSet) {
  World world;
  std::string versions;
  Host& host = world.AddHost("host", [&] { return NoteAndSleep(&versions, '1'); });
  ASSERT_TRUE(world.RunFor(absl::Seconds(1)).ok());
  host.set_main([&] { return NoteAndSleep(&versions, '2'); });
  ASSERT_TRUE(world.RunFor(absl::Seconds(1)).ok());
  EXPECT_EQ(versions, "1");

  host.DeliverSignal(SIGTERM);
  host.Restart();
  ASSERT_TRUE(world.RunFor(absl::Seconds(1)).ok());

  EXPECT_EQ(versions, "12");
  EXPECT_TRUE(host.alive());
}

// Lives for a second each time. Returns how often it was started in 5.5 s.
uint32_t StartsUnder(RestartPolicy policy, absl::Status status, absl::Duration delay = absl::ZeroDuration()) {
  World world;
  Host& host = world.AddHost("host", [status]() -> Task<absl::Status> {
    return [](absl::Status status) -> Task<absl::Status> {
      absl::Status slept = co_await Sleep(absl::Seconds(1));
      if (!slept.ok()) co_return slept;
      co_return status;
    }(status);
  });
  host.set_restart_policy(policy, delay);
  EXPECT_TRUE(world.RunFor(absl::Milliseconds(5500)).ok());
  return host.restarts() + 1;
}

TEST(RestartPolicyTest, SaysWhatStartsAgain) {
  const absl::Status error = absl::InternalError("broken");
  EXPECT_EQ(StartsUnder(RestartPolicy::kNever, error), 1u);
  EXPECT_EQ(StartsUnder(RestartPolicy::kOnFailure, absl::OkStatus()), 1u);
  EXPECT_EQ(StartsUnder(RestartPolicy::kOnFailure, error), 6u);
  EXPECT_EQ(StartsUnder(RestartPolicy::kAlways, absl::OkStatus()), 6u);
  EXPECT_EQ(StartsUnder(RestartPolicy::kAlways, error, absl::Seconds(1)), 3u);
}

TEST(RestartPolicyTest, AKillIsAFailureAndAStopIsNone) {
  World world;
  Host& killed = world.AddHost("killed", &SleepForever);
  Host& stopped = world.AddHost("stopped", &SleepForever);
  Host& crashed = world.AddHost("crashed", &SleepForever);
  for (Host* host : {&killed, &stopped, &crashed}) host->set_restart_policy(RestartPolicy::kOnFailure);
  ASSERT_TRUE(world.RunFor(absl::Seconds(1)).ok());
  killed.DeliverSignal(SIGKILL);
  stopped.DeliverSignal(SIGTERM);
  crashed.Crash();
  ASSERT_TRUE(world.RunFor(absl::Seconds(1)).ok());
  EXPECT_TRUE(killed.alive());
  EXPECT_FALSE(stopped.alive());
  EXPECT_FALSE(crashed.alive());  // Nobody is there who could start it.
}

}  // namespace
}  // namespace tandem::sim
