// SPDX-License-Identifier: Apache-2.0
//
// Drives the reactor directly, without coroutines: small operations and sources that write down what is reported.

#include "uring/uring_reactor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/base/instant.h"
#include "core/io/address.h"
#include "core/io/buffer.h"
#include "core/io/reactor.h"
#include "gtest/gtest.h"

namespace tandem::uring {
namespace {

constexpr size_t kPlenty = size_t{1} << 40;

class TestOperation final : public Operation {
 public:
  ~TestOperation() override = default;

  bool done = false;
  int64_t result = 0;
  std::function<void()> then;

  // For sends of one run of bytes.
  IoSlice slice;

 protected:
  void OnComplete(int64_t value) override {
    done = true;
    result = value;
    if (then) then();
  }
  void OnAbandon() override {}
};

class TestSource final : public Source {
 public:
  explicit TestSource(Kind kind) : Source(kind) {}
  ~TestSource() override = default;

  std::vector<SocketId> accepted;
  std::string received;     // All bytes, in order.
  std::deque<Buffer> kept;  // When `keep` is set.
  bool keep = false;
  std::vector<std::pair<SourceEnd, int>> ends;
  std::function<void()> then;  // After each item and end.

 protected:
  void OnAccepted(SocketId socket) override {
    accepted.push_back(socket);
    if (then) then();
  }
  void OnReceived(Buffer buffer) override {
    received.append(buffer.view());
    if (keep) kept.push_back(std::move(buffer));
    if (then) then();
  }
  void OnEnd(SourceEnd end, int error) override {
    ends.emplace_back(end, error);
    if (then) then();
  }
  void OnAbandon() override {}
};

using Ends = std::vector<std::pair<SourceEnd, int>>;

class UringReactorTest : public ::testing::Test {
 protected:
  void Start(const ReactorOptions& options = ReactorOptions()) {
    auto reactor = UringReactor::Create(options);
    ASSERT_TRUE(reactor.ok()) << reactor.status();
    reactor_ = *std::move(reactor);
  }

  void TearDown() override {
    for (const SocketId socket : sockets_) close(socket);
  }

  // Polls until `done`, at most `limit`. Returns whether it is.
  bool RunUntil(const std::function<bool()>& done, absl::Duration limit = absl::Seconds(20)) {
    const Instant end = reactor_->ReadClock() + limit;
    while (!done()) {
      const Instant now = reactor_->ReadClock();
      if (now >= end) return false;
      if (!reactor_->Poll(std::min(end, now + absl::Milliseconds(200)))) return false;
    }
    return true;
  }
  void RunFor(absl::Duration duration) {
    RunUntil([] { return false; }, duration);
  }

  SocketId Keep(int64_t socket) {
    EXPECT_GE(socket, 0);
    sockets_.push_back(static_cast<SocketId>(socket));
    return sockets_.back();
  }

  SocketId Listener(SocketAddress* address) {
    const SocketId socket = Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
    EXPECT_EQ(reactor_->Bind(socket, SocketAddress::LoopbackIpv4(0)), 0);
    EXPECT_EQ(reactor_->Listen(socket, 1024), 0);
    EXPECT_EQ(reactor_->LocalAddress(socket, address), 0);
    return socket;
  }

