// SPDX-License-Identifier: Apache-2.0
//
// Streams, waiting and waking as every reactor of a real machine has them: one body, linked with each. What the
// simulator promises too is in //testing.

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/create_reactor.h"
#include "tandem/core/io/reactor.h"
#include "tandem/posix/reactor_fixture.h"

namespace tandem::posix {
namespace {

std::unique_ptr<Reactor> CreateReactor(const ReactorOptions& options) {
  auto reactor = CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(options);
  EXPECT_TRUE(reactor.ok()) << reactor.status();
  return *std::move(reactor);
}

class StreamsTest : public ReactorFixture {
 protected:
  void Start(const ReactorOptions& options = ReactorOptions()) { reactor_ = CreateReactor(options); }
};

class StreamTrafficTest : public TrafficFixture {
 protected:
  void SetUp() override { reactor_ = CreateReactor(ReactorOptions()); }
};

// --- The plain path --------------------------------------------------------------------------------------------------

TEST_F(StreamsTest, AcceptConnectSendReceiveCloseRoundTrip) {
  Start();
  SocketAddress address;
  TestSource accept(Source::Kind::kAccept);
  Arm(&accept, Listener(&address));
  const SocketId client = static_cast<SocketId>(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream));

  ASSERT_EQ(Connect(client, address), 0);
  ASSERT_TRUE(RunUntil([&] { return !accept.accepted.empty(); }));
  const SocketId server = Keep(accept.accepted[0]);
  TestSource receive(Source::Kind::kReceive);
  Arm(&receive, server);
  ASSERT_EQ(Send(client, "hello"), 5);
  ASSERT_TRUE(RunUntil([&] { return receive.received == "hello"; }));
  TestOperation close_client;
  close_client.kind = OperationKind::kClose;
  close_client.socket = client;
  reactor_->Submit(close_client);
  ASSERT_TRUE(RunUntil([&] { return close_client.done && !receive.armed(); }));

  EXPECT_EQ(close_client.result, 0);
  EXPECT_EQ(receive.ends, (Ends{{SourceEnd::kEndOfStream, 0}}));
  EXPECT_NE(fcntl(server, F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(fcntl(server, F_GETFD) & FD_CLOEXEC, 0);
  Disarm(&accept);
  EXPECT_EQ(accept.ends, (Ends{{SourceEnd::kDisarmed, 0}}));
  EXPECT_EQ(reactor_->in_flight(), 0u);
}

TEST_F(StreamsTest, RefusedConnectCompletesWithTheErrno) {
  Start();
  SocketAddress address;
  const SocketId bound = Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
  ASSERT_EQ(reactor_->Bind(bound, SocketAddress::LoopbackIpv4(0)), 0);
  ASSERT_EQ(reactor_->LocalAddress(bound, &address), 0);

  EXPECT_EQ(Connect(Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream)), address), -ECONNREFUSED);
  EXPECT_EQ(Connect(Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream)), SocketAddress()),
            -EAFNOSUPPORT);
}

TEST_F(StreamsTest, CancelEndsAConnectThatWaits) {
  Start();
  // A full backlog of a listener that nobody accepts from leaves further connects waiting.
  SocketAddress address;
  const SocketId listener = Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
  ASSERT_EQ(reactor_->Bind(listener, SocketAddress::LoopbackIpv4(0)), 0);
  ASSERT_EQ(reactor_->Listen(listener, 0), 0);
  ASSERT_EQ(reactor_->LocalAddress(listener, &address), 0);
  ASSERT_EQ(Connect(Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream)), address), 0);
  TestOperation connect;
  connect.kind = OperationKind::kConnect;
  connect.socket = Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
  connect.address = address;
  reactor_->Submit(connect);
  RunFor(absl::Milliseconds(20));
  ASSERT_FALSE(connect.done);

  reactor_->Cancel(connect);
  ASSERT_TRUE(RunUntil([&] { return connect.done; }));

  EXPECT_EQ(connect.result, -ECANCELED);
}

TEST_F(StreamsTest, SendToClosedPeerIsAnErrorAndNoSignal) {
  Start();
  auto [client, server] = Connection();
  ASSERT_EQ(reactor_->SetOption(server, SocketOption::kLinger, 0), 0);
  close(std::exchange(server, -1));
  sockets_.pop_back();
  absl::SleepFor(absl::Milliseconds(5));

  const int64_t first = Send(client, "x");
  const int64_t second = Send(client, "x");

  EXPECT_TRUE(first == -ECONNRESET || first == -EPIPE) << first;
  EXPECT_EQ(second, -EPIPE);
}

