// SPDX-License-Identifier: Apache-2.0
//
// Each kind of fault in a plan does to running programs what its name says, while it lasts and no longer.

#include "tandem/sim/world/fault_injector.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

constexpr uint16_t kPort = 7;
constexpr size_t kRequestBytes = 1000;

Task<void> Echo(TcpStream stream) {
  for (;;) {
    const absl::StatusOr<Buffer> chunk = co_await stream.Receive();
    if (!chunk.ok() || chunk->empty()) co_return;
    const IoResult written = co_await stream.WriteAll(chunk->view());
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

// What became of one request over a connection that was made for it.
struct Round {
  absl::Duration begin;  // Since the start of the world.
  absl::Duration taken;
  int chunks = 0;  // In which the reply came.
  absl::Status status;
};

Task<absl::Status> AskOnce(SocketAddress server, Instant deadline, int* chunks) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(server).By(deadline);
  if (!stream.ok()) co_return stream.status();
  const std::string request(kRequestBytes, 'r');
  const IoResult written = co_await stream->WriteAll(request).By(deadline);
  if (!written.ok()) co_return written.status;
  for (size_t missing = kRequestBytes; missing > 0;) {
    const absl::StatusOr<Buffer> chunk = co_await stream->Receive().By(deadline);
    if (!chunk.ok()) co_return chunk.status();
    if (chunk->empty()) co_return absl::UnavailableError("the connection ended");
    missing -= chunk->size();
    ++*chunks;
  }
  // Faults that hit connections find one.
  co_return co_await Sleep(absl::Milliseconds(20));
}

// Asks again and again, each time with five seconds to get an answer.
Task<absl::Status> Ask(SocketAddress server, std::vector<Round>* rounds) {
  const Instant start = Now();
  while (Now() < start + absl::Seconds(30)) {
    Round round;
    const Instant begin = Now();
    round.begin = begin - start;
    round.status = co_await AskOnce(server, begin + absl::Seconds(5), &round.chunks);
    round.taken = Now() - begin;
    rounds->push_back(round);
  }
  co_return absl::OkStatus();
}

// Counts records of the trace.
class Counter final : public TraceSink {
 public:
  explicit Counter(TraceKind kind) : kind_(kind) {}
  void OnRecord(const TraceRecord& record, const TraceDigest& /*digest*/) override { count_ += record.kind == kind_; }
  int count() const { return count_; }

 private:
  const TraceKind kind_;
  int count_ = 0;
};

// A server and a client under `plan`, whose faults are from second 10 to second 20.
class FaultInjectorTest : public ::testing::Test {
 protected:
  void Run(absl::string_view plan, TraceKind counted = TraceKind::kNone) {
    Counter counter(counted);
    World world(WorldOptions().set_seed(5).set_trace_sink(&counter));
    Host& server = world.AddHost("server", [] { return Serve(); });
    Host& client = world.AddHost("client", [&] { return Ask(server.address(kPort), &rounds_); });
    world.Inject(*FaultPlan::Parse(plan));
    const absl::Status status = world.RunUntilDone(client, absl::Minutes(2));
    EXPECT_TRUE(status.ok()) << status;
    counted_ = counter.count();
    server_restarts_ = server.restarts();
    client_restarts_ = client.restarts();
    ExpectCalm(absl::ZeroDuration(), absl::Seconds(9));
    ExpectCalm(absl::Seconds(26), absl::Seconds(40));
  }

  // The rounds that began while the fault held.
  std::vector<Round> Hit() const {
    std::vector<Round> hit;
    for (const Round& round : rounds_) {
      if (round.begin >= absl::Seconds(10) && round.begin < absl::Seconds(20)) hit.push_back(round);
    }
    return hit;
  }

  int Failures() const {
    int failures = 0;
    for (const Round& round : rounds_) failures += !round.status.ok();
    return failures;
  }
  int FailuresWith(int error) const {
    int failures = 0;
    for (const Round& round : rounds_) failures += ErrnoOf(round.status) == error;
    return failures;
  }
  absl::Duration Longest() const {
    absl::Duration longest;
    for (const Round& round : rounds_) longest = std::max(longest, round.taken);
    return longest;
  }

  std::vector<Round> rounds_;
  int counted_ = 0;
  uint32_t server_restarts_ = 0;
  uint32_t client_restarts_ = 0;

 private:
  // Without faults all rounds succeed, and quickly.
  void ExpectCalm(absl::Duration from, absl::Duration to) {
    int count = 0;
    for (const Round& round : rounds_) {
      if (round.begin < from || round.begin + round.taken > to) continue;
      ++count;
      EXPECT_TRUE(round.status.ok()) << "at " << round.begin << ": " << round.status;
      EXPECT_LT(round.taken, absl::Milliseconds(60)) << "at " << round.begin;
      EXPECT_EQ(round.chunks, 1) << "at " << round.begin;
    }
    EXPECT_GT(count, 50);
  }
};

TEST_F(FaultInjectorTest, LatencyDelays) {
  Run("latency server client from 10s to 20s strength 200000000");
  for (const Round& round : Hit()) EXPECT_GT(round.taken, absl::Milliseconds(100)) << "at " << round.begin;
  EXPECT_LT(Hit().size(), 40u);
}

TEST_F(FaultInjectorTest, LossCostsARetransmission) {
  Run("loss server client from 10s to 20s strength 300000", TraceKind::kPacketLost);
  EXPECT_GT(counted_, 10);
  EXPECT_GT(Longest(), absl::Milliseconds(200));
}

TEST_F(FaultInjectorTest, APartitionLetsNothingThrough) {
  Run("partition server client from 10s to 20s");
  EXPECT_LE(Hit().size(), 3u);
  EXPECT_EQ(Failures(), 2);
}

TEST_F(FaultInjectorTest, APartitionOfOneWayIsEnough) {
  Run("partition-one-way server client from 10s to 20s");
  EXPECT_LE(Hit().size(), 3u);
  EXPECT_EQ(Failures(), 2);
}

TEST_F(FaultInjectorTest, AClogHoldsPacketsBackAndLosesNone) {
  Run("clog client server from 15s to 19s", TraceKind::kPacketLost);
  EXPECT_EQ(Failures(), 0);
  EXPECT_EQ(counted_, 0);
  EXPECT_GT(Longest(), absl::Seconds(3.9));
}

TEST_F(FaultInjectorTest, ShortReadsGiveTheReplyInPieces) {
  Run("short-reads client from 10s to 20s strength 1000000");
  int chunks = 0;
  for (const Round& round : Hit()) chunks += round.chunks;
  EXPECT_GT(chunks, 3 * static_cast<int>(Hit().size()));
  EXPECT_EQ(Failures(), 0);
}

TEST_F(FaultInjectorTest, ShortWritesTakeMoreSends) {
  Run("short-writes client from 40s to 41s strength 1000000", TraceKind::kSend);
  const double calm = static_cast<double>(counted_) / static_cast<double>(rounds_.size());
  rounds_.clear();
  Run("short-writes server from 10s to 20s strength 1000000", TraceKind::kSend);
  EXPECT_GT(static_cast<double>(counted_) / static_cast<double>(rounds_.size()), 1.2 * calm);
  EXPECT_EQ(Failures(), 0);
}

TEST_F(FaultInjectorTest, JitterDelaysCompletions) {
  Run("jitter client from 10s to 20s strength 100000000");
  EXPECT_LT(Hit().size(), 150u);
  EXPECT_GT(Longest(), absl::Milliseconds(100));
  EXPECT_EQ(Failures(), 0);
}

TEST_F(FaultInjectorTest, AResetEndsAConnection) {
  Run("reset server from 12s strength 1000000", TraceKind::kResetFault);
  EXPECT_GE(counted_, 1);
}

TEST_F(FaultInjectorTest, ConnectsAreRefused) {
  Run("connect-refused client from 10s to 20s strength 1000000");
  EXPECT_GT(FailuresWith(ECONNREFUSED), 100);
  EXPECT_EQ(Failures(), FailuresWith(ECONNREFUSED));
}

TEST_F(FaultInjectorTest, ConnectsGetNoAnswer) {
  Run("connect-timed-out client from 10s to 20s strength 1000000");
  EXPECT_EQ(Failures(), 2);
  for (const Round& round : Hit()) EXPECT_TRUE(absl::IsDeadlineExceeded(round.status)) << round.status;
}

TEST_F(FaultInjectorTest, ACrashedMachineIsSilentUntilItRestarts) {
  Run("crash server from 10s to 20s");
  EXPECT_EQ(server_restarts_, 1u);
  EXPECT_LE(Hit().size(), 3u);
  EXPECT_EQ(FailuresWith(ECONNREFUSED), 0);
}

TEST_F(FaultInjectorTest, AKilledProcessIsRefusedUntilItRestarts) {
  Run("kill server from 10s to 20s");
  EXPECT_EQ(server_restarts_, 1u);
  EXPECT_GT(FailuresWith(ECONNREFUSED), 100);
}

TEST_F(FaultInjectorTest, APausedProcessAnswersLater) {
  Run("pause server from 12s to 15s");
  EXPECT_EQ(server_restarts_, 0u);
  EXPECT_EQ(Failures(), 0);
  EXPECT_GT(Longest(), absl::Seconds(2.9));
}

Task<absl::Status> TakeAll(uint64_t* bytes) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  absl::StatusOr<TcpStream> stream = co_await listener->Accept();
  if (!stream.ok()) co_return stream.status();
  for (;;) {
    const absl::StatusOr<Buffer> chunk = co_await stream->Receive();
    if (!chunk.ok() || chunk->empty()) co_return chunk.status();
    *bytes += chunk->size();
  }
}

