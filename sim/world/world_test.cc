// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/world/world.h"

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/runtime/host_local.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/core/runtime/signal_listener.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/schedule/schedule.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/world/host.h"

namespace tandem::sim {
namespace {

constexpr uint16_t kPort = 7;

Task<absl::Status> SleepForever() { co_return co_await SleepUntil(Instant::InfiniteFuture()); }
Task<absl::Status> DozeFor(absl::Duration duration) { co_return co_await Sleep(duration); }

// --- An echo server, and a client that counts ---

Task<void> Echo(TcpStream stream) {
  std::array<char, 256> bytes;
  for (;;) {
    absl::StatusOr<size_t> count = co_await stream.Read(absl::MakeSpan(bytes));
    if (!count.ok() || *count == 0) co_return;
    IoResult written = co_await stream.WriteAll(absl::string_view(bytes.data(), *count));
    if (!written.ok()) co_return;
  }
}

Task<absl::Status> Serve() {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  for (;;) {
    absl::StatusOr<TcpStream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return stream.status();
    Spawn(&Echo, *std::move(stream));
  }
}

Task<absl::Status> PingOnce(TcpStream* stream, int number) {
  const std::string message = absl::StrCat("message ", number, ";");
  IoResult written = co_await stream->WriteAll(message);
  if (!written.ok()) co_return written.status;
  std::string reply(message.size(), '\0');
  IoResult read = co_await stream->ReadExactly(absl::MakeSpan(reply.data(), reply.size()));
  if (!read.ok()) co_return read.status;
  if (reply != message) co_return absl::DataLossError(absl::StrCat("got ", reply, ", wanted ", message));
  co_return absl::OkStatus();
}

// Exchanges `count` messages; after a failure connects again, until that works.
Task<absl::Status> Ping(std::string server, int count, int* failures) {
  absl::StatusOr<SocketAddress> address = World::Current()->Resolve(server);
  if (!address.ok()) co_return address.status();
  TcpStream stream;
  for (int number = 0; number < count;) {
    if (!stream.valid()) {
      absl::StatusOr<TcpStream> connected = co_await WithTimeout(absl::Seconds(1), TcpStream::Connect(*address));
      if (connected.ok()) {
        stream = *std::move(connected);
      } else {
        ++*failures;
        absl::Status slept = co_await Sleep(absl::Milliseconds(100));
        if (!slept.ok()) co_return slept;
        continue;
      }
    }
    absl::Status status = co_await WithTimeout(absl::Seconds(1), PingOnce(&stream, number));
    if (absl::IsDataLoss(status) || absl::IsCancelled(status)) co_return status;
    if (status.ok()) {
      ++number;
    } else {
      ++*failures;
      stream = TcpStream();
    }
  }
  co_return absl::OkStatus();
}

// Destruction is what some tests are about.
class Witness {
 public:
  explicit Witness(std::vector<std::string>* events, std::string name) : events_(events), name_(std::move(name)) {}
  ~Witness() { events_->push_back(name_); }
  Witness(const Witness&) = delete;

 private:
  std::vector<std::string>* events_;
  std::string name_;
};

// --- Time and the end of runs ---

TEST(WorldTest, TimeIsVirtualAndIdleTimeIsFree) {
  World world;
  Host& host = world.AddHost("host", [] { return DozeFor(absl::Hours(1000)); });
  const Instant start = world.Now();

  EXPECT_TRUE(world.RunUntilDone(host, absl::Hours(2000)).ok());

  EXPECT_EQ(world.Now() - start, absl::Hours(1000));
  EXPECT_LT(world.events(), 20u);
  EXPECT_FALSE(host.alive());
}

TEST(WorldTest, RunUntilDoneReturnsWhatMainReturned) {
  World world;
  Host& host = world.AddHost("host", []() -> Task<absl::Status> { co_return absl::DataLossError("gone"); });

  EXPECT_EQ(world.RunUntilDone(host, absl::Seconds(1)), absl::DataLossError("gone"));
  EXPECT_EQ(host.status(), absl::DataLossError("gone"));
}

TEST(WorldTest, ALimitGivesADeadlineWithTheTasksThatWait) {
  World world;
  Host& host = world.AddHost("patient", [] { return DozeFor(absl::Hours(1)); });

  absl::Status status = world.RunUntilDone(host, absl::Minutes(1));

  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(absl::StrContains(status.message(), "patient")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "world_test.cc:")) << status;
}

TEST(WorldTest, NothingToWaitForIsStuckWithFileAndLine) {
  World world;
  Host& host = world.AddHost("stuck", [] { return SleepForever(); });

  absl::Status status = world.RunUntilDone(host, absl::Hours(1));

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(status.message(), "host stuck (10.0.0.1)")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "world_test.cc:")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "endless sleep")) << status;
}