  // Two ends of a loopback connection.
  std::pair<SocketId, SocketId> Connection() {
    SocketAddress address;
    const SocketId listener = Listener(&address);
    const SocketId client = Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
    EXPECT_EQ(Connect(client, address), 0);
    const SocketId server = Keep(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    return {client, server};
  }

  int64_t Connect(SocketId socket, const SocketAddress& address) {
    TestOperation connect;
    connect.kind = OperationKind::kConnect;
    connect.socket = socket;
    connect.address = address;
    reactor_->Submit(connect);
    EXPECT_TRUE(RunUntil([&] { return connect.done; }));
    return connect.result;
  }

  void StartSend(TestOperation* send, SocketId socket, const std::string& bytes) {
    send->kind = OperationKind::kSend;
    send->socket = socket;
    send->slice = {bytes.data(), bytes.size()};
    send->slices = absl::MakeConstSpan(&send->slice, 1);
    send->done = false;
    reactor_->Submit(*send);
  }

  int64_t Send(SocketId socket, const std::string& bytes) {
    TestOperation send;
    StartSend(&send, socket, bytes);
    EXPECT_TRUE(RunUntil([&] { return send.done; }));
    return send.result;
  }

  void Arm(TestSource* source, SocketId socket, size_t budget = kPlenty) {
    source->socket = socket;
    source->budget = budget;
    reactor_->Arm(*source);
  }

  void Disarm(TestSource* source) {
    reactor_->Disarm(*source);
    EXPECT_TRUE(RunUntil([&] { return !source->armed(); }));
  }

  // Writes from outside of the reactor, as a peer does.
  static void WriteDirectly(SocketId socket, const std::string& bytes) {
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t count = write(socket, bytes.data() + done, bytes.size() - done);
      ASSERT_GT(count, 0) << errno;
      done += static_cast<size_t>(count);
    }
  }
  // Reads what is there and what comes within 50 ms.
  static size_t ReadDirectly(SocketId socket) {
    size_t total = 0;
    char part[65536];
    for (int idle = 0; idle < 10;) {
      const ssize_t count = read(socket, part, sizeof(part));
      if (count == 0) break;
      if (count > 0) {
        total += static_cast<size_t>(count);
        idle = 0;
      } else {
        ++idle;
        absl::SleepFor(absl::Milliseconds(5));
      }
    }
    return total;
  }

  static std::string Pattern(size_t size, uint32_t seed = 1) {
    std::string bytes(size, 0);
    for (char& byte : bytes) byte = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
    return bytes;
  }

  std::unique_ptr<UringReactor> reactor_;
  std::vector<SocketId> sockets_;
};

// --- The plain path --------------------------------------------------------------------------------------------------

TEST_F(UringReactorTest, DescriptionNamesWhatWasChosen) {
  Start();

  const std::string description = reactor_->statistics().description;

  RecordProperty("description", description);
  EXPECT_NE(description.find("io_uring on Linux"), std::string::npos) << description;
  EXPECT_NE(description.find("1024/8192 entries"), std::string::npos) << description;
  EXPECT_EQ(description.find('\n'), std::string::npos);
}

TEST_F(UringReactorTest, AcceptConnectSendReceiveCloseRoundTrip) {
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

TEST_F(UringReactorTest, RefusedConnectCompletesWithTheErrno) {
  Start();
  SocketAddress address;
  const SocketId bound = Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
  ASSERT_EQ(reactor_->Bind(bound, SocketAddress::LoopbackIpv4(0)), 0);
  ASSERT_EQ(reactor_->LocalAddress(bound, &address), 0);

  EXPECT_EQ(Connect(Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream)), address), -ECONNREFUSED);
  EXPECT_EQ(Connect(Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream)), SocketAddress()), -EAFNOSUPPORT);
}

