// SPDX-License-Identifier: Apache-2.0
//
// The simulated TCP, seen through the reactor: bytes and their end, windows and buffers.

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/base/random.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/link.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/tcp/tcp_socket.h"
#include "tandem/sim/testing/tcp_test_world.h"
#include "tandem/sim/testing/test_programs.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {
namespace {

TEST(TcpStreamTest, TheFirstSendAfterThePeerClosedIsTakenAndTheSecondFails) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  world.Close(world.server, pair.server);
  world.Settle();

  EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
  world.Settle();
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), -EPIPE);
  EXPECT_EQ(world.Receive(world.client, pair.client), "|EOF");
}

TEST(TcpStreamTest, CloseWithUnreadDataResetsAndWhatWasSentIsStillRead) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  EXPECT_EQ(world.Send(world.client, pair.client, "0123456789"), 10);
  world.Settle();
  EXPECT_EQ(world.Send(world.server, pair.server, "reply"), 5);
  world.Close(world.server, pair.server);
  world.Settle();

  EXPECT_EQ(TcpWorld::Peer(world.client, pair.client), -ENOTCONN);
  EXPECT_EQ(world.Receive(world.client, pair.client), "reply|ECONNRESET");
  EXPECT_EQ(world.Receive(world.client, pair.client), "|EOF");
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), -EPIPE);
}

TEST(TcpStreamTest, ResetOnCloseIsReportedOnceWhoeverAsksFirst) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  world.server.reactor().SetOption(pair.server, SocketOption::kLinger, 0);
  world.Close(world.server, pair.server);
  world.Settle();

  EXPECT_EQ(world.Send(world.client, pair.client, "x"), -ECONNRESET);
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), -EPIPE);
  EXPECT_EQ(world.Receive(world.client, pair.client), "|EOF");
}

TEST(TcpStreamTest, TheEndOfTheStreamComesAfterTheDataAndStays) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  world.Send(world.server, pair.server, "abc");
  world.Close(world.server, pair.server);
  world.Settle();

  EXPECT_EQ(TcpWorld::Peer(world.client, pair.client), 0);
  EXPECT_EQ(world.Receive(world.client, pair.client, kSecond, 2), "ab");
  EXPECT_EQ(world.Receive(world.client, pair.client, kSecond, 1), "c");
  EXPECT_EQ(world.Receive(world.client, pair.client), "|EOF");
  EXPECT_EQ(world.Receive(world.client, pair.client), "|EOF");
}

TEST(TcpStreamTest, AHalfClosedConnectionStillCarriesTheOtherHalf) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().Shutdown(pair.client, ShutdownHow::kWrite), 0);
  EXPECT_EQ(world.client.reactor().Shutdown(pair.client, ShutdownHow::kWrite), 0);

  EXPECT_EQ(world.Receive(world.server, pair.server), "|EOF");
  EXPECT_EQ(world.Send(world.server, pair.server, "late"), 4);
  EXPECT_EQ(world.Receive(world.client, pair.client), "late");
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), -EPIPE);
  EXPECT_EQ(TcpWorld::State(world.client, pair.client), TcpState::kFinWait2);
  EXPECT_EQ(TcpWorld::State(world.server, pair.server), TcpState::kCloseWait);
  world.Close(world.server, pair.server);
  EXPECT_EQ(world.Receive(world.client, pair.client), "|EOF");
}

TEST(TcpStreamTest, AFreshSocketIsNotConnected) {
  TcpWorld world;
  const SocketId id = TcpWorld::Open(world.client);

  EXPECT_EQ(world.client.reactor().Shutdown(id, ShutdownHow::kBoth), -ENOTCONN);
  EXPECT_EQ(world.Receive(world.client, id), "|" + std::to_string(ENOTCONN));
  EXPECT_EQ(world.Send(world.client, id, "x"), -EPIPE);
  EXPECT_EQ(TcpWorld::Peer(world.client, id), -ENOTCONN);
}

TEST(TcpStreamTest, ShutdownReadEndsTheStreamButNotTheData) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  TestSource source(Source::Kind::kReceive);
  source.socket = pair.client;
  source.budget = 100;
  world.client.reactor().Arm(source);
  EXPECT_EQ(world.client.reactor().Shutdown(pair.client, ShutdownHow::kRead), 0);
  world.room.RunUntil([&] { return source.ends == 1; });
  EXPECT_EQ(source.end, SourceEnd::kEndOfStream);

  EXPECT_EQ(world.Send(world.server, pair.server, "new"), 3);
  world.Settle();
  EXPECT_EQ(world.Receive(world.client, pair.client), "new|EOF");
}