TEST(WorldTest, RunUntilEndsAsSoonAsItsConditionHolds) {
  World world;
  bool happened = false;
  world.AddHost("host", [] { return SleepForever(); });
  world.After(absl::Seconds(3), [&] { happened = true; });
  world.After(absl::Seconds(5), [] {});

  EXPECT_TRUE(world.RunUntil([&] { return happened; }, absl::Seconds(10)).ok());
  EXPECT_EQ(world.Now(), Instant() + absl::Seconds(3));
  EXPECT_EQ(world.RunUntil([] { return false; }, absl::Seconds(1)).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(world.Now(), Instant() + absl::Seconds(4));
  const absl::Status stuck = world.RunUntil([] { return false; }, absl::Seconds(10));
  EXPECT_EQ(stuck.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(stuck.message(), "nothing can happen any more after 5.000000000 s:")) << stuck;
  EXPECT_TRUE(absl::StrContains(stuck.message(), "endless sleep")) << stuck;
}

Task<absl::Status> TellNow(Instant* now) {
  *now = Now();
  co_return absl::OkStatus();
}

TEST(WorldTest, TimeBeginsAtZero) {
  World world;
  Instant seen = Instant::InfinitePast();
  Host& host = world.AddHost("host", [&seen] { return TellNow(&seen); });

  EXPECT_EQ(world.Now(), Instant());
  EXPECT_TRUE(world.RunUntilDone(host, absl::Seconds(1)).ok());
  EXPECT_EQ(seen, Instant());
}

TEST(WorldTest, RunForEndsAtItsTime) {
  World world;
  world.AddHost("host", [] { return SleepForever(); });
  const Instant start = world.Now();

  EXPECT_TRUE(world.RunFor(absl::Seconds(3)).ok());

  EXPECT_EQ(world.Now() - start, absl::Seconds(3));
}

TEST(WorldTest, CallbacksRunInTheOrderOfTheirTimes) {
  World world;
  std::vector<int> order;
  world.After(absl::Seconds(2), [&] { order.push_back(2); });
  world.After(absl::Seconds(1), [&] { order.push_back(1); });
  world.After(absl::Seconds(2), [&] { order.push_back(3); });
  world.After(absl::Hours(1), [&] { order.push_back(4); });

  EXPECT_TRUE(world.RunFor(absl::Seconds(10)).ok());

  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

// Sends a byte and waits for its echo without waiting: it asks, and yields, again and again.
Task<absl::Status> WaitByYielding(SocketAddress address) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
  if (!stream.ok()) co_return stream.status();
  char byte = 'x';
  const IoResult written = co_await stream->WriteAll(absl::string_view(&byte, 1));
  if (!written.status.ok()) co_return written.status;
  for (;;) {
    const absl::StatusOr<std::optional<size_t>> count = stream->TryRead(absl::MakeSpan(&byte, 1));
    if (!count.ok() || count->has_value()) co_return count.status();
    absl::Status yielded = co_await Yield();
    if (!yielded.ok()) co_return yielded;
  }
}

// No time passes while a host computes, but a loop of yields takes time, or what it waits for would never come.
TEST(WorldTest, ALoopOfYieldsSeesWhatItWaitsFor) {
  World world;
  world.AddHost("server", &Serve);
  Host& client = world.AddHost("client", [&] { return WaitByYielding(world.FindHost("server")->address(kPort)); });

  EXPECT_EQ(world.RunUntilDone(client, absl::Seconds(1)), absl::OkStatus());
}

TEST(WorldTest, ALoopOfYieldsSeesTheClock) {
  World world;
  Host& host = world.AddHost("host", []() -> Task<absl::Status> {
    const Instant start = Now();
    while (Now() < start + absl::Milliseconds(5)) {
      absl::Status yielded = co_await Yield();
      if (!yielded.ok()) co_return yielded;
    }
    co_return absl::OkStatus();
  });

  EXPECT_EQ(world.RunUntilDone(host, absl::Seconds(1)), absl::OkStatus());
}

TEST(WorldTest, YieldingForeverIsALivelock) {
  World world;
  Host& host = world.AddHost("spinner", []() -> Task<absl::Status> {
    for (;;) {
      absl::Status status = co_await Yield();
      if (!status.ok()) co_return status;
    }
  });

  absl::Status status = world.RunUntilDone(host, absl::Seconds(1));

  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(absl::StrContains(status.message(), "livelock")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "host spinner")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "world_test.cc:")) << status;
  EXPECT_EQ(world.failure(), status);
}