TEST_F(StreamsTest, VectoredSendArrivesInOrderWhole) {
  Start();
  const auto [client, server] = Connection();
  const std::string expected = Pattern(3'000'000);
  std::vector<IoSlice> slices;
  for (size_t at = 0, size = 1; at < expected.size(); at += size, size = std::min(size * 3, expected.size() - at)) {
    slices.push_back({expected.data() + at, std::min(size, expected.size() - at)});
  }
  TestSource receive(Source::Kind::kReceive);
  Arm(&receive, server);
  TestOperation send;
  send.kind = OperationKind::kSend;
  send.socket = client;
  send.slices = slices;

  reactor_->Submit(send);
  ASSERT_TRUE(RunUntil([&] { return send.done && receive.received.size() >= expected.size(); }));

  EXPECT_EQ(send.result, static_cast<int64_t>(expected.size()));
  EXPECT_TRUE(receive.received == expected);
  Disarm(&receive);
}

TEST_F(StreamsTest, StartsFromCallbacksAreServed) {
  Start(ReactorOptions().set_ring_entries(1));  // So that callbacks find the submission queue full.
  const auto [client, server] = Connection();
  TestSource receive(Source::Kind::kReceive);
  Arm(&receive, server);
  constexpr int kSends = 300;
  int left = kSends;
  TestOperation send;
  const std::string byte = "x";
  send.then = [&, client = client] {
    if (--left > 0) StartSend(&send, client, byte);
  };

  StartSend(&send, client, byte);

  EXPECT_TRUE(RunUntil([&] { return receive.received.size() == kSends; }));
  EXPECT_EQ(left, 0);
  Disarm(&receive);
}

// --- The end of a stream ---------------------------------------------------------------------------------------------

