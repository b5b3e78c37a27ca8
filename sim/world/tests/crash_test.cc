// SPDX-License-Identifier: Apache-2.0

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/runtime/host_local.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/tests/ping.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

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

TEST(CrashTest, ACrashDestroysTasksThenHostLocalsAndNothingGetsOut) {
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

TEST(CrashTest, ThePeerOfACrashedMachineHearsNothing) {
  World world;
  std::string seen = "nothing";
  Host& server = world.AddHost("server", [&] { return WatchOneClient(&seen); });
  Host& client = world.AddHost("client", [&] { return ConnectAndHold(server.address(kPort)); });
  world.After(absl::Seconds(1), [&] { client.Crash(); });

  ASSERT_TRUE(world.RunFor(absl::Minutes(1)).ok());

  EXPECT_EQ(seen, "nothing");
  EXPECT_TRUE(server.alive());
}

TEST(CrashTest, ThePeerOfAKilledProcessHearsAtOnce) {
  World world;
  std::string seen = "nothing";
  Host& server = world.AddHost("server", [&] { return WatchOneClient(&seen); });
  Host& client = world.AddHost("client", [&] { return ConnectAndHold(server.address(kPort)); });
  world.After(absl::Seconds(1), [&] { client.Kill(); });

  ASSERT_TRUE(world.RunUntilDone(server, absl::Minutes(1)).ok());

  EXPECT_NE(seen, "nothing");
  EXPECT_LT(world.Now() - Instant(), absl::Seconds(2));
}

TEST(CrashTest, AHostThatCrashesItselfFinishesItsTurn) {
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

TEST(CrashTest, APausedProcessDoesNotRunAndMissesNothing) {
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

TEST(CrashTest, AWorldThatEndsEarlyDestroysWhatRuns) {
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

}  // namespace
}  // namespace tandem::sim