TEST(WorldTest, TooManyEventsAreALivelock) {
  World world(WorldOptions().set_max_events(1000));
  Host& host = world.AddHost("ticker", []() -> Task<absl::Status> {
    for (;;) {
      absl::Status status = co_await Sleep(absl::Milliseconds(1));
      if (!status.ok()) co_return status;
    }
  });

  EXPECT_EQ(world.RunUntilDone(host, absl::Hours(1)).code(), absl::StatusCode::kAborted);
  EXPECT_LE(world.events(), 1001u);
}

Task<void> IgnoreCancellation() {
  for (;;) (void)co_await Shield(absl::Seconds(5), DozeFor(absl::Seconds(1)));
}

TEST(WorldTest, ATaskThatDoesNotDrainIsNamed) {
  World world;
  Host& host = world.AddHost("stubborn", []() -> Task<absl::Status> {
    Spawn(&IgnoreCancellation);
    co_return co_await Sleep(absl::Seconds(1));
  });

  absl::Status status = world.RunUntilDone(host, absl::Hours(1));

  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(absl::StrContains(status.message(), "host stubborn")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "world_test.cc:")) << status;
}

TEST(WorldTest, AnExceptionOfMainReachesTheTest) {
  World world;
  Host& host = world.AddHost("thrower", []() -> Task<absl::Status> {
    (void)co_await Sleep(absl::Seconds(1));
    throw std::runtime_error("as it should");
  });

  EXPECT_THROW((void)world.RunUntilDone(host, absl::Hours(1)), std::runtime_error);
}

// --- Names and clocks ---

