// SPDX-License-Identifier: Apache-2.0
//
// Runs of a program: their turns, what stops them, and what the next one does not have of the last.

#include "tandem/sim/world/process.h"

#include <array>
#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/runtime/run_blocking.h"
#include "tandem/core/runtime/signal_listener.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/schedule/schedule.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

Task<absl::Status> DozeFor(absl::Duration duration) { co_return co_await Sleep(duration); }
Task<absl::Status> SleepForever() { co_return co_await SleepUntil(Instant::InfiniteFuture()); }

Task<absl::Status> YieldFor(absl::Duration duration, Instant* end) {
  const Instant start = Now();
  while (Now() < start + duration) {
    absl::Status yielded = co_await Yield();
    if (!yielded.ok()) co_return yielded;
  }
  *end = Now();
  co_return absl::OkStatus();
}

// --- Turns ---

TEST(ProcessTest, AHostThatYieldsGetsThereInSmallSteps) {
  World world;
  Instant end = Instant::InfiniteFuture();
  Host& host = world.AddHost("host", [&end] { return YieldFor(absl::Milliseconds(1), &end); });

  for (int step = 0; step < 40; ++step) ASSERT_TRUE(world.RunFor(absl::Microseconds(50)).ok());

  EXPECT_EQ(host.status(), absl::OkStatus());
  EXPECT_GE(end, Instant() + absl::Milliseconds(1));
  EXPECT_LE(end, Instant() + absl::Milliseconds(1) + absl::Microseconds(100));
}

Task<void> Echo(TcpStream stream) {
  std::array<char, 64> bytes;
  for (;;) {
    absl::StatusOr<size_t> count = co_await stream.Read(absl::MakeSpan(bytes));
    if (!count.ok() || *count == 0) co_return;
    const IoResult written = co_await stream.WriteAll(absl::string_view(bytes.data(), *count));
    if (!written.ok()) co_return;
  }
}

Task<absl::Status> Serve() {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(7));
  if (!listener.ok()) co_return listener.status();
  for (;;) {
    absl::StatusOr<TcpStream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return stream.status();
    Spawn(&Echo, *std::move(stream));
  }
}

Task<void> PingForever(SocketAddress server, uint64_t* pings) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(server);
  char byte = 'x';
  while (stream.ok()) {
    const IoResult written = co_await stream->WriteAll(absl::string_view(&byte, 1));
    if (!written.ok()) co_return;
    absl::StatusOr<size_t> count = co_await stream->Read(absl::MakeSpan(&byte, 1));
    if (!count.ok() || *count == 0) co_return;
    ++*pings;
  }
}

Task<absl::Status> PingOnManyConnections(int connections, uint64_t* pings) {
  absl::StatusOr<SocketAddress> server = HostAddress("server", 7);
  if (!server.ok()) co_return server.status();
  for (int i = 0; i < connections; ++i) Spawn(&PingForever, *server, pings);
  co_return co_await SleepForever();
}