Task<absl::Status> SendOften(SocketAddress server) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(server);
  while (stream.ok()) {
    const IoResult written = co_await stream->WriteAll(std::string(10 * kRequestBytes, 'r'));
    if (!written.ok()) co_return written.status;
    const absl::Status slept = co_await Sleep(absl::Milliseconds(10));
    if (!slept.ok()) co_return slept;
  }
  co_return stream.status();
}

// Else the sender would find out by its probes, which are minutes apart by then.
TEST(StalledWindowTest, WhenItEndsThePeerHearsOfTheRoomAtOnce) {
  World world;
  uint64_t bytes = 0;
  Host& server = world.AddHost("server", [&] { return TakeAll(&bytes); });
  world.AddHost("client", [&] { return SendOften(server.address(kPort)); });
  world.Inject(*FaultPlan::Parse("stalled-window server from 1s to 101s"));
  ASSERT_TRUE(world.RunFor(absl::Seconds(101)).ok());
  const uint64_t before = bytes;
  EXPECT_TRUE(world.RunUntil([&] { return bytes > before; }, absl::Milliseconds(100)).ok());
}

Task<absl::Status> SleepShortly(Instant* woken) {
  const absl::Status slept = co_await Sleep(absl::Milliseconds(500));
  *woken = Now();
  co_return slept;
}