TEST(WorldTest, HostsHaveNamesAndAddresses) {
  World world;
  Host& first = world.AddHost("first", [] { return SleepForever(); });
  Host& second = world.AddHost("second", [] { return SleepForever(); });

  EXPECT_EQ(first.name(), "first");
  EXPECT_EQ(world.hosts()[1]->name(), "second");
  EXPECT_EQ(first.address(80).ToString(), "10.0.0.1:80");
  EXPECT_EQ(second.address_ipv6(80).ToString(), "[fd00::2]:80");
  EXPECT_EQ(*world.Resolve("second:80"), second.address(80));
  EXPECT_EQ(*world.Resolve("[::1]:80"), SocketAddress::LoopbackIpv6(80));
  EXPECT_EQ(*HostAddress("first", 1), first.address(1));
  EXPECT_EQ(world.Resolve("third:80").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(world.Resolve("first").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(world.Resolve("first:65536").status().code(), absl::StatusCode::kInvalidArgument);
}

struct ClockReadings {
  std::vector<std::chrono::system_clock::time_point> wall;
  std::vector<absl::Time> wall_now;
  std::vector<std::chrono::steady_clock::time_point> steady;
};

Task<absl::Status> ReadClocksAfter(absl::Duration delay, ClockReadings* readings) {
  absl::Status status = co_await Sleep(delay);
  readings->wall.push_back(std::chrono::system_clock::now());
  readings->wall_now.push_back(WallNow());
  readings->steady.push_back(std::chrono::steady_clock::now());
  co_return status;
}

TEST(WorldTest, ClocksOfTheProcessAreThoseOfTheHostThatRuns) {
  World world;
  ClockReadings readings;
  const auto& [wall, wall_now, steady] = readings;
  world.AddHost("right", [&] { return ReadClocksAfter(absl::Seconds(1), &readings); });
  Host& wrong = world.AddHost("wrong", [&] { return ReadClocksAfter(absl::Seconds(2), &readings); });
  wrong.SetClockOffset(absl::Hours(1));

  ASSERT_TRUE(world.RunUntilDone(wrong, absl::Minutes(1)).ok());

  ASSERT_EQ(wall.size(), 2u);
  EXPECT_EQ(wall[1] - wall[0], std::chrono::seconds(3601));
  EXPECT_EQ(steady[1] - steady[0], std::chrono::seconds(1));
  EXPECT_EQ(absl::FromChrono(wall[0]), wall_now[0]);
  EXPECT_EQ(absl::FromChrono(wall[1]), wall_now[1]);
}

// --- Hosts that talk ---

TEST(WorldTest, HostsTalkOverTcp) {
  World world;
  int failures = 0;
  world.AddHost("server", [] { return Serve(); });
  Host& client = world.AddHost("client", [&] { return Ping("server:7", 100, &failures); });

  absl::Status status = world.RunUntilDone(client, absl::Minutes(1));

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(failures, 0);
}

TEST(WorldTest, AStopSignalCancelsMain) {
  World world;
  Host& server = world.AddHost("server", [] { return Serve(); });
  world.After(absl::Seconds(1), [&] { server.DeliverSignal(SIGTERM); });

  absl::Status status = world.RunUntilDone(server, absl::Minutes(1));

  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
}

TEST(WorldTest, ASecondSigtermChangesNothingAndASecondSigintKills) {
  World world;
  Host& told_twice = world.AddHost("stopped", [] { return Serve(); });
  Host& killed = world.AddHost("killed", [] { return Serve(); });
  world.After(absl::Seconds(1), [&] {
    for (int i = 0; i < 2; ++i) {
      told_twice.DeliverSignal(SIGTERM);
      killed.DeliverSignal(SIGINT);
    }
  });

  const absl::Status stopped = world.RunUntilDone(told_twice, absl::Minutes(1));

  EXPECT_EQ(stopped.code(), absl::StatusCode::kCancelled) << stopped;
  EXPECT_FALSE(killed.alive());
}

Task<absl::Status> CountSignals(std::vector<int>* signals) {
  absl::StatusOr<SignalListener> listener = SignalListener::Listen({SIGHUP, SIGUSR1});
  if (!listener.ok()) co_return listener.status();
  for (;;) {
    absl::StatusOr<int> signal = co_await listener->Next();
    if (!signal.ok()) co_return signal.status();
    signals->push_back(*signal);
  }
}

TEST(WorldTest, ASignalReachesTheTaskThatListens) {
  World world;
  std::vector<int> signals;
  Host& server = world.AddHost("server", [&] { return CountSignals(&signals); });
  world.After(absl::Seconds(1), [&] { server.DeliverSignal(SIGHUP); });
  world.After(absl::Seconds(2), [&] { server.DeliverSignal(SIGUSR1); });
  world.After(absl::Seconds(3), [&] { server.DeliverSignal(SIGHUP); });
  world.After(absl::Seconds(4), [&] { server.DeliverSignal(SIGTERM); });

  absl::Status status = world.RunUntilDone(server, absl::Minutes(1));

  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
  EXPECT_EQ(signals, (std::vector<int>{SIGHUP, SIGUSR1, SIGHUP}));
}

TEST(WorldTest, ASignalThatNobodyListensForKillsUnlessItIsIgnored) {
  World world;
  Host& server = world.AddHost("server", [] { return Serve(); });
  bool alive_after_sigchld = false;
  world.After(absl::Seconds(1), [&] { server.DeliverSignal(SIGCHLD); });
  world.After(absl::Seconds(2), [&] { alive_after_sigchld = server.alive(); });
  world.After(absl::Seconds(3), [&] { server.DeliverSignal(SIGUSR1); });
  bool alive_after_sigusr1 = true;
  world.After(absl::Seconds(4), [&] { alive_after_sigusr1 = server.alive(); });

  static_cast<void>(world.RunFor(absl::Seconds(5)));

  EXPECT_TRUE(alive_after_sigchld);
  EXPECT_FALSE(alive_after_sigusr1);
}

// --- Crash, kill, restart, pause ---

struct Counters {
  Counters() { ++made; }
  ~Counters() { ++destroyed; }
  int value = 0;
  static inline int made = 0;
  static inline int destroyed = 0;
};
HostLocal<Counters> counters;

Task<absl::Status> CountStartAndSleep(int* starts, std::vector<std::string>* events) {
  ++*starts;
  counters->value = *starts;
  Witness witness(events, "main");
  (void)co_await Sleep(absl::Seconds(10));
  events->push_back("woke up");
  co_return absl::OkStatus();
}

TEST(WorldTest, ACrashDestroysTasksThenHostLocalsAndNothingGetsOut) {
  Counters::made = Counters::destroyed = 0;
  World world;
  std::vector<std::string> events;
  int starts = 0;
  Host& host = world.AddHost("host", [&] { return CountStartAndSleep(&starts, &events); });
  world.After(absl::Seconds(1), [&] {
    host.Crash();
    EXPECT_FALSE(host.alive());
    EXPECT_EQ(Counters::destroyed, 1);
    host.Restart(absl::Seconds(5));
  });

  ASSERT_TRUE(world.RunFor(absl::Seconds(2)).ok());
  EXPECT_EQ(events, std::vector<std::string>{"main"});
  EXPECT_FALSE(host.alive());

  ASSERT_TRUE(world.RunUntilDone(host, absl::Minutes(1)).ok());
  EXPECT_EQ(starts, 2);
  EXPECT_EQ(host.restarts(), 1u);
  EXPECT_EQ(events, (std::vector<std::string>{"main", "woke up", "main"}));
  EXPECT_EQ(Counters::made, 2);
  EXPECT_EQ(Counters::destroyed, 2);
}

Task<absl::Status> SpawnsInItsDestructor(TcpStream* stream) {
  struct AtEnd {
    TcpStream* stream;
    ~AtEnd() {
      Spawn(+[]() -> Task<void> { co_return; });
      stream->Abort();
    }
  } at_end{stream};
  co_return co_await SleepUntil(Instant::InfiniteFuture());
}

Task<absl::Status> ConnectAndHold(SocketAddress server) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(server);
  if (!stream.ok()) co_return stream.status();
  co_return co_await SpawnsInItsDestructor(&*stream);
}

// What the one client of `server` sees of it.
Task<absl::Status> WatchOneClient(std::string* seen) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  absl::StatusOr<TcpStream> stream = co_await listener->Accept();
  if (!stream.ok()) co_return stream.status();
  char byte;
  absl::StatusOr<size_t> count = co_await stream->Read(absl::MakeSpan(&byte, 1));
  *seen = count.ok() ? absl::StrCat(*count, " bytes") : "error";
  co_return absl::OkStatus();
}