TEST(TcpStreamTest, ShutdownReadLeavesWhatIsThereAndACloseResetsForWhatIsNotRead) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  EXPECT_EQ(world.Send(world.server, pair.server, "pending"), 7);
  world.Settle();
  EXPECT_EQ(world.client.reactor().Shutdown(pair.client, ShutdownHow::kRead), 0);
  EXPECT_EQ(world.Receive(world.client, pair.client), "pending|EOF");
  world.room.RunFor(100 * kMillisecond);
  EXPECT_EQ(world.Send(world.server, pair.server, "unread"), 6);
  world.Settle();
  world.Close(world.client, pair.client);
  EXPECT_EQ(world.Receive(world.server, pair.server), "|ECONNRESET");
}

TEST(TcpStreamTest, ShutdownOfBothHalvesEndsBoth) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  TestSource source(Source::Kind::kReceive);
  source.socket = pair.client;
  source.budget = 100;
  world.client.reactor().Arm(source);
  EXPECT_EQ(world.client.reactor().Shutdown(pair.client, ShutdownHow::kBoth), 0);
  world.room.RunUntil([&] { return source.ends == 1; });
  EXPECT_EQ(source.end, SourceEnd::kEndOfStream);

  EXPECT_EQ(world.Send(world.client, pair.client, "x"), -EPIPE);
  EXPECT_EQ(world.Receive(world.server, pair.server), "|EOF");
  // Nobody will read it, and Linux says so in FIN_WAIT2.
  EXPECT_EQ(world.Send(world.server, pair.server, "x"), 1);
  world.Settle();
  EXPECT_EQ(world.Send(world.server, pair.server, "x"), -EPIPE);
}

TEST(TcpStreamTest, AResetAfterTheEndIsAPipeErrorOnce) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  world.Close(world.server, pair.server);
  world.Settle();
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
  world.Settle();

  EXPECT_EQ(TcpWorld::Option(world.client, pair.client, SocketOption::kError), EPIPE);
  EXPECT_EQ(TcpWorld::Option(world.client, pair.client, SocketOption::kError), 0);
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), -EPIPE);
  EXPECT_EQ(TcpWorld::State(world.client, pair.client), TcpState::kClosed);
}

TEST(TcpStreamTest, LingerZeroResetsAfterTheData) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  world.server.reactor().SetOption(pair.server, SocketOption::kLinger, 0);
  EXPECT_EQ(world.Send(world.server, pair.server, "data"), 4);
  world.Settle();
  world.Close(world.server, pair.server);
  world.Settle();

  EXPECT_EQ(world.Receive(world.client, pair.client), "data|ECONNRESET");
  EXPECT_EQ(world.Receive(world.client, pair.client), "|EOF");
}

TEST(TcpStreamTest, BothEndsCanShutDownAtOnce) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().Shutdown(pair.client, ShutdownHow::kWrite), 0);
  EXPECT_EQ(world.server.reactor().Shutdown(pair.server, ShutdownHow::kWrite), 0);
  world.Settle();

  EXPECT_EQ(world.Receive(world.client, pair.client), "|EOF");
  EXPECT_EQ(world.Receive(world.server, pair.server), "|EOF");
  EXPECT_EQ(TcpWorld::State(world.client, pair.client), TcpState::kTimeWait);
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), -EPIPE);
}

TEST(TcpStreamTest, ASendWaitsForAReaderAndACancelTellsWhatWent) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  std::string bytes(1 << 20, ' ');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 + i / 256);
  TestOperation send;
  const IoSlice slice{bytes.data(), bytes.size()};
  send.socket = pair.client;
  send.slices = absl::MakeConstSpan(&slice, 1);
  world.client.reactor().Submit(send);
  world.room.RunFor(10 * kSecond);
  ASSERT_EQ(send.completions, 0);

  world.client.reactor().Cancel(send);
  world.room.RunUntil([&] { return send.completions == 1; });
  ASSERT_GT(send.result, 0);
  ASSERT_LT(send.result, static_cast<int64_t>(bytes.size()));
  world.Close(world.client, pair.client);

  EXPECT_EQ(world.Receive(world.server, pair.server, 1000 * kSecond),
            bytes.substr(0, static_cast<size_t>(send.result)) + "|EOF");
}

TEST(TcpStreamTest, AFinWithoutBytesDoesNotWaitForAClosedWindow) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  const std::string window(64 << 10, 'x');
  ASSERT_EQ(world.Send(world.client, pair.client, window), static_cast<int64_t>(window.size()));
  world.Settle();
  ASSERT_EQ(world.server.stack().Find(pair.server)->receive_bytes(), window.size());

  ASSERT_EQ(world.client.stack().Shutdown(pair.client, ShutdownHow::kWrite), 0);
  world.Settle();
  EXPECT_EQ(TcpWorld::State(world.server, pair.server), TcpState::kCloseWait);
  EXPECT_EQ(world.Receive(world.server, pair.server), window + "|EOF");
}