TEST(LateTimersTest, WhenTheyEndATimerThatIsDueWakesTheProcess) {
  World world;
  Instant woken;
  Host& host = world.AddHost("host", [&] { return SleepShortly(&woken); });
  world.Inject(*FaultPlan::Parse("late-timers host from 0s to 2s strength 60000000000"));
  EXPECT_TRUE(world.RunUntilDone(host, absl::Minutes(2)).ok());
  EXPECT_EQ(woken, Instant() + absl::Seconds(2));
}

Task<absl::Status> CountDatagrams(int* count) {
  absl::StatusOr<tandem::UdpSocket> socket = tandem::UdpSocket::Bind(SocketAddress::AnyIpv4(kPort));
  while (socket.ok()) {
    std::array<char, 1> start;
    const absl::StatusOr<ReceivedDatagram> datagram = co_await socket->ReceiveFrom(absl::MakeSpan(start));
    if (!datagram.ok()) co_return datagram.status();
    ++*count;
  }
  co_return socket.status();
}

Task<absl::Status> SendDatagrams(SocketAddress server, int count) {
  absl::StatusOr<tandem::UdpSocket> socket = tandem::UdpSocket::Open(AddressFamily::kIpv4);
  if (!socket.ok()) co_return socket.status();
  for (int i = 0; i < count; ++i) {
    absl::Status sent = co_await socket->SendTo(std::string(kRequestBytes, 'r'), server);
    if (!sent.ok()) co_return sent;
  }
  co_return absl::OkStatus();
}