TEST(WorldTest, ThePeerOfACrashedMachineHearsNothing) {
  World world;
  std::string seen = "nothing";
  Host& server = world.AddHost("server", [&] { return WatchOneClient(&seen); });
  Host& client = world.AddHost("client", [&] { return ConnectAndHold(server.address(kPort)); });
  world.After(absl::Seconds(1), [&] { client.Crash(); });

  ASSERT_TRUE(world.RunFor(absl::Minutes(1)).ok());

  EXPECT_EQ(seen, "nothing");
  EXPECT_TRUE(server.alive());
}

TEST(WorldTest, ThePeerOfAKilledProcessHearsAtOnce) {
  World world;
  std::string seen = "nothing";
  Host& server = world.AddHost("server", [&] { return WatchOneClient(&seen); });
  Host& client = world.AddHost("client", [&] { return ConnectAndHold(server.address(kPort)); });
  world.After(absl::Seconds(1), [&] { client.Kill(); });

  ASSERT_TRUE(world.RunUntilDone(server, absl::Minutes(1)).ok());

  EXPECT_NE(seen, "nothing");
  EXPECT_LT(world.Now() - Instant(), absl::Seconds(2));
}

TEST(WorldTest, AHostThatCrashesItselfFinishesItsTurn) {
  World world;
  std::vector<std::string> events;
  Host* self = nullptr;
  Host& host = world.AddHost("host", [&]() -> Task<absl::Status> {
    return [](Host** self, std::vector<std::string>* events) -> Task<absl::Status> {
      Witness witness(events, "destroyed");
      (*self)->Crash();
      events->push_back("goes on");
      co_return co_await Sleep(absl::Seconds(1));
    }(&self, &events);
  });
  self = &host;

  ASSERT_TRUE(world.RunUntilQuiescent(absl::Minutes(1)).ok());

  EXPECT_EQ(events, (std::vector<std::string>{"goes on", "destroyed"}));
  EXPECT_FALSE(host.alive());
}