TEST_F(StreamsTest, EndOfStreamComesAfterTheBytes) {
  Start();
  const auto [client, server] = Connection();
  const std::string bytes = Pattern(50'000);
  WriteDirectly(client, bytes);
  ASSERT_EQ(shutdown(client, SHUT_WR), 0);
  TestSource receive(Source::Kind::kReceive);

  Arm(&receive, server);
  ASSERT_TRUE(RunUntil([&] { return !receive.armed(); }));

  EXPECT_TRUE(receive.received == bytes);
  EXPECT_EQ(receive.ends, (Ends{{SourceEnd::kEndOfStream, 0}}));
}

TEST_F(StreamsTest, ResetByPeerEndsTheReceiveWithTheErrno) {
  Start();
  const auto [client, server] = Connection();
  TestSource receive(Source::Kind::kReceive);
  Arm(&receive, server);
  ASSERT_EQ(reactor_->SetOption(client, SocketOption::kLinger, 0), 0);
  TestOperation close_client;
  close_client.kind = OperationKind::kClose;
  close_client.socket = client;
  sockets_.erase(std::find(sockets_.begin(), sockets_.end(), client));

  reactor_->Submit(close_client);
  ASSERT_TRUE(RunUntil([&] { return close_client.done && !receive.armed(); }));

  EXPECT_EQ(receive.ends, (Ends{{SourceEnd::kError, ECONNRESET}}));
}

// --- No descriptors --------------------------------------------------------------------------------------------------

class DescriptorLimit {
 public:
  DescriptorLimit() { getrlimit(RLIMIT_NOFILE, &old_); }
  ~DescriptorLimit() { Lift(); }
  // No descriptor above those that are open now.
  void Close() {
    const int next = dup(0);
    close(next);
    const rlimit limit = {.rlim_cur = static_cast<rlim_t>(next), .rlim_max = old_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  void Lift() { setrlimit(RLIMIT_NOFILE, &old_); }

 private:
  rlimit old_ = {};
};

TEST_F(StreamsTest, AcceptWithoutDescriptorsBacksOffAndKeepsTheClient) {
  Start();
  SocketAddress address;
  TestSource accept(Source::Kind::kAccept);
  Arm(&accept, Listener(&address));
  const SocketId client = Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
  DescriptorLimit limit;
  limit.Close();
  ASSERT_EQ(Connect(client, address), 0);
  ASSERT_TRUE(RunUntil([&] { return reactor_->statistics().descriptor_shortages > 0; }));
  const uint64_t before = reactor_->statistics().enters;

  RunFor(absl::Milliseconds(500));

  EXPECT_LE(reactor_->statistics().enters - before, 40u);  // 5, 10, 20, ... 100 ms, two or three enters each.
  EXPECT_TRUE(accept.accepted.empty());
  EXPECT_TRUE(accept.ends.empty());
  limit.Lift();
  ASSERT_TRUE(RunUntil([&] { return !accept.accepted.empty(); }));
  Keep(accept.accepted[0]);
  EXPECT_EQ(Send(client, "still here"), 10);
  Disarm(&accept);
}

// The kernel takes a number before it looks for a connection, and so finds none although nobody waits.
TEST_F(StreamsTest, AcceptWithoutDescriptorsAndClientsIsNoShortage) {
  Start();
  SocketAddress address;
  const SocketId listener = Listener(&address);
  const SocketId client = Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
  TestSource accept(Source::Kind::kAccept);
  DescriptorLimit limit;
  limit.Close();
  Arm(&accept, listener);
  RunFor(absl::Milliseconds(100));
  const uint64_t before = reactor_->statistics().enters;

  RunFor(absl::Milliseconds(400));

  EXPECT_EQ(reactor_->statistics().descriptor_shortages, 0u);
  EXPECT_LE(reactor_->statistics().enters - before, 4u);  // Those of RunFor().
  ASSERT_EQ(Connect(client, address), 0);
  ASSERT_TRUE(RunUntil([&] { return reactor_->statistics().descriptor_shortages > 0; }));
  limit.Lift();
  ASSERT_TRUE(RunUntil([&] { return !accept.accepted.empty(); }));
  Keep(accept.accepted[0]);
  Disarm(&accept);
}

TEST_F(StreamsTest, CloseOfASocketEndsTheBackOff) {
  Start();
  SocketAddress address;
  TestSource accept(Source::Kind::kAccept);
  Arm(&accept, Listener(&address));
  const SocketId client = Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
  const auto spare = static_cast<SocketId>(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
  DescriptorLimit limit;
  limit.Close();
  ASSERT_EQ(Connect(client, address), 0);
  ASSERT_TRUE(RunUntil([&] { return reactor_->statistics().descriptor_shortages >= 6; }));  // Pauses are long by now.
  TestOperation close_spare;
  close_spare.kind = OperationKind::kClose;
  close_spare.socket = spare;

  const uint64_t polls = reactor_->statistics().polls;
  reactor_->Submit(close_spare);
  while (accept.accepted.empty() && reactor_->statistics().polls - polls < 5) {
    ASSERT_TRUE(reactor_->Poll(reactor_->ReadClock() + absl::Milliseconds(20)));
  }

  ASSERT_EQ(accept.accepted.size(), 1u);
  Keep(accept.accepted[0]);
  Disarm(&accept);
}

TEST_F(StreamsTest, DisarmDuringBackOffEndsTheAccept) {
  Start();
  SocketAddress address;
  TestSource accept(Source::Kind::kAccept);
  Arm(&accept, Listener(&address));
  const SocketId client = Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
  DescriptorLimit limit;
  limit.Close();
  ASSERT_EQ(Connect(client, address), 0);
  ASSERT_TRUE(RunUntil([&] { return reactor_->statistics().descriptor_shortages > 0; }));

  Disarm(&accept);

  EXPECT_EQ(accept.ends, (Ends{{SourceEnd::kDisarmed, 0}}));
}

TEST_F(StreamsTest, AcceptOnAShutDownListenerIsAnError) {
  Start();
  SocketAddress address;
  TestSource accept(Source::Kind::kAccept);
  const SocketId listener = Listener(&address);
  Arm(&accept, listener);
  RunFor(absl::Milliseconds(5));

  ASSERT_EQ(reactor_->Shutdown(listener, ShutdownHow::kBoth), 0);
  ASSERT_TRUE(RunUntil([&] { return !accept.armed(); }));

  EXPECT_EQ(accept.ends, (Ends{{SourceEnd::kError, EINVAL}}));
}

// --- Cancellation ----------------------------------------------------------------------------------------------------

TEST_F(StreamsTest, CancelledSendReportsExactlyWhatThePeerReads) {
  Start();
  const std::string bytes = Pattern(64 << 20);
  const auto [client, server] = Connection();
  size_t peer = 0;
  int64_t reported = 0;
  for (int round = 0; round < 20; ++round) {
    TestOperation send;
    StartSend(&send, client, bytes);
    for (int i = 0; i < round; ++i) {
      char part[50'000];
      const ssize_t count = read(server, part, sizeof(part));
      if (count > 0) peer += static_cast<size_t>(count);
      ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));
    }
    ASSERT_FALSE(send.done);
    reactor_->Cancel(send);
    ASSERT_TRUE(RunUntil([&] { return send.done; }));
    if (send.result >= 0) {
      reported += send.result;
    } else {
      ASSERT_EQ(send.result, -ECANCELED);
    }
    peer += ReadDirectly(server).size();
    ASSERT_EQ(static_cast<int64_t>(peer), reported) << "round " << round;
  }
  EXPECT_GT(reported, 0);
}

TEST_F(StreamsTest, CancelledVectoredSendReportsExactlyWhatThePeerReads) {
  Start();
  const std::string bytes = Pattern(32 << 20);
  const auto [client, server] = Connection();
  std::vector<IoSlice> slices;
  for (size_t i = 0; i < Operation::kMaxSlices; ++i) {
    slices.push_back({bytes.data() + i * bytes.size() / Operation::kMaxSlices, bytes.size() / Operation::kMaxSlices});
  }
  TestOperation send;
  send.kind = OperationKind::kSend;
  send.socket = client;
  send.slices = slices;
  reactor_->Submit(send);
  RunFor(absl::Milliseconds(5));

  reactor_->Cancel(send);
  ASSERT_TRUE(RunUntil([&] { return send.done; }));

  EXPECT_GT(send.result, 0);
  EXPECT_EQ(static_cast<int64_t>(ReadDirectly(server).size()), send.result);
}

TEST_F(StreamsTest, DisarmRacingDataLosesNothing) {
  Start();
  const auto [client, server] = Connection();
  TestSource receive(Source::Kind::kReceive);
  std::string expected;
  uint32_t random = 7;
  for (int round = 0; round < 3000; ++round) {
    random = random * 1664525 + 1013904223;
    const std::string bytes = Pattern(1 + (random >> 8) % 3000, random);
    Arm(&receive, server);
    if ((random & 1) != 0) {
      ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));
    }
    WriteDirectly(client, bytes);
    expected += bytes;
    if ((random & 2) != 0) {
      ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));
    }
    Disarm(&receive);
    ASSERT_EQ(receive.ends.back(), (std::pair{SourceEnd::kDisarmed, 0}));
    // What is not drained now and then fills the socket's buffer, and the writer above would wait.
    if (round % 16 == 15) {
      Arm(&receive, server);
      ASSERT_TRUE(RunUntil([&] { return receive.received.size() == expected.size(); }));
      Disarm(&receive);
    }
  }
  Arm(&receive, server);
  ASSERT_TRUE(RunUntil([&] { return receive.received.size() >= expected.size(); }));
  Disarm(&receive);
  EXPECT_TRUE(receive.received == expected);
}