TEST(ProcessTest, YieldingBesideManyConnectionsIsNoLivelock) {
  World world(WorldOptions().set_max_events(10'000'000));
  uint64_t pings = 0;
  Instant end = Instant::InfiniteFuture();
  world.AddHost("server", &Serve);
  world.AddHost("client", [&pings] { return PingOnManyConnections(100, &pings); });
  Host& yields = world.AddHost("yields", [&end] { return YieldFor(absl::Milliseconds(50), &end); });

  EXPECT_EQ(world.RunUntilDone(yields, absl::Seconds(1)), absl::OkStatus());

  EXPECT_LE(end, Instant() + absl::Milliseconds(51));
  EXPECT_GT(pings, 5'000u);
  // A thousand turns for each 100 us of its own, and what the others do.
  EXPECT_LT(world.events(), 500'000u + 20u * pings + 10'000u);
}

TEST(ProcessTest, TenMinutesOfManyConnectionsAreNoLivelock) {
  World world;
  uint64_t pings = 0;
  world.AddHost("server", &Serve);
  world.AddHost("client", [&pings] { return PingOnManyConnections(100, &pings); });

  ASSERT_TRUE(world.RunFor(absl::Milliseconds(100)).ok());

  EXPECT_GT(pings, 10'000u);
  EXPECT_LT(world.events() * 6000, WorldOptions().max_events());
}

TEST(ProcessTest, YieldingForEverIsALivelockBesideOthersToo) {
  World world;
  uint64_t pings = 0;
  Instant end;
  world.AddHost("server", &Serve);
  world.AddHost("client", [&pings] { return PingOnManyConnections(3, &pings); });
  Host& yields = world.AddHost("yields", [&end] { return YieldFor(absl::Hours(1), &end); });

  const absl::Status status = world.RunUntilDone(yields, absl::Hours(1));

  EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "turns of host yields")) << status;
}

// --- Where a program runs ---

Task<absl::Status> TellWhere(std::string* name, uint32_t* run) {
  *name = Process::Current()->name();
  *run = Process::Current()->run();
  absl::StatusOr<bool> same = co_await RunBlocking([] { return Host::Current()->name() == "there"; });
  if (!same.ok()) co_return same.status();
  if (!*same) co_return absl::InternalError("blocking work runs elsewhere");
  co_return absl::OkStatus();
}

TEST(ProcessTest, AProgramKnowsWhereItRuns) {
  EXPECT_EQ(Process::Current(), nullptr);
  World world;
  std::string name;
  uint32_t run = 7;
  Host& host = world.AddHost("there", [&] { return TellWhere(&name, &run); });
  ASSERT_EQ(world.RunUntilDone(host, absl::Seconds(1)), absl::OkStatus());
  EXPECT_EQ(name, "there");
  EXPECT_EQ(run, 0u);
  EXPECT_EQ(Process::Current(), nullptr);
  EXPECT_EQ(Host::Current(), nullptr);

  host.Restart();
  ASSERT_TRUE(world.RunFor(absl::Seconds(1)).ok());
  EXPECT_EQ(run, 1u);
}

// --- Each run has a schedule of its own ---

Task<void> Append(std::vector<int>* order, int number) {
  (void)co_await Sleep(absl::Milliseconds(1));
  order->push_back(number);
}

Task<absl::Status> SpawnTenTasks(std::vector<std::vector<int>>* orders) {
  std::vector<int>* const order = &orders->emplace_back();
  for (int number = 0; number < 10; ++number) Spawn(&Append, order, number);
  co_return co_await Sleep(absl::Milliseconds(2));
}

TEST(ProcessTest, EachRunOrdersItsTasksAnew) {
  for (const ScheduleKind kind : {ScheduleKind::kRandom, ScheduleKind::kPct}) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      World world(WorldOptions().set_seed(seed).set_schedule(kind));
      std::vector<std::vector<int>> orders;
      orders.reserve(2);
      Host& host = world.AddHost("host", [&orders] { return SpawnTenTasks(&orders); });
      ASSERT_TRUE(world.RunUntilDone(host, absl::Seconds(1)).ok());
      host.Restart();
      ASSERT_TRUE(world.RunFor(absl::Seconds(1)).ok());
      ASSERT_EQ(orders.size(), 2u);
      EXPECT_NE(orders[0], orders[1]) << ScheduleName(kind) << ", seed " << seed;
    }
  }
}

// --- Stops that overlap ---

// When `host` is up, in seconds, of the whole seconds and a half until `end`.
std::string UpAt(World& world, Host& host, int end) {
  std::string text;
  (void)world.RunFor(absl::Milliseconds(500));
  for (int second = 0; second < end; ++second) {
    text += host.alive() ? 'u' : host.stack().up() ? 'k' : 'c';
    (void)world.RunFor(absl::Seconds(1));
  }
  return text;
}