TEST(TcpStreamTest, DefaultBuffersDoNotTuneThemselves) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  const std::string bytes(1 << 20, 'x');
  TestOperation send;
  const IoSlice slice{bytes.data(), bytes.size()};
  send.socket = pair.client;
  send.slices = absl::MakeConstSpan(&slice, 1);
  world.client.reactor().Submit(send);
  world.room.RunFor(10 * kSecond);
  EXPECT_EQ(world.server.stack().Find(pair.server)->receive_bytes(), size_t{64} << 10);

  world.client.reactor().Cancel(send);
  world.room.RunUntil([&] { return send.completions == 1; });
  // A third of the send buffer is free before a send that waits goes on.
  EXPECT_GT(send.result, (64 << 10) + (128 << 10) * 2 / 3);
  EXPECT_LE(send.result, (64 << 10) + (128 << 10));
}

TEST(TcpStreamTest, ACloseGoesOnSendingWhatItHas) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  const std::string bytes(100'000, 'x');
  EXPECT_EQ(world.Send(world.client, pair.client, bytes), 100'000);
  world.Close(world.client, pair.client);

  EXPECT_EQ(world.Receive(world.server, pair.server, 100 * kSecond), bytes + "|EOF");
}

TEST(TcpStreamTest, BufferSizesAreDoubledAndBounded) {
  TcpWorld world;
  const SocketId id = TcpWorld::Open(world.client);
  SimReactor& reactor = world.client.reactor();

  reactor.SetOption(id, SocketOption::kReceiveBufferSize, 20000);
  EXPECT_EQ(TcpWorld::Option(world.client, id, SocketOption::kReceiveBufferSize), 40000);
  reactor.SetOption(id, SocketOption::kReceiveBufferSize, 1);
  EXPECT_EQ(TcpWorld::Option(world.client, id, SocketOption::kReceiveBufferSize), 2304);
  reactor.SetOption(id, SocketOption::kSendBufferSize, 1);
  EXPECT_EQ(TcpWorld::Option(world.client, id, SocketOption::kSendBufferSize), 4608);
}

TEST(TcpStreamTest, TinyBuffersStillCarryEverything) {
  TcpWorld world;
  const SocketId listener = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
  world.server.reactor().SetOption(listener, SocketOption::kReceiveBufferSize, 1);
  const SocketId c = TcpWorld::Open(world.client);
  world.client.reactor().SetOption(c, SocketOption::kSendBufferSize, 1);
  ASSERT_EQ(world.Connect(world.client, c, world.server.Address(kPort)), 0);
  const SocketId s = world.Accept(world.server, listener);
  const std::string bytes(50'000, 'x');
  TestOperation send;
  const IoSlice slice{bytes.data(), bytes.size()};
  send.socket = c;
  send.slices = absl::MakeConstSpan(&slice, 1);
  world.client.reactor().Submit(send);

  EXPECT_EQ(world.Receive(world.server, s, 1000 * kSecond, bytes.size()), bytes);
  world.Settle();
  EXPECT_EQ(send.result, 50'000);
}

TEST(TcpStreamTest, AReaderThatPausesIsWokenByProbesWhenAWindowUpdateIsLost) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  const std::string bytes(180'000, 'x');
  TestOperation send;
  const IoSlice slice{bytes.data(), bytes.size()};
  send.socket = pair.client;
  send.slices = absl::MakeConstSpan(&slice, 1);
  world.client.reactor().Submit(send);
  world.room.RunFor(5 * kSecond);
  world.room.network.Block(world.server.stack(), world.client.stack());
  std::string got = world.Receive(world.server, pair.server, kMillisecond);
  world.room.RunFor(kSecond);
  world.room.network.Unblock(world.server.stack(), world.client.stack());

  got += world.Receive(world.server, pair.server, 300 * kSecond, bytes.size() - got.size());
  EXPECT_EQ(got, bytes);
  world.Settle();
  EXPECT_EQ(send.result, 180'000);
}

TEST(TcpStreamTest, ProbesOfAClosedWindowDoNotCountAsLossesAfterwards) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  const std::string bytes(120'000, 'x');
  EXPECT_EQ(world.Send(world.client, pair.client, bytes), 120'000);
  EXPECT_EQ(world.Close(world.client, pair.client), 0);
  world.room.RunFor(200 * kSecond);  // More probes than a closed socket has tries.
  world.room.network.Block(world.client.stack(), world.server.stack());
  std::string got = world.Receive(world.server, pair.server, kSecond / 20);
  world.room.network.Unblock(world.client.stack(), world.server.stack());

  got += world.Receive(world.server, pair.server, kSecond);
  EXPECT_EQ(got, bytes + "|EOF");
}

TEST(TcpStreamTest, ABudgetEndsTheArmingAtExactlyThatManyBytes) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  world.Send(world.client, pair.client, std::string(1000, 'x'));
  world.Settle();
  TestSource source(Source::Kind::kReceive);
  source.socket = pair.server;
  source.budget = 333;
  world.server.reactor().Arm(source);
  world.room.RunUntil([&] { return source.ends == 1; });

  EXPECT_EQ(source.bytes.size(), 333u);
  EXPECT_EQ(source.end, SourceEnd::kBudget);
  EXPECT_EQ(world.Receive(world.server, pair.server).size(), 667u);
}

TEST(TcpStreamTest, DisarmEndsOnceInBothWaysOfReading) {
  for (const bool read_ahead : {false, true}) {
    SimReactorOptions options;
    options.read_ahead = read_ahead;
    TcpWorld world(1, options);
    const TcpWorld::Pair pair = world.Connected();
    world.Send(world.client, pair.client, "hello");
    world.Settle();
    TestSource source(Source::Kind::kReceive);
    source.socket = pair.server;
    source.budget = 100;
    world.server.reactor().Arm(source);
    world.server.reactor().Disarm(source);
    world.Settle();

    EXPECT_EQ(source.ends, 1);
    EXPECT_EQ(source.end, SourceEnd::kDisarmed);
    EXPECT_EQ(source.bytes, read_ahead ? "hello" : "");
    EXPECT_EQ(source.bytes + world.Receive(world.server, pair.server), "hello");
  }
}

TEST(TcpStreamTest, RequestAndResponseNeedTwoPacketsAndNoTimer) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  world.Settle();
  const uint64_t before = world.room.network.statistics().packets_sent;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(world.Send(world.client, pair.client, "request"), 7);
    EXPECT_EQ(world.Receive(world.server, pair.server, kSecond, 7), "request");
    EXPECT_EQ(world.Send(world.server, pair.server, "response"), 8);
    EXPECT_EQ(world.Receive(world.client, pair.client, kSecond, 8), "response");
  }

  EXPECT_LE(world.room.network.statistics().packets_sent - before, 205u);
}

// The time to wait for the first acknowledgement comes from the handshake: without that, everything that is said first
// over a long way would be said twice.
TEST(TcpStreamTest, OverALongWayNothingIsSentTwice) {
  TcpWorld world;
  LinkConditions conditions;
  conditions.latency = LatencyDistribution::Fixed(400 * kMillisecond);
  world.room.network.SetDefaultConditions(conditions);
  const TcpWorld::Pair pair = world.Connected();

  EXPECT_EQ(world.Send(world.client, pair.client, "hello"), 5);
  EXPECT_EQ(world.Send(world.server, pair.server, "welcome"), 7);
  EXPECT_EQ(world.Receive(world.server, pair.server, 10 * kSecond), "hello");
  EXPECT_EQ(world.Receive(world.client, pair.client, 10 * kSecond), "welcome");
  EXPECT_EQ(world.room.network.statistics().retransmissions, 0u);
}

TEST(TcpStreamTest, ABulkTransferIsNotHeldUpByTimers) {
  for (const bool reorder : {false, true}) {
    TcpWorld world;
    const TcpWorld::Pair pair = world.Connected();
    LinkConditions conditions;
    if (reorder) conditions.reorder = Probability::Ratio(1, 50);
    world.room.network.SetDefaultConditions(conditions);
    const std::string bytes(4 << 20, 'x');
    TestOperation send;
    const IoSlice slice{bytes.data(), bytes.size()};
    send.socket = pair.client;
    send.slices = absl::MakeConstSpan(&slice, 1);
    const int64_t start = world.room.events.now_ns();
    world.client.reactor().Submit(send);
    EXPECT_EQ(world.Receive(world.server, pair.server, 100 * kSecond, bytes.size()).size(), bytes.size());
    // A window of 64 KiB in each round trip of some hundred microseconds.
    EXPECT_LT(world.room.events.now_ns() - start, 150 * kMillisecond);
    world.Settle();
    EXPECT_EQ(send.result, static_cast<int64_t>(bytes.size()));
  }
}

TEST(TcpStreamTest, AReaderThatGoesOnReopensTheWindowAtOnce) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  const std::string bytes(180'000, 'x');
  TestOperation send;
  const IoSlice slice{bytes.data(), bytes.size()};
  send.socket = pair.client;
  send.slices = absl::MakeConstSpan(&slice, 1);
  world.client.reactor().Submit(send);
  world.room.RunFor(50 * kMillisecond);
  const int64_t start = world.room.events.now_ns();

  EXPECT_EQ(world.Receive(world.server, pair.server, kSecond, bytes.size()).size(), bytes.size());
  EXPECT_LT(world.room.events.now_ns() - start, 20 * kMillisecond);
  world.Settle();
  EXPECT_EQ(send.result, 180'000);
}

}  // namespace
}  // namespace tandem::sim