Task<absl::Status> SleepAndNote(Instant* woke) {
  absl::Status status = co_await Sleep(absl::Seconds(2));
  *woke = Now();
  co_return status;
}

TEST(WorldTest, APausedProcessDoesNotRunAndMissesNothing) {
  World world;
  Instant woke;
  Host& host = world.AddHost("host", [&] { return SleepAndNote(&woke); });
  const Instant start = world.Now();
  world.After(absl::Seconds(1), [&] { host.Pause(absl::Seconds(10)); });
  world.After(absl::Seconds(2), [&] { host.Pause(absl::Seconds(1)); });  // Ends earlier: changes nothing.

  ASSERT_TRUE(world.RunUntilDone(host, absl::Minutes(1)).ok());

  EXPECT_EQ(woke - start, absl::Seconds(11));
}

Task<absl::Status> WitnessTheEnd(std::vector<std::string>* events) {
  Witness witness(events, "destroyed");
  co_return co_await SleepUntil(Instant::InfiniteFuture());
}

TEST(WorldTest, AWorldThatEndsEarlyDestroysWhatRuns) {
  std::vector<std::string> events;
  {
    World world;
    int failures = 0;
    world.AddHost("server", [] { return Serve(); });
    world.AddHost("client", [&] { return Ping("server:7", 1'000'000, &failures); });
    world.AddHost("witness", [&] { return WitnessTheEnd(&events); });
    ASSERT_TRUE(world.RunFor(absl::Seconds(1)).ok());
    world.After(absl::Hours(1), [] {});
  }
  EXPECT_EQ(events, std::vector<std::string>{"destroyed"});
}

// --- Faults ---