std::string UpUnder(absl::string_view plan) {
  World world;
  Host& host = world.AddHost("a", &SleepForever);
  world.Inject(*FaultPlan::Parse(plan));
  return UpAt(world, host, 12);
}

TEST(ProcessTest, OverlappingStopsCombine) {
  EXPECT_EQ(UpUnder("crash a from 1s to 3s"), "uccuuuuuuuuu");
  EXPECT_EQ(UpUnder("crash a from 1s to 3s\ncrash a from 2s to 10s"), "ucccccccccuu");
  EXPECT_EQ(UpUnder("crash a from 1s to 10s\ncrash a from 2s to 3s"), "ucccccccccuu");
  EXPECT_EQ(UpUnder("kill a from 1s to 3s\nkill a from 2s to 5s"), "ukkkkuuuuuuu");
  EXPECT_EQ(UpUnder("kill a from 1s to 6s\ncrash a from 2s to 4s"), "ukcckkuuuuuu");
  EXPECT_EQ(UpUnder("crash a from 1s to 3s\nkill a from 2s to 5s"), "ucckkuuuuuuu");
}

TEST(ProcessTest, WhoStandsStillCanBeKilled) {
  EXPECT_EQ(UpUnder("pause a from 1s to 6s\nkill a from 2s to 3s"), "uukkkkuuuuuu");
  EXPECT_EQ(UpUnder("pause a from 1s to 6s\nkill a from 2s to 6s"), "uukkkkuuuuuu");
  EXPECT_EQ(UpUnder("pause a from 1s to 6s\nkill a from 2s to 8s"), "uukkkkkkuuuu");
}

TEST(ProcessTest, ASigtermWaitsForTheEndOfAPause) {
  World world;
  Host& host = world.AddHost("a", &SleepForever);
  world.Inject(*FaultPlan::Parse("pause a from 1s to 6s\nterminate a from 2s to 3s"));
  ASSERT_TRUE(world.RunFor(absl::Milliseconds(5900)).ok());
  EXPECT_EQ(host.restarts(), 0u);
  ASSERT_TRUE(world.RunFor(absl::Seconds(1)).ok());
  EXPECT_TRUE(host.alive());
  EXPECT_EQ(host.restarts(), 1u);
}

TEST(ProcessTest, ARestartOfTheTestWaitsForTheFaultsThatHold) {
  World world;
  Host& host = world.AddHost("a", &SleepForever);
  world.Inject(*FaultPlan::Parse("crash a from 1s to 5s"));
  world.After(absl::Seconds(2), [&] { host.Restart(); });
  EXPECT_EQ(UpAt(world, host, 8), "uccccuuu");
  EXPECT_EQ(host.restarts(), 1u);
}

TEST(ProcessTest, ACrashOfTheTestHoldsWhenAFaultEnds) {
  World world;
  Host& host = world.AddHost("a", &SleepForever);
  world.Inject(*FaultPlan::Parse("kill a from 1s to 3s"));
  world.After(absl::Seconds(2), [&] { host.Crash(); });
  world.After(absl::Seconds(6), [&] { host.Restart(); });
  EXPECT_EQ(UpAt(world, host, 8), "ukccccuu");
}

TEST(ProcessTest, RestartsDoNotReplaceEachOther) {
  World world;
  Host& host = world.AddHost("a", &SleepForever);
  world.After(absl::Seconds(1), [&] {
    host.Kill();
    host.Restart(absl::Seconds(1));
    host.Restart(absl::Seconds(10));
  });
  EXPECT_EQ(UpAt(world, host, 4), "ukuu");
}

Task<absl::Status> DrainSlowly() {
  (void)co_await SleepForever();
  co_return co_await Shield(absl::Seconds(5), DozeFor(absl::Seconds(2)));
}