// How many of 20 datagrams of 1,028 bytes, all sent at once, arrive under `plan`.
int ArriveOf20(absl::string_view plan) {
  World world;
  int arrived = 0;
  Host& server = world.AddHost("server", [&] { return CountDatagrams(&arrived); });
  Host& client = world.AddHost("client", [&] { return SendDatagrams(server.address(kPort), 20); });
  world.Inject(*FaultPlan::Parse(plan));
  EXPECT_EQ(world.RunUntilDone(client, absl::Minutes(1)), absl::OkStatus());
  EXPECT_TRUE(world.RunFor(absl::Minutes(1)).ok());
  return arrived;
}

TEST(QueueLimitTest, WhatDoesNotFitIsDropped) {
  EXPECT_EQ(ArriveOf20(""), 20);
  EXPECT_EQ(ArriveOf20("queue-limit client server from 0s to 9s strength 3000"), 3);
  EXPECT_EQ(ArriveOf20("queue-limit client server from 0s to 9s strength 1"), 1);
  EXPECT_EQ(ArriveOf20("queue-limit client server from 0s to 9s strength 100000"), 20);
  // Of two the shorter one holds, and so it does against what a slow link lets wait.
  EXPECT_EQ(ArriveOf20("queue-limit client server from 0s to 9s strength 3000\n"
                       "queue-limit client server from 0s to 9s strength 6000\n"),
            3);
  EXPECT_EQ(ArriveOf20("bandwidth client server from 0s to 9s strength 20000\n"
                       "queue-limit client server from 0s to 9s strength 6000\n"),
            6);
  EXPECT_EQ(ArriveOf20("bandwidth client server from 0s to 9s strength 20000"), 20);
}

Task<absl::Status> SendOnce(SocketAddress server) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(server);
  if (!stream.ok()) co_return stream.status();
  const IoResult written = co_await stream->WriteAll("hello");
  co_return written.status;
}

TEST(JitterTest, AProcessMayTakeLongToDrainByIt) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    World world(WorldOptions().set_seed(seed));
    Host& server = world.AddHost("server", &Serve);
    Host& client = world.AddHost("client", [&] { return SendOnce(server.address(kPort)); });
    world.Inject(*FaultPlan::Parse("jitter client from 0s to 1000s strength 60000000000"));
    EXPECT_EQ(world.RunUntilDone(client, absl::Hours(1)), absl::OkStatus());
  }
}

TEST(LateHostTest, AFaultOfAllHostsHitsOneThatIsAddedLater) {
  World world;
  world.AddHost("server", &Serve);
  world.Inject(
      *FaultPlan::Parse("short-reads * from 0s to 100s strength 1000000\n"
                        "clock-offset * from 0s to 100s strength 1000000\n"));
  world.After(absl::Milliseconds(1), [&] {
    Host& late = world.AddHost("late", &Serve);
    EXPECT_FALSE(late.stack().faults().short_read.is_never());
    EXPECT_EQ(late.stack().clock().WallNs(0), 1'000'000);
  });
  ASSERT_TRUE(world.RunFor(absl::Seconds(50)).ok());
}

}  // namespace
}  // namespace tandem::sim
