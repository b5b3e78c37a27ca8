// SPDX-License-Identifier: Apache-2.0
//
// How a run ends: roles, predicates, checks after each step, and the phase without faults.

#include <array>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/resolver.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/runtime/run_blocking.h"
#include "tandem/core/runtime/signal_listener.h"
#include "tandem/core/sync/mutex.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/tests/ping.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

Task<absl::Status> EndAfter(absl::Duration duration, absl::Status status) {
  absl::Status slept = co_await Sleep(duration);
  if (!slept.ok()) co_return slept;
  co_return status;
}

HostMain EndsAfter(absl::Duration duration, absl::Status status = absl::OkStatus()) {
  return [duration, status] { return EndAfter(duration, status); };
}

class RunTest : public ::testing::Test {
 protected:
  Instant At(absl::Duration elapsed) { return Instant() + elapsed; }
  World world_;
};

// --- Roles ---

TEST_F(RunTest, TheRunEndsWithTheLastClient) {
  world_.AddServer("server", &SleepForever);
  world_.AddClient("quick", EndsAfter(absl::Seconds(1)));
  world_.AddClient("slow", EndsAfter(absl::Seconds(3)));
  world_.AddHost("other", EndsAfter(absl::Seconds(2), absl::InternalError("of no account")));

  EXPECT_EQ(world_.RunClients(absl::Seconds(10)), absl::OkStatus());
  EXPECT_EQ(world_.Now(), At(absl::Seconds(3)));
}

TEST_F(RunTest, TheFirstClientThatFailsIsTheError) {
  world_.AddClient("good", EndsAfter(absl::Seconds(1)));
  world_.AddClient("late", EndsAfter(absl::Seconds(3), absl::InternalError("too late")));
  world_.AddClient("bad", EndsAfter(absl::Seconds(2), absl::DataLossError("it is gone")));

  EXPECT_EQ(world_.RunClients(absl::Seconds(10)), absl::DataLossError("client bad: it is gone"));
  EXPECT_EQ(world_.Now(), At(absl::Seconds(2)));
}

TEST_F(RunTest, ClientsThatDoNotEndAreDescribed) {
  world_.AddClient("ends", EndsAfter(absl::Seconds(1)));
  world_.AddClient("patient", EndsAfter(absl::Hours(1)));

  const absl::Status status = world_.RunClients(absl::Seconds(10));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(absl::StrContains(status.message(), "not all clients have ended within 10s")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "host patient")) << status;
}

TEST_F(RunTest, AClientThatIsStartedAgainEndsAgain) {
  Host& client = world_.AddClient("client", EndsAfter(absl::Seconds(2)));
  EXPECT_EQ(world_.RunClients(absl::Seconds(10)), absl::OkStatus());
  client.Restart();
  ASSERT_TRUE(world_.RunFor(absl::Seconds(1)).ok());
  EXPECT_EQ(world_.RunClients(absl::Seconds(10)), absl::OkStatus());
  EXPECT_EQ(world_.Now(), At(absl::Seconds(4)));
}

TEST_F(RunTest, AServerThatFailsFailsTheRun) {
  world_.AddServer("server", EndsAfter(absl::Seconds(1), absl::UnavailableError("address in use")));
  world_.AddClient("client", EndsAfter(absl::Seconds(3)));

  const absl::Status expected = absl::UnavailableError("server server has ended at 1.000000000 s: address in use");
  EXPECT_EQ(world_.RunClients(absl::Seconds(10)), expected);
  EXPECT_EQ(world_.failure(), expected);
  EXPECT_EQ(world_.RunFor(absl::Seconds(1)), expected);
}