TEST(ProcessTest, ARestartOfAProcessThatDrainsStartsTheNextAfterIt) {
  World world;
  Host& host = world.AddHost("a", &DrainSlowly);
  world.After(absl::Seconds(1), [&] {
    host.DeliverSignal(SIGTERM);
    host.Restart(absl::Seconds(1));
  });
  ASSERT_TRUE(world.RunFor(absl::Milliseconds(2500)).ok());
  EXPECT_TRUE(host.alive());
  EXPECT_EQ(host.restarts(), 0u);
  ASSERT_TRUE(world.RunFor(absl::Seconds(2)).ok());
  EXPECT_TRUE(host.alive());
  EXPECT_EQ(host.restarts(), 1u);
}

TEST(ProcessTest, WhoIsKilledWhileItDrainsStartsNoEarlierThanTheSigtermSays) {
  for (const char* stop : {"kill", "crash"}) {
    World world;
    Host& host = world.AddHost("a", &DrainSlowly);
    world.Inject(*FaultPlan::Parse(absl::StrCat("terminate a from 1s to 8s\n", stop, " a from 1.2s to 1.4s")));
    EXPECT_EQ(UpAt(world, host, 10), "ukkkkkkkuu");
  }
}

TEST(ProcessTest, ACrashBeforeTheStartHoldsItBack) {
  World world;
  Host& host = world.AddHost("a", &SleepForever);
  host.Crash();
  host.Restart(absl::Seconds(2));
  EXPECT_EQ(UpAt(world, host, 4), "ccuu");
}

TEST(ProcessTest, AFaultDoesNotStartWhatHasEndedByItself) {
  World world;
  Host& host = world.AddHost("a", []() -> Task<absl::Status> { co_return absl::OkStatus(); });
  world.Inject(*FaultPlan::Parse("crash a from 1s to 3s\nkill a from 4s to 5s"));
  EXPECT_EQ(UpAt(world, host, 6), "kcckkk");
  EXPECT_EQ(host.restarts(), 0u);
  EXPECT_EQ(host.status(), absl::OkStatus());
}

Task<absl::Status> NoteTime(std::vector<Instant>* times) {
  for (;;) {
    times->push_back(Now());
    absl::Status slept = co_await Sleep(absl::Seconds(1));
    if (!slept.ok()) co_return slept;
  }
}

TEST(ProcessTest, APauseHoldsForTheNextProcessToo) {
  World world;
  std::vector<Instant> times;
  Host& host = world.AddHost("a", [&times] { return NoteTime(&times); });
  world.Inject(*FaultPlan::Parse("pause a from 0.5s to 6s\ncrash a from 2s to 3s"));

  ASSERT_TRUE(world.RunFor(absl::Milliseconds(7500)).ok());

  EXPECT_EQ(times, (std::vector<Instant>{Instant(), Instant() + absl::Seconds(6), Instant() + absl::Seconds(7)}));
  EXPECT_EQ(host.restarts(), 1u);
}

// --- Stop signals ---

TEST(ProcessTest, AStopSignalStopsAndSigcontContinues) {
  for (const int signal : {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU}) {
    World world;
    std::vector<Instant> times;
    Host& host = world.AddHost("a", [&times] { return NoteTime(&times); });
    world.After(absl::Milliseconds(1500), [&] { host.DeliverSignal(signal); });
    world.After(absl::Milliseconds(2500), [&] {
      EXPECT_TRUE(host.alive());
      EXPECT_TRUE(host.paused());
    });
    world.After(absl::Milliseconds(4500), [&] { host.DeliverSignal(SIGCONT); });

    ASSERT_TRUE(world.RunFor(absl::Seconds(5)).ok());

    ASSERT_EQ(times.size(), 3u) << signal;
    EXPECT_EQ(times[2], Instant() + absl::Milliseconds(4500));
    EXPECT_FALSE(host.paused());
  }
}