TEST(WorldTest, APartitionStopsTheTrafficAndEnds) {
  World world;
  int failures = 0;
  world.AddHost("server", [] { return Serve(); });
  Host& client = world.AddHost("client", [&]() -> Task<absl::Status> { return Ping("server:7", 20'000, &failures); });
  world.Inject(*FaultPlan::Parse("partition server client from 0.5s to 3s"));

  absl::Status status = world.RunUntilDone(client, absl::Minutes(10));

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_GT(failures, 0);
  EXPECT_FALSE(world.network().blocked(world.hosts()[0]->stack(), world.hosts()[1]->stack()));
}

TEST(WorldTest, OverlappingFaultsEndOnTheirOwn) {
  World world;
  world.AddHost("a", [] { return SleepForever(); });
  world.AddHost("b", [] { return SleepForever(); });
  HostStack& a = world.hosts()[0]->stack();
  HostStack& b = world.hosts()[1]->stack();
  world.Inject(
      *FaultPlan::Parse("partition a b from 1s to 4s\n"
                        "partition-one-way a * from 2s to 6s\n"
                        "latency * * from 1s to 5s strength 500000\n"
                        "latency b a from 2s to 3s strength 1000000\n"
                        "short-reads b from 1s to 2s strength 1000000\n"));
  const auto faults = [&](HostStack& from, HostStack& to) {
    return world.network().fault_source()->FaultsOf(from, to);
  };

  ASSERT_TRUE(world.RunFor(absl::Milliseconds(1500)).ok());
  EXPECT_TRUE(faults(a, b).partition);
  EXPECT_TRUE(faults(b, a).partition);
  EXPECT_EQ(faults(a, b).latency.strength, 500'000u);
  EXPECT_FALSE(b.faults().short_read.is_never());
  EXPECT_TRUE(a.faults().short_read.is_never());

  ASSERT_TRUE(world.RunFor(absl::Seconds(1)).ok());  // 2.5 s.
  EXPECT_EQ(faults(a, b).latency.strength, 1'000'000u) << "the strongest acts";
  EXPECT_TRUE(b.faults().short_read.is_never());

  ASSERT_TRUE(world.RunFor(absl::Seconds(2)).ok());  // 4.5 s.
  EXPECT_TRUE(faults(a, b).partition);
  EXPECT_FALSE(faults(b, a).partition);
  EXPECT_EQ(faults(a, b).latency.strength, 500'000u);

  ASSERT_TRUE(world.RunFor(absl::Seconds(2)).ok());  // 6.5 s.
  EXPECT_FALSE(faults(a, b).partition);
  EXPECT_FALSE(faults(a, b).latency);
}

TEST(WorldTest, ACrashEntryRestartsTheHost) {
  World world;
  Host& host = world.AddHost("host", [] { return SleepForever(); });
  Host& ended = world.AddHost("ended", []() -> Task<absl::Status> { co_return absl::OkStatus(); });
  world.Inject(*FaultPlan::Parse("crash * from 1s to 2s\nkill host from 3s to 4s\npause host from 5s to 6s"));

  ASSERT_TRUE(world.RunFor(absl::Milliseconds(1500)).ok());
  EXPECT_FALSE(host.alive());
  ASSERT_TRUE(world.RunFor(absl::Seconds(10)).ok());

  EXPECT_TRUE(host.alive());
  EXPECT_EQ(host.restarts(), 2u);
  EXPECT_EQ(ended.restarts(), 0u);
  EXPECT_EQ(ended.status(), absl::OkStatus());
}

struct Outcome {
  absl::Status status;
  TraceDigest digest;
  uint64_t events = 0;
};

Outcome RunPingUnderFaults(uint64_t seed) {
  World world(WorldOptions().set_seed(seed));
  int failures = 0;
  world.AddHost("server", [] { return Serve(); });
  Host& client = world.AddHost("client", [&] { return Ping("server:7", 100, &failures); });
  world.Inject(Faults::All().Spare("client"));
  Outcome outcome;
  outcome.status = world.RunUntilDone(client, absl::Minutes(30));
  outcome.digest = world.digest();
  outcome.events = world.events();
  if (!outcome.status.ok())
    outcome.status = absl::UnknownError(absl::StrCat(outcome.status.ToString(), "\n", world.fault_plan().ToString()));
  return outcome;
}

TEST(WorldTest, MessagesGetThroughEveryMixOfFaults) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const Outcome outcome = RunPingUnderFaults(seed);
    EXPECT_TRUE(outcome.status.ok()) << "seed " << seed << ": " << outcome.status;
  }
}

TEST(WorldTest, TheSameSeedGivesTheSameDigest) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Outcome first = RunPingUnderFaults(seed);
    const Outcome second = RunPingUnderFaults(seed);
    EXPECT_EQ(first.digest, second.digest) << "seed " << seed;
    EXPECT_EQ(first.events, second.events) << "seed " << seed;
  }
  EXPECT_NE(RunPingUnderFaults(1).digest, RunPingUnderFaults(2).digest);
}

// What the packets of one link do, whatever happens on another: the times at which `from` hears its echoes.
Task<absl::Status> PingAndNote(std::vector<int64_t>* times, int* failures) {
  for (int round = 0; round < 50; ++round) {
    absl::Status status = co_await Ping("server:7", 1, failures);
    if (!status.ok()) co_return status;
    times->push_back(Now().nanoseconds());
  }
  co_return absl::OkStatus();
}

std::vector<int64_t> EchoTimes(const std::string& plan) {
  World world(WorldOptions().set_seed(3).set_schedule(ScheduleKind::kFifo));
  std::vector<int64_t> times;
  int failures = 0;
  world.AddHost("server", [] { return Serve(); });
  world.AddHost("other", [] { return Serve(); });
  Host& client = world.AddHost("client", [&] { return PingAndNote(&times, &failures); });
  int other_failures = 0;
  world.AddHost("bystander", [&] { return Ping("other:7", 1000, &other_failures); });
  world.Inject(*FaultPlan::Parse(plan));
  EXPECT_TRUE(world.RunUntilDone(client, absl::Hours(1)).ok());
  return times;
}

TEST(WorldTest, RemovingAFaultChangesNoDrawOfAnotherLink) {
  const std::string kept = "loss client server from 0s to 60s strength 200000\n";
  const std::string removed =
      "loss other bystander from 0s to 60s strength 300000\nreset other from 0.01s strength 500000\n";

  EXPECT_EQ(EchoTimes(kept + removed), EchoTimes(kept));
  EXPECT_NE(EchoTimes(kept), EchoTimes(""));
}

// --- Schedules ---

Task<void> Append(std::vector<int>* order, int number) {
  (void)co_await Sleep(absl::Seconds(1));
  order->push_back(number);
}

Task<absl::Status> SpawnTenTasks(std::vector<int>* order) {
  for (int number = 0; number < 10; ++number) Spawn(&Append, order, number);
  co_return co_await Sleep(absl::Seconds(2));
}

std::vector<int> OrderOfTenTasks(uint64_t seed, ScheduleKind kind) {
  World world(WorldOptions().set_seed(seed).set_schedule(kind));
  std::vector<int> order;
  Host& host = world.AddHost("host", [&] { return SpawnTenTasks(&order); });
  EXPECT_TRUE(world.RunUntilDone(host, absl::Minutes(1)).ok());
  return order;
}

TEST(WorldTest, TheScheduleDecidesTheOrderOfReadyTasks) {
  const std::vector<int> in_order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  EXPECT_EQ(OrderOfTenTasks(1, ScheduleKind::kFifo), in_order);
  for (ScheduleKind kind : {ScheduleKind::kRandom, ScheduleKind::kPct, ScheduleKind::kPos, ScheduleKind::kUrw}) {
    EXPECT_NE(OrderOfTenTasks(1, kind), in_order);
    EXPECT_EQ(OrderOfTenTasks(1, kind), OrderOfTenTasks(1, kind));
    EXPECT_NE(OrderOfTenTasks(1, kind), OrderOfTenTasks(2, kind));
  }
}

TEST(WorldTest, ADelayIsRareButThere) {
  const std::vector<int> in_order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  int other = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    other += OrderOfTenTasks(seed, ScheduleKind::kDelay) == in_order ? 0 : 1;
  }
  EXPECT_GT(other, 10);
  EXPECT_LT(other, 50);
}