TEST_F(RunTest, AServerThatWasToldToStopOrThatStartsAgainHasNotFailed) {
  Host& stopped = world_.AddServer("stopped", &SleepForever);
  world_.AddServer("fine", EndsAfter(absl::Seconds(1)));
  world_.AddServer("again", EndsAfter(absl::Seconds(1), absl::InternalError("broken")))
      .set_restart_policy(RestartPolicy::kOnFailure);
  world_.AddClient("client", EndsAfter(absl::Seconds(5)));
  world_.After(absl::Seconds(2), [&] { stopped.DeliverSignal(SIGTERM); });

  EXPECT_EQ(world_.RunClients(absl::Seconds(10)), absl::OkStatus());
  EXPECT_EQ(stopped.status()->code(), absl::StatusCode::kCancelled);
}

// --- What is stuck ---

Task<absl::Status> TickForever() {
  for (;;) {
    if (absl::Status slept = co_await Sleep(absl::Milliseconds(10)); !slept.ok()) co_return slept;
  }
}

Task<absl::Status> LockTwice() {
  Mutex mutex;
  const absl::StatusOr<Mutex::Guard> once = co_await mutex.Lock();
  if (!once.ok()) co_return once.status();
  const absl::StatusOr<Mutex::Guard> twice = co_await mutex.Lock();
  co_return twice.status();
}

Task<absl::Status> HearHangups() {
  absl::StatusOr<SignalListener> listener = SignalListener::Listen({SIGHUP});
  if (!listener.ok()) co_return listener.status();
  for (;;) {
    const absl::StatusOr<int> signal = co_await listener->Next();
    if (!signal.ok()) co_return signal.status();
  }
}

Task<absl::Status> Read(TcpStream stream) {
  std::array<char, 8> bytes;
  co_return (co_await stream.Read(absl::MakeSpan(bytes))).status();
}

Task<absl::Status> ReadFromTheFirst() {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(7));
  if (!listener.ok()) co_return listener.status();
  absl::StatusOr<TcpStream> stream = co_await listener->Accept();
  if (!stream.ok()) co_return stream.status();
  co_return co_await Read(*std::move(stream));
}

Task<absl::Status> ReadFromTheServer() {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(*HostAddress("server", 7));
  if (!stream.ok()) co_return stream.status();
  co_return co_await Read(*std::move(stream));
}