TEST_F(StreamsTest, DisarmFromTheCallbackEndsOnce) {
  Start();
  const auto [client, server] = Connection();
  TestSource receive(Source::Kind::kReceive);
  receive.then = [&] { reactor_->Disarm(receive); };
  WriteDirectly(client, "abc");

  Arm(&receive, server);
  ASSERT_TRUE(RunUntil([&] { return !receive.armed(); }));

  EXPECT_EQ(receive.received, "abc");
  EXPECT_EQ(receive.ends, (Ends{{SourceEnd::kDisarmed, 0}}));
}

TEST_F(StreamsTest, DisarmedAcceptLeavesLaterClientsInTheBacklog) {
  Start();
  SocketAddress address;
  TestSource accept(Source::Kind::kAccept);
  const SocketId listener = Listener(&address);
  Arm(&accept, listener);
  RunFor(absl::Milliseconds(2));
  Disarm(&accept);

  ASSERT_EQ(Connect(Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream)), address), 0);
  RunFor(absl::Milliseconds(5));
  EXPECT_TRUE(accept.accepted.empty());
  Arm(&accept, listener);

  ASSERT_TRUE(RunUntil([&] { return accept.accepted.size() == 1; }));
  Keep(accept.accepted[0]);
  Disarm(&accept);
}

// --- Waiting and waking ----------------------------------------------------------------------------------------------

TEST_F(StreamsTest, PollWaitsUntilTheInstant) {
  Start();
  const Instant until = reactor_->ReadClock() + absl::Milliseconds(30);

  while (reactor_->ReadClock() < until) ASSERT_TRUE(reactor_->Poll(until));

  EXPECT_LE(reactor_->statistics().polls, 3u);
}