TEST(WorldTest, AProcessThatIsStartedAgainRunsInAnotherOrder) {
  int same = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    World world(WorldOptions().set_seed(seed).set_schedule(ScheduleKind::kRandom));
    std::vector<int> order;
    Host& host = world.AddHost("host", [&] { return SpawnTenTasks(&order); });
    ASSERT_TRUE(world.RunUntilDone(host, absl::Minutes(1)).ok());
    const std::vector<int> first = std::exchange(order, {});
    host.Restart();
    ASSERT_TRUE(world.RunFor(absl::Seconds(5)).ok());
    ASSERT_EQ(order.size(), 10u);
    same += first == order ? 1 : 0;
  }
  EXPECT_EQ(same, 0);
}

Task<void> CountUntilReleased(bool* released, absl::Duration* waited) {
  const Instant start = Now();
  while (!*released) {
    const absl::Status status = co_await Yield();
    if (!status.ok()) break;
  }
  *waited = Now() - start;
}

Task<void> ReleaseAfter(absl::Duration delay, bool* released) {
  (void)co_await Yield();
  const Instant start = Now();
  while (Now() - start < delay) {
    const absl::Status status = co_await Yield();
    if (!status.ok()) co_return;
  }
  *released = true;
}

Task<absl::Status> HoldBack(bool* released, absl::Duration* waited) {
  Spawn(CountUntilReleased, released, waited);
  Spawn(ReleaseAfter, absl::Milliseconds(1), released);
  co_return co_await Sleep(absl::Seconds(1));
}

// Two loops of Yield(), of which one waits for the time and one for the other.
TEST(WorldTest, ATaskThatIsHeldBackDoesNotStopTheTime) {
  for (ScheduleKind kind : {ScheduleKind::kFifo, ScheduleKind::kRandom, ScheduleKind::kPct, ScheduleKind::kPos,
                            ScheduleKind::kUrw, ScheduleKind::kDelay}) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      World world(WorldOptions().set_seed(seed).set_schedule(kind));
      bool released = false;
      absl::Duration waited = absl::InfiniteDuration();
      Host& host = world.AddHost("host", [&] { return HoldBack(&released, &waited); });
      const absl::Status status = world.RunUntilDone(host, absl::Minutes(1));
      EXPECT_TRUE(status.ok()) << ScheduleName(kind) << " " << seed << ": " << status;
      EXPECT_LT(waited, absl::Milliseconds(3)) << ScheduleName(kind) << " " << seed;
    }
  }
}

}  // namespace
}  // namespace tandem::sim