TEST_F(UringReactorTest, CancelEndsAConnectThatWaits) {
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

TEST_F(UringReactorTest, SendToClosedPeerIsAnErrorAndNoSignal) {
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

TEST_F(UringReactorTest, VectoredSendArrivesInOrderWhole) {
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

TEST_F(UringReactorTest, MoreStartsThanTheRingHoldsAreServed) {
  Start(ReactorOptions().set_ring_entries(4));
  constexpr int kConnections = 40;  // 80 requests at once, and their completions, for 4 and 32 entries.
  std::vector<std::unique_ptr<TestOperation>> sends;
  std::vector<std::unique_ptr<TestSource>> receives;
  const std::string bytes = Pattern(1000);
  for (int i = 0; i < kConnections; ++i) {
    const auto [client, server] = Connection();
    receives.push_back(std::make_unique<TestSource>(Source::Kind::kReceive));
    Arm(receives.back().get(), server);
    sends.push_back(std::make_unique<TestOperation>());
    StartSend(sends.back().get(), client, bytes);
  }

  EXPECT_TRUE(RunUntil([&] {
    return std::all_of(sends.begin(), sends.end(), [](const auto& send) { return send->done; }) &&
           std::all_of(receives.begin(), receives.end(),
                       [&](const auto& receive) { return receive->received == bytes; });
  }));
  for (const auto& receive : receives) Disarm(receive.get());
}

TEST_F(UringReactorTest, StartsFromCallbacksAreServed) {
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

// --- Budget ----------------------------------------------------------------------------------------------------------

TEST_F(UringReactorTest, BudgetEndsTheReceiveExactly) {
  Start();
  const auto [client, server] = Connection();
  const std::string bytes = Pattern(100'000);
  WriteDirectly(client, bytes);
  TestSource receive(Source::Kind::kReceive);

  Arm(&receive, server, 20'001);
  ASSERT_TRUE(RunUntil([&] { return !receive.armed(); }));

  EXPECT_EQ(receive.ends, (Ends{{SourceEnd::kBudget, 0}}));
  if (!reactor_->has_receive_budget()) {
    GTEST_SKIP() << "this kernel has no limit for multishot receives (Linux 6.17)";
  }
  EXPECT_EQ(receive.received.size(), 20'001u);
  while (receive.received.size() < bytes.size()) {
    Arm(&receive, server, std::min<size_t>(30'000, bytes.size() - receive.received.size()));
    ASSERT_TRUE(RunUntil([&] { return !receive.armed(); }));
  }
  EXPECT_TRUE(receive.received == bytes);
}

TEST_F(UringReactorTest, BudgetWithoutKernelSupportCancelsAndLosesNothing) {
  Start();
  reactor_->DisableReceiveBudgetForTest();
  const auto [client, server] = Connection();
  const std::string bytes = Pattern(200'000);
  WriteDirectly(client, bytes);
  TestSource receive(Source::Kind::kReceive);

  while (receive.received.size() < bytes.size()) {
    Arm(&receive, server, 20'000);
    ASSERT_TRUE(RunUntil([&] { return !receive.armed() || receive.received.size() == bytes.size(); }));
    if (receive.armed()) Disarm(&receive);
  }

  EXPECT_TRUE(receive.received == bytes);
  for (const auto& [end, error] : receive.ends) EXPECT_TRUE(end == SourceEnd::kBudget || end == SourceEnd::kDisarmed);
}

TEST_F(UringReactorTest, EndOfStreamComesAfterTheBytes) {
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

TEST_F(UringReactorTest, ResetByPeerEndsTheReceiveWithTheErrno) {
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

// --- A dry ring ------------------------------------------------------------------------------------------------------

TEST_F(UringReactorTest, DryRingHealsOldestFirstAndLosesNothing) {
  Start(ReactorOptions().set_receive_buffers(4).set_receive_buffer_bytes(256));
  TestSource holder(Source::Kind::kReceive);
  const auto [holder_client, holder_server] = Connection();
  holder.keep = true;
  WriteDirectly(holder_client, std::string(1024, 'h'));
  Arm(&holder, holder_server, 1024);
  ASSERT_TRUE(RunUntil([&] { return !holder.armed(); }));
  ASSERT_EQ(holder.kept.size(), 4u);
  EXPECT_TRUE(holder.kept[0].scarce());
  constexpr int kSources = 3;
  std::vector<std::unique_ptr<TestSource>> starved;
  std::vector<SocketId> clients;
  std::vector<int> order;
  for (int i = 0; i < kSources; ++i) {
    const auto [client, server] = Connection();
    clients.push_back(client);
    starved.push_back(std::make_unique<TestSource>(Source::Kind::kReceive));
    starved.back()->then = [&order, i] { order.push_back(i); };
    WriteDirectly(client, "data" + std::to_string(i));
    Arm(starved.back().get(), server, 5);
    ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));
  }

  holder.kept.clear();
  ASSERT_TRUE(RunUntil([&] {
    return std::all_of(starved.begin(), starved.end(), [](const auto& source) { return !source->armed(); });
  }));

  EXPECT_GE(reactor_->statistics().buffer_shortages, static_cast<uint64_t>(kSources));
  for (int i = 0; i < kSources; ++i) EXPECT_EQ(starved[i]->received, "data" + std::to_string(i));
  EXPECT_EQ(order, (std::vector<int>{0, 0, 1, 1, 2, 2}));  // An item and an end each.
  EXPECT_EQ(reactor_->heap_buffers().outstanding(), 0u);
}

TEST_F(UringReactorTest, DryRingThatStaysDryIsServedFromTheHeap) {
  Start(ReactorOptions().set_receive_buffers(4).set_receive_buffer_bytes(256));
  const auto [client, server] = Connection();
  const std::string bytes = Pattern(300'000);
  TestSource receive(Source::Kind::kReceive);
  receive.keep = true;  // Never gives a buffer back.
  std::thread writer([client = client, &bytes] {
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t count = write(client, bytes.data() + done, std::min<size_t>(bytes.size() - done, 3000));
      if (count > 0) done += static_cast<size_t>(count);
    }
    shutdown(client, SHUT_WR);
  });

  Arm(&receive, server);
  ASSERT_TRUE(RunUntil([&] { return !receive.armed(); }));
  writer.join();

  EXPECT_TRUE(receive.received == bytes);
  EXPECT_EQ(receive.ends, (Ends{{SourceEnd::kEndOfStream, 0}}));
  receive.kept.clear();
}

TEST_F(UringReactorTest, IdleSourcesOnADryRingDoNotSpin) {
  Start(ReactorOptions().set_receive_buffers(1).set_receive_buffer_bytes(256));
  const auto [holder_client, holder_server] = Connection();
  TestSource holder(Source::Kind::kReceive);
  holder.keep = true;
  WriteDirectly(holder_client, "h");
  Arm(&holder, holder_server, 1);
  ASSERT_TRUE(RunUntil([&] { return !holder.armed(); }));
  const auto [client, server] = Connection();
  TestSource idle(Source::Kind::kReceive);
  Arm(&idle, server);
  RunFor(absl::Milliseconds(50));
  const uint64_t before = reactor_->statistics().enters;

  RunFor(absl::Milliseconds(300));

  EXPECT_LE(reactor_->statistics().enters - before, 5u);
  WriteDirectly(client, "at last");
  EXPECT_TRUE(RunUntil([&] { return idle.received == "at last"; }));
  Disarm(&idle);
  holder.kept.clear();
}

TEST_F(UringReactorTest, DisarmOfAStarvedSourceEndsIt) {
  Start(ReactorOptions().set_receive_buffers(1).set_receive_buffer_bytes(256));
  const auto [client, server] = Connection();
  TestSource receive(Source::Kind::kReceive);
  receive.keep = true;
  WriteDirectly(client, std::string(600, 'x'));
  Arm(&receive, server);
  ASSERT_TRUE(RunUntil([&] { return reactor_->statistics().buffer_shortages > 0; }));

  Disarm(&receive);

  EXPECT_EQ(receive.ends, (Ends{{SourceEnd::kDisarmed, 0}}));
  const size_t so_far = receive.received.size();
  receive.kept.clear();
  receive.keep = false;
  Arm(&receive, server, 600 - so_far);
  ASSERT_TRUE(RunUntil([&] { return !receive.armed(); }));
  EXPECT_EQ(receive.received, std::string(600, 'x'));
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

TEST_F(UringReactorTest, AcceptWithoutDescriptorsBacksOffAndKeepsTheClient) {
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

TEST_F(UringReactorTest, CloseOfASocketEndsTheBackOff) {
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

TEST_F(UringReactorTest, DisarmDuringBackOffEndsTheAccept) {
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

TEST_F(UringReactorTest, AcceptOnAShutDownListenerIsAnError) {
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

TEST_F(UringReactorTest, CancelledSendReportsExactlyWhatThePeerReads) {
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
    peer += ReadDirectly(server);
    ASSERT_EQ(static_cast<int64_t>(peer), reported) << "round " << round;
  }
  EXPECT_GT(reported, 0);
}

TEST_F(UringReactorTest, CancelledVectoredSendReportsExactlyWhatThePeerReads) {
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
  EXPECT_EQ(static_cast<int64_t>(ReadDirectly(server)), send.result);
}

TEST_F(UringReactorTest, DisarmRacingDataLosesNothing) {
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

TEST_F(UringReactorTest, DisarmFromTheCallbackEndsOnce) {
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

TEST_F(UringReactorTest, DisarmedAcceptLeavesLaterClientsInTheBacklog) {
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

TEST_F(UringReactorTest, LateCompletionIsDropped) {
  Start();
  const auto [client, server] = Connection();
  TestSource receive(Source::Kind::kReceive);
  Arm(&receive, server);
  TestOperation send;
  StartSend(&send, client, "first");
  const uint64_t stale = reactor_->RequestNameForTest(send);
  ASSERT_TRUE(RunUntil([&] { return send.done; }));
  // The next send takes the same slot and waits for its peer.
  const std::string bytes = Pattern(64 << 20);
  StartSend(&send, client, bytes);
  ASSERT_NE(reactor_->RequestNameForTest(send), stale);
  ASSERT_EQ(static_cast<uint32_t>(reactor_->RequestNameForTest(send)), static_cast<uint32_t>(stale));

  reactor_->PostCompletionForTest(stale);
  ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));

  EXPECT_EQ(reactor_->late_completions(), 1u);
  ASSERT_TRUE(RunUntil([&] { return send.done; }));
  EXPECT_EQ(send.result, static_cast<int64_t>(bytes.size()));
  reactor_->PostCompletionForTest(stale ^ 0x00ff0000);  // A slot that never was.
  ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));
  EXPECT_EQ(reactor_->late_completions(), 2u);
  Disarm(&receive);
}

// --- Waiting and waking ----------------------------------------------------------------------------------------------

TEST_F(UringReactorTest, PollWaitsUntilTheInstant) {
  Start();
  const Instant until = reactor_->ReadClock() + absl::Milliseconds(30);

  while (reactor_->ReadClock() < until) ASSERT_TRUE(reactor_->Poll(until));

  EXPECT_LE(reactor_->statistics().polls, 3u);
}

TEST_F(UringReactorTest, PollsWithNothingToDoMakeNoSystemCall) {
  Start();
  const auto [client, server] = Connection();
  TestSource receive(Source::Kind::kReceive);
  Arm(&receive, server);
  ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));
  const uint64_t before = reactor_->statistics().enters;

  for (int i = 0; i < 100; ++i) ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));

  if (reactor_->statistics().description.find("DEFER_TASKRUN|") != std::string::npos) {
    EXPECT_EQ(reactor_->statistics().enters, before);
  }
  WriteDirectly(client, "x");
  EXPECT_TRUE(RunUntil([&] { return receive.received == "x"; }));
  Disarm(&receive);
}

TEST_F(UringReactorTest, WakeBeforePollIsNotLost) {
  Start();

  reactor_->Wake();
  ASSERT_TRUE(reactor_->Poll(Instant::InfiniteFuture()));  // Would wait for ever.

  EXPECT_EQ(reactor_->statistics().wakes, 1u);
}

TEST_F(UringReactorTest, TenThousandWakesFromAnotherThreadAreAllSeen) {
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

TEST_F(UringReactorTest, StopSignalWakesThePollAndCallsTheHandler) {
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

TEST_F(UringReactorTest, MayBeCreatedOnAnotherThread) {
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
  auto reactor = UringReactor::Create(ReactorOptions());
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
TEST(UringReactorDeathTest, DestructionWithWorkInFlightLeaksInsteadOfCrashing) {
  EXPECT_EXIT(DestroyWithWorkInFlight(), ::testing::ExitedWithCode(0), "");
}

// --- Much at once ----------------------------------------------------------------------------------------------------

// Sends a random stream of known length in random pieces, then closes its sending half.
struct Sender {
  TestOperation operation;
  std::string bytes;
  size_t sent = 0;
  std::vector<IoSlice> slices;
};

class TrafficTest : public UringReactorTest {
 protected:
  void RunTraffic(int connections, size_t max_bytes) {
    exact_budgets_ = exact_budgets_ && reactor_->has_receive_budget();
    SocketAddress address;
    TestSource accept(Source::Kind::kAccept);
    Arm(&accept, Listener(&address));
    std::vector<std::unique_ptr<TestOperation>> connects;
    for (int i = 0; i < connections; ++i) {
      connects.push_back(std::make_unique<TestOperation>());
      TestOperation& connect = *connects.back();
      connect.kind = OperationKind::kConnect;
      connect.socket = Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
      connect.address = address;
      reactor_->Submit(connect);
    }
    ASSERT_TRUE(RunUntil([&] { return accept.accepted.size() == connects.size(); }));
    ASSERT_TRUE(RunUntil([&] {
      return std::all_of(connects.begin(), connects.end(), [](const auto& connect) { return connect->done; });
    }));
    std::vector<std::unique_ptr<TestSource>> receives;
    std::vector<std::unique_ptr<Sender>> senders;
    for (int i = 0; i < connections; ++i) {
      const SocketId server = Keep(accept.accepted[i]);
      SocketAddress peer;
      ASSERT_EQ(reactor_->PeerAddress(server, &peer), 0);
      receives.push_back(std::make_unique<TestSource>(Source::Kind::kReceive));
      TestSource* receive = receives.back().get();
      receive->then = [this, receive] {
        if (receive->armed() || receive->ends.back().first != SourceEnd::kBudget) return;
        if (exact_budgets_) {
          EXPECT_EQ(receive->delivered, receive->budget);
        }
        receive->budget = 1 + Next() % 100'000;
        reactor_->Arm(*receive);
      };
      Arm(receive, server, 1 + Next() % 100'000);
      senders.push_back(std::make_unique<Sender>());
      Sender* sender = senders.back().get();
      sender->bytes = Pattern(1 + Next() % max_bytes, peer.port());
      sender->operation.socket = ClientWithPort(peer.port());
      sender->operation.then = [this, sender] { SendMore(sender); };
      SendMore(sender);
    }

    ASSERT_TRUE(RunUntil(
        [&] {
          return std::all_of(receives.begin(), receives.end(), [](const auto& receive) { return !receive->armed(); });
        },
        absl::Seconds(60)));

    for (int i = 0; i < connections; ++i) {
      EXPECT_EQ(receives[i]->ends.back(), (std::pair{SourceEnd::kEndOfStream, 0}));
      EXPECT_TRUE(receives[i]->received == senders[i]->bytes) << "connection " << i;
    }
    Disarm(&accept);
    EXPECT_EQ(reactor_->in_flight(), 0u);
    EXPECT_EQ(reactor_->late_completions(), 0u);
  }

  uint32_t Next() { return (random_ = random_ * 1664525 + 1013904223) >> 8; }

  SocketId ClientWithPort(uint16_t port) {
    for (const SocketId socket : sockets_) {
      SocketAddress local;
      if (reactor_->LocalAddress(socket, &local) == 0 && local.port() == port) return socket;
    }
    ADD_FAILURE() << "no client has port " << port;
    return kNoSocket;
  }

  void SendMore(Sender* sender) {
    if (sender->slices.empty()) {
      sender->operation.kind = OperationKind::kSend;
    } else {
      ASSERT_GT(sender->operation.result, 0);
      sender->sent += static_cast<size_t>(sender->operation.result);
    }
    if (sender->sent == sender->bytes.size()) {
      ASSERT_EQ(reactor_->Shutdown(sender->operation.socket, ShutdownHow::kWrite), 0);
      return;
    }
    sender->slices.clear();
    size_t at = sender->sent;
    for (uint32_t left = 1 + Next() % 5; left > 0 && at < sender->bytes.size(); --left) {
      const size_t size = std::min<size_t>(1 + Next() % 20'000, sender->bytes.size() - at);
      sender->slices.push_back({sender->bytes.data() + at, size});
      at += size;
    }
    sender->operation.slices = sender->slices;
    reactor_->Submit(sender->operation);
  }

  uint32_t random_ = 42;
  bool exact_budgets_ = true;
};

TEST_F(TrafficTest, FiveHundredConnectionsGetExactBytes) {
  Start();
  RunTraffic(500, 200'000);
}

TEST_F(TrafficTest, TinyRingsGetExactBytes) {
  // 8 submission entries and 8 buffers for 100 connections: every shortage at once.
  Start(ReactorOptions().set_ring_entries(8).set_receive_buffers(8).set_receive_buffer_bytes(1024));
  RunTraffic(100, 100'000);
  EXPECT_GT(reactor_->statistics().buffer_shortages, 0u);
}

TEST_F(TrafficTest, WithoutKernelBudgetGetsExactBytes) {
  Start();
  reactor_->DisableReceiveBudgetForTest();
  exact_budgets_ = false;
  RunTraffic(100, 300'000);
}

TEST_F(TrafficTest, WithSubmissionThreadGetsExactBytes) {
  Start(ReactorOptions().set_submission_thread(true));
  RunTraffic(50, 100'000);
}

}  // namespace
}  // namespace tandem::uring