TEST_F(StreamsTest, WakeBeforePollIsNotLost) {
  Start();

  reactor_->Wake();
  ASSERT_TRUE(reactor_->Poll(Instant::InfiniteFuture()));  // Would wait for ever.

  EXPECT_EQ(reactor_->statistics().wakes, 1u);
}

TEST_F(StreamsTest, TenThousandWakesFromAnotherThreadAreAllSeen) {
  Start();
  constexpr int kWakes = 10'000;
  std::atomic<int> posted{0};
  std::atomic<int> seen{0};
  // Each number is posted only when the one before was seen: one lost wake-up, and both wait for ever.
  std::thread poster([&] {
    for (int i = 1; i <= kWakes; ++i) {
      posted.store(i, std::memory_order_release);
      reactor_->Wake();
      while (seen.load(std::memory_order_acquire) < i) {
        if (i % 3 == 0) std::this_thread::yield();
      }
    }
  });

  while (seen.load(std::memory_order_relaxed) < kWakes) {
    ASSERT_TRUE(reactor_->Poll(Instant::InfiniteFuture()));
    seen.store(posted.load(std::memory_order_acquire), std::memory_order_release);
  }
  poster.join();

  EXPECT_GE(reactor_->statistics().wakes, static_cast<uint64_t>(kWakes) / 2);
}

TEST_F(StreamsTest, StopSignalWakesThePollAndCallsTheHandler) {
  Start();
  int calls = 0;
  reactor_->SetSignalHandler([&](int signal) {
    EXPECT_EQ(signal, SIGTERM);
    ++calls;
    reactor_->SetSignalHandler(nullptr);
  });
  ASSERT_EQ(reactor_->WatchSignal(SIGTERM, SignalWatch::kOnce), 0);
  const pthread_t self = pthread_self();
  std::thread sender([self] {
    absl::SleepFor(absl::Milliseconds(10));
    pthread_kill(self, SIGTERM);
  });

  while (calls == 0) ASSERT_TRUE(reactor_->Poll(Instant::InfiniteFuture()));
  sender.join();

  EXPECT_EQ(calls, 1);
}

TEST_F(StreamsTest, MayBeCreatedOnAnotherThread) {
  std::thread creator([this] { Start(); });
  creator.join();
  ASSERT_NE(reactor_, nullptr);

  const auto [client, server] = Connection();

  TestSource receive(Source::Kind::kReceive);
  Arm(&receive, server);
  EXPECT_EQ(Send(client, "hello"), 5);
  EXPECT_TRUE(RunUntil([&] { return receive.received == "hello"; }));
  Disarm(&receive);
}

// Destroys a reactor with a receive in flight and a Buffer out, and exits with 0 when both survive.
[[noreturn]] void DestroyWithWorkInFlight() {
  auto reactor = CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(ReactorOptions());
  int pair[2] = {-1, -1};
  if (!reactor.ok() || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) _exit(2);
  auto* receive = new TestSource(Source::Kind::kReceive);  // Never destroyed, as it stays armed.
  receive->keep = true;
  receive->socket = pair[0];
  receive->budget = kPlenty;
  (*reactor)->Arm(*receive);
  if (write(pair[1], "x", 1) != 1) _exit(3);
  while (receive->kept.empty()) (void)(*reactor)->Poll(Instant::InfiniteFuture());
  reactor->reset();
  if (write(pair[1], "y", 1) != 1) _exit(3);
  _exit(receive->kept.front().view() == "x" ? 0 : 4);
}

// A runtime that could not drain its reactor destroys it all the same: nothing may be freed that the kernel still uses.
TEST(StreamsDeathTest, DestructionWithWorkInFlightLeaksInsteadOfCrashing) {
  EXPECT_EXIT(DestroyWithWorkInFlight(), ::testing::ExitedWithCode(0), "");
}

// A child of fork(2) shares the kernel's side of the reactor with its parent.
TEST(StreamsDeathTest, ReactorIsOfNoUseToAChildProcess) {
  const std::unique_ptr<Reactor> reactor = CreateReactor(ReactorOptions());
  ASSERT_TRUE(reactor->Poll(Instant::InfinitePast()));

  EXPECT_DEATH((void)reactor->Poll(Instant::InfinitePast()), "does not survive fork");
}

// --- Much at once ----------------------------------------------------------------------------------------------------

TEST_F(StreamTrafficTest, FiveHundredConnectionsGetExactBytes) { RunTraffic(500, 200'000); }

}  // namespace
}  // namespace tandem::posix