Task<absl::Status> StopSelf(std::vector<Instant>* times) {
  World::Current()->FindHost("a")->DeliverSignal(SIGSTOP);
  times->push_back(Now());  // It finishes its turn.
  absl::Status slept = co_await Sleep(absl::Milliseconds(100));
  times->push_back(Now());
  co_return slept;
}

TEST(ProcessTest, AProcessThatStopsItselfFinishesItsTurn) {
  World world;
  std::vector<Instant> times;
  Host& host = world.AddHost("a", [&times] { return StopSelf(&times); });
  ASSERT_TRUE(world.RunFor(absl::Milliseconds(500)).ok());
  EXPECT_TRUE(host.paused());
  host.DeliverSignal(SIGCONT);
  EXPECT_EQ(world.RunUntilDone(host, absl::Seconds(1)), absl::OkStatus());
  EXPECT_EQ(times, (std::vector<Instant>{Instant(), Instant() + absl::Milliseconds(500)}));
}

TEST(ProcessTest, AStoppedProcessDiesOfSigkillAtOnceAndOfOthersWhenItGoesOn) {
  World world;
  Host& killed = world.AddHost("killed", &SleepForever);
  Host& hung_up = world.AddHost("hung-up", &SleepForever);
  world.After(absl::Seconds(1), [&] {
    for (Host* host : {&killed, &hung_up}) host->DeliverSignal(SIGSTOP);
    killed.DeliverSignal(SIGKILL);
    hung_up.DeliverSignal(SIGHUP);
  });
  ASSERT_TRUE(world.RunFor(absl::Seconds(2)).ok());
  EXPECT_FALSE(killed.alive());
  EXPECT_TRUE(hung_up.alive());
  hung_up.DeliverSignal(SIGCONT);
  EXPECT_FALSE(hung_up.alive());
}

Task<absl::Status> ListenForStops(std::vector<int>* signals) {
  absl::StatusOr<SignalListener> listener = SignalListener::Listen({SIGTSTP, SIGCONT});
  if (!listener.ok()) co_return listener.status();
  for (;;) {
    absl::StatusOr<int> signal = co_await listener->Next();
    if (!signal.ok()) co_return signal.status();
    signals->push_back(*signal);
  }
}

TEST(ProcessTest, AProgramMayTakeSigtstpAndSeesThatItGoesOn) {
  World world;
  std::vector<int> signals;
  Host& host = world.AddHost("a", [&signals] { return ListenForStops(&signals); });
  ASSERT_TRUE(world.RunFor(absl::Seconds(1)).ok());
  host.DeliverSignal(SIGTSTP);
  EXPECT_FALSE(host.paused());
  ASSERT_TRUE(world.RunFor(absl::Seconds(1)).ok());
  host.DeliverSignal(SIGSTOP);
  EXPECT_TRUE(host.paused());
  host.DeliverSignal(SIGCONT);
  ASSERT_TRUE(world.RunFor(absl::Seconds(1)).ok());
  EXPECT_EQ(signals, (std::vector<int>{SIGTSTP, SIGCONT}));
}

Task<absl::Status> WorkAndNote(Instant* done) {
  absl::StatusOr<bool> worked = co_await RunBlocking([] { return true; });
  *done = Now();
  co_return worked.status();
}

TEST(ProcessTest, ThreadsOfAStoppedProcessStandStillAndGoOn) {
  World world;
  Instant done;
  Host& host = world.AddHost("a", [&done] { return WorkAndNote(&done); });
  ASSERT_TRUE(world.RunFor(absl::Nanoseconds(1)).ok());
  host.DeliverSignal(SIGSTOP);
  world.After(absl::Seconds(3), [&] { host.DeliverSignal(SIGCONT); });

  EXPECT_EQ(world.RunUntilDone(host, absl::Seconds(5)), absl::OkStatus());
  EXPECT_GE(done, Instant() + absl::Seconds(3));
}

}  // namespace
}  // namespace tandem::sim