TEST_F(RunTest, AClientThatNothingCanReachIsStuckAtOnceWhateverOthersDo) {
  world_.AddServer("server", &TickForever);
  world_.AddClient("busy", &TickForever);
  world_.AddClient("client", [] { return LockTwice(); });

  const absl::Status stuck = world_.RunClients(absl::Hours(1));
  EXPECT_EQ(stuck.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(stuck.message(), "nothing can change host client any more after 0.000000000 s"))
      << stuck;
  EXPECT_TRUE(absl::StrContains(stuck.message(), "run_test.cc:")) << stuck;
  EXPECT_LT(world_.Now(), At(absl::Seconds(1)));
  // It was so before the call.
  EXPECT_EQ(world_.RunClients(absl::Hours(1)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_LT(world_.Now(), At(absl::Seconds(1)));
}

TEST_F(RunTest, AHostThatIsNotAwaitedMayBeStuck) {
  Host& ticking = world_.AddHost("ticking", EndsAfter(absl::Seconds(5)));
  world_.AddHost("host", [] { return LockTwice(); });
  EXPECT_EQ(world_.RunUntilDone(ticking, absl::Hours(1)), absl::OkStatus());
}

TEST_F(RunTest, WhoCanStillBeReachedIsNotStuck) {
  world_.AddServer("server", &TickForever);
  const auto deadline = [&](Host& host) {
    EXPECT_EQ(world_.RunUntilDone(host, absl::Seconds(5)).code(), absl::StatusCode::kDeadlineExceeded) << host.name();
  };
  // By a packet, a timer that is far away, or a signal.
  deadline(world_.AddHost("accepts", []() -> Task<absl::Status> {
    absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(7));
    if (!listener.ok()) co_return listener.status();
    co_return (co_await listener->Accept()).status();
  }));
  deadline(world_.AddHost("sleeps", EndsAfter(absl::Hours(1))));
  deadline(world_.AddHost("listens", &HearHangups));
  // By what the test does later.
  Host& host = world_.AddHost("locked", [] { return LockTwice(); });
  world_.After(absl::Minutes(10), [] {});
  deadline(host);
}

TEST_F(RunTest, AFaultMayStartAgainWhoIsStuck) {
  world_.AddServer("server", &TickForever);
  int starts = 0;
  Host& host = world_.AddHost("host", [&starts] {
    if (++starts == 1) return LockTwice();
    return EndAfter(absl::Seconds(1), absl::OkStatus());
  });
  world_.Inject(*FaultPlan::Parse("crash host from 20s to 21s"));
  EXPECT_EQ(world_.RunUntilDone(host, absl::Minutes(1)), absl::OkStatus());
  EXPECT_EQ(starts, 2);
}

TEST_F(RunTest, ConnectionsWhoseBothEndsWaitToReadAreNamed) {
  world_.AddServer("server", &ReadFromTheFirst);
  world_.AddClient("client", &ReadFromTheServer);
  const absl::Status stuck = world_.RunClients(absl::Hours(1));
  EXPECT_EQ(stuck.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(stuck.message(), "connections whose both ends wait to read:\n  socket 1 of server ("))
      << stuck;
  EXPECT_TRUE(absl::StrContains(stuck.message(), " and socket 0 of client (")) << stuck;
}

// --- Predicates and checks ---

TEST_F(RunTest, RunUntilSaysWhatHasNotHappened) {
  world_.AddHost("host", EndsAfter(absl::Seconds(5)));
  bool happened = false;
  world_.After(absl::Seconds(1), [&] { happened = true; });
  EXPECT_EQ(world_.RunUntil("it happens", [&] { return happened; }, absl::Seconds(2)), absl::OkStatus());
  EXPECT_EQ(world_.Now(), At(absl::Seconds(1)));

  const absl::Status late = world_.RunUntil("a leader is elected", [] { return false; }, absl::Seconds(2));
  EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(absl::StrContains(late.message(), "\"a leader is elected\" has not happened within 2s")) << late;
  const absl::Status stuck = world_.RunUntil("a leader is elected", [] { return false; }, absl::Hours(2));
  EXPECT_EQ(stuck.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(stuck.message(), "stuck: \"a leader is elected\" has not happened")) << stuck;
}

TEST_F(RunTest, AfterEachStepSeesEveryStepAndEndsTheRun) {
  world_.AddHost("host", EndsAfter(absl::Seconds(5)));
  int events = 0;
  uint64_t steps = 0;
  for (int second = 1; second <= 3; ++second) world_.After(absl::Seconds(second), [&] { ++events; });
  world_.AfterEachStep([&] {
    ++steps;
    return events < 2 ? absl::OkStatus() : absl::DataLossError("two at once");
  });

  const absl::Status expected = absl::DataLossError("a check after each step, at 2.000000000 s: two at once");
  EXPECT_EQ(world_.RunFor(absl::Seconds(10)), expected);
  EXPECT_EQ(world_.failure(), expected);
  EXPECT_EQ(events, 2);
  EXPECT_GE(steps, 4u);  // The start of the host, its first turn, two callbacks.
}

// A thousand turns in a row are one step of the loop, unless somebody looks.
Task<absl::Status> Blink(int* on, int* times) {
  for (; *times < 50; ++*times) {
    *on = 1;
    absl::Status yielded = co_await Yield();
    *on = 0;
    if (yielded.ok()) yielded = co_await Yield();
    if (!yielded.ok()) co_return yielded;
  }
  co_return absl::OkStatus();
}

TEST_F(RunTest, APredicateAndACheckSeeEachTurn) {
  int on = 0;
  int times = 0;
  Host& host = world_.AddHost("host", [&] { return Blink(&on, &times); });
  for (int expected = 0; expected < 50; ++expected) {
    ASSERT_EQ(world_.RunUntil([&] { return on == 1; }, absl::Seconds(1)), absl::OkStatus());
    ASSERT_EQ(times, expected);
    ASSERT_EQ(world_.RunUntil([&] { return on == 0; }, absl::Seconds(1)), absl::OkStatus());
  }
  EXPECT_EQ(world_.Now(), At(absl::ZeroDuration()));

  EXPECT_EQ(world_.RunUntilDone(host, absl::Seconds(1)), absl::OkStatus());
  times = 48;
  host.Restart();
  world_.AfterEachStep([&] { return on == 0 ? absl::OkStatus() : absl::DataLossError("it is on"); });
  EXPECT_EQ(world_.RunFor(absl::Seconds(1)).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(times, 48);
}

TEST_F(RunTest, WhoIsKilledBetweenTwoTurnsTakesNoOther) {
  int on = 0;
  int times = 0;
  Host& host = world_.AddHost("host", [&] { return Blink(&on, &times); });
  ASSERT_EQ(world_.RunUntil([&] { return times == 3; }, absl::Seconds(1)), absl::OkStatus());
  host.Kill();
  EXPECT_EQ(world_.RunUntilQuiescent(absl::Seconds(1)), absl::OkStatus());
  EXPECT_EQ(times, 3);
}

TEST(LookTest, LookingAtEachTurnChangesNothing) {
  std::vector<TraceDigest> digests;
  for (const bool looks : {false, true}) {
    World world;
    int on = 0;
    int times = 0;
    world.AddHost("one", [&] { return Blink(&on, &times); });
    world.AddHost("two", [&] { return Blink(&on, &times); });
    if (looks) world.AfterEachStep([] { return absl::OkStatus(); });
    ASSERT_TRUE(world.RunFor(absl::Seconds(1)).ok());
    digests.push_back(world.digest());
  }
  EXPECT_EQ(digests[0], digests[1]);
}

// --- Two phases ---

TEST_F(RunTest, HealAndExpectEndsAllFaultsAndStartsWhatIsDown) {
  Host& a = world_.AddHost("a", &SleepForever);
  Host& b = world_.AddHost("b", &SleepForever);
  Host& c = world_.AddHost("c", &SleepForever);
  Host& d = world_.AddHost("d", &SleepForever);
  Host& ended = world_.AddHost("ended", EndsAfter(absl::Milliseconds(1)));
  world_.Inject(*FaultPlan::Parse(
      "crash a from 1s to 100s\nkill b from 1s to 100s\npause d from 1s to 100s\n"
      "partition a b from 1s to 100s\nclog b c from 1s to 100s\nloss * * from 1s to 100s strength 1000000\n"
      "short-reads a from 1s to 100s strength 1000000\nkill a from 5s to 100s\n"));
  world_.Partition({"c"}, {"d"});
  world_.Hold("c", "a");
  ASSERT_TRUE(world_.RunFor(absl::Seconds(2)).ok());
  FaultSource* const faults = world_.network().fault_source();
  EXPECT_TRUE(faults->FaultsOf(a.stack(), b.stack()).partition);
  EXPECT_TRUE(faults->FaultsOf(b.stack(), c.stack()).clog);
  c.Crash();
  d.DeliverSignal(SIGSTOP);

  const auto all_run = [&] { return a.alive() && b.alive() && c.alive() && d.alive() && !d.paused(); };
  EXPECT_FALSE(all_run());
  EXPECT_EQ(world_.HealAndExpect(absl::Seconds(1), "all run", all_run), absl::OkStatus());

  EXPECT_FALSE(faults->FaultsOf(a.stack(), b.stack()).any);
  EXPECT_FALSE(faults->FaultsOf(b.stack(), c.stack()).any);
  EXPECT_TRUE(a.stack().faults().short_read.is_never());
  EXPECT_FALSE(c.stack().LinkTo(d.stack()).cut());
  EXPECT_FALSE(c.stack().LinkTo(a.stack()).holds());
  EXPECT_EQ(ended.restarts(), 0u);
  ASSERT_TRUE(world_.RunFor(absl::Seconds(10)).ok());  // What would have begun at 5 s does not.
  EXPECT_TRUE(all_run());
  EXPECT_EQ(a.restarts(), 1u);
}

// Its connection is there before the faults are.
Task<absl::Status> PingOften(Host* server, int* pings) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(server->address(kPort));
  if (!stream.ok()) co_return stream.status();
  for (;; ++*pings) {
    absl::Status pinged = co_await PingOnce(&*stream, *pings);
    if (pinged.ok()) pinged = co_await Sleep(absl::Milliseconds(100));
    if (!pinged.ok()) co_return pinged;
  }
}

TEST(HealTest, BringsWhatFaultsHaveHeldUp) {
  for (const char* plan :
       {"clog client server from 1s to 1000s", "clog server client from 1s to 1000s",
        "swizzle-clog client,server server,client from 1s to 1000s",
        "latency-constant client server from 1s to 1000s strength 60000000000",
        "bandwidth client server from 1s to 1000s strength 1", "stalled-window server from 1s to 1000s"}) {
    World world;
    int pings = 0;
    Host& server = world.AddHost("server", &Serve);
    world.AddHost("client", [&] { return PingOften(&server, &pings); });
    world.Inject(*FaultPlan::Parse(plan));
    ASSERT_TRUE(world.RunFor(absl::Seconds(30)).ok());
    const int before = pings;
    EXPECT_EQ(world.HealAndExpect(absl::Seconds(1), "pings come back", [&] { return pings > before + 3; }),
              absl::OkStatus())
        << plan;
    EXPECT_EQ(world.network().statistics().packets_lost, 0u) << plan;
  }
}

Task<absl::Status> WorkAndCount(int* done) {
  for (;; ++*done) {
    const absl::StatusOr<bool> worked = co_await RunBlocking([] { return true; });
    if (!worked.ok()) co_return worked.status();
  }
}

TEST_F(RunTest, HealAndExpectEndsWorkThatIsStuck) {
  int done = 0;
  world_.AddHost("host", [&] { return WorkAndCount(&done); });
  world_.Inject(*FaultPlan::Parse("work-stuck host from 1s to 1000s strength 1000000"));
  ASSERT_TRUE(world_.RunFor(absl::Seconds(2)).ok());
  const int before = done;
  ASSERT_TRUE(world_.RunFor(absl::Seconds(2)).ok());
  ASSERT_EQ(done, before);
  EXPECT_EQ(world_.HealAndExpect(absl::Seconds(1), "it works", [&] { return done > before + 3; }), absl::OkStatus());
}

Task<absl::Status> LookUpOften(int* found) {
  for (;;) {
    const absl::StatusOr<std::vector<SocketAddress>> addresses = co_await Resolve("host", kPort);
    if (addresses.ok()) ++*found;
    const absl::Status slept = co_await Sleep(absl::Milliseconds(10));
    if (!slept.ok()) co_return slept;
  }
}

TEST_F(RunTest, HealAndExpectEndsTheFailuresOfOperations) {
  int found = 0;
  world_.AddHost("host", [&] { return LookUpOften(&found); });
  world_.FailOperation("host", 3, /*and_after=*/true);
  ASSERT_TRUE(world_.RunFor(absl::Seconds(1)).ok());
  EXPECT_EQ(found, 2);
  EXPECT_EQ(world_.HealAndExpect(absl::Seconds(1), "names are found", [&] { return found > 4; }), absl::OkStatus());
}

TEST_F(RunTest, HealMakesNoLinks) {
  Host& a = world_.AddHost("a", &SleepForever);
  world_.AddHost("b", &SleepForever);
  world_.Heal();
  EXPECT_TRUE(a.stack().links().empty());
}

TEST_F(RunTest, HealAndExpectFailsWhenItDoesNotComeRight) {
  world_.AddHost("a", &SleepForever);
  const absl::Status status = world_.HealAndExpect(absl::Seconds(1), "it is well", [] { return false; });
  EXPECT_TRUE(absl::StrContains(status.message(), "\"it is well\" has not happened")) << status;
}

}  // namespace
}  // namespace tandem::sim
