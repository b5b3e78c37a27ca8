// SPDX-License-Identifier: Apache-2.0
//
// Drives a reactor of a real machine directly, without coroutines: small operations and sources that write down what is
// reported, and a fixture that polls until they are done.

#ifndef TANDEM_POSIX_REACTOR_FIXTURE_H_
#define TANDEM_POSIX_REACTOR_FIXTURE_H_

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"

namespace tandem::posix {

inline constexpr size_t kPlenty = size_t{1} << 40;

class TestOperation final : public Operation, public BlockingWork {
 public:
  explicit TestOperation(OperationKind operation_kind = OperationKind::kSend, SocketId on = kNoSocket) {
    kind = operation_kind;
    socket = on;
    if (kind == OperationKind::kRunBlocking) work = this;
    if (kind == OperationKind::kResolve) lookup = &name;
    if (kind == OperationKind::kSendFile) file = &range;
  }
  ~TestOperation() override = default;

  void Run() override {
    runs.fetch_add(1);
    if (body) body();
  }

  bool done = false;
  int ends = 0;  // How often it was done.
  int64_t result = 0;
  std::function<void()> then;  // When it is done.

  // For sends of one run of bytes: `slice` names all of `bytes`.
  std::string bytes;
  IoSlice slice;
  // For the other kinds.
  FileRange range;
  NameLookup name;
  std::function<void()> body;
  std::atomic<int> runs{0};  // Of `body`.

 protected:
  void OnComplete(int64_t value) override {
    done = true;
    ++ends;
    result = value;
    if (then) then();
  }
  void OnAbandon() override {}
};

using Ends = std::vector<std::pair<SourceEnd, int>>;

class TestSource final : public Source {
 public:
  explicit TestSource(Kind kind) : Source(kind) {}
  // No shard is here that an OwnedDescriptor could be closed on.
  ~TestSource() override {
    for (const int descriptor : descriptors) close(descriptor);
  }

  std::vector<SocketId> accepted;
  std::string received;     // All bytes, in order.
  std::deque<Buffer> kept;  // When `keep` is set.
  bool keep = false;
  std::vector<int> descriptors;
  std::vector<size_t> descriptors_at;  // How many bytes came before each.
  std::vector<Datagram> datagrams;
  Ends ends;
  std::function<void()> then;  // After each item and end.

 protected:
  void OnAccepted(SocketId socket) override {
    accepted.push_back(socket);
    if (then) then();
  }
  void OnReceived(Buffer buffer) override {
    EXPECT_FALSE(buffer.empty());
    received.append(buffer.view());
    if (keep) kept.push_back(std::move(buffer));
    if (then) then();
  }
  void OnDescriptors(std::vector<OwnedDescriptor> came) override { Take(came); }
  void OnDatagram(Datagram datagram) override {
    Take(datagram.descriptors);
    datagrams.push_back(std::move(datagram));
    if (then) then();
  }
  void OnEnd(SourceEnd end, int error) override {
    ends.emplace_back(end, error);
    if (then) then();
  }
  void OnAbandon() override {}

 private:
  void Take(std::vector<OwnedDescriptor>& came) {
    for (OwnedDescriptor& descriptor : came) {
      descriptors.push_back(descriptor.Release());
      descriptors_at.push_back(received.size());
    }
  }
};

class ReactorFixture : public ::testing::Test {
 protected:
  void TearDown() override {
    for (const SocketId socket : sockets_) close(socket);
  }

  // Polls until `done`, at most `limit`. Returns whether it is.
  bool RunUntil(const std::function<bool()>& done, absl::Duration limit = absl::Seconds(60)) {
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

  int64_t Finish(TestOperation& operation) {
    EXPECT_TRUE(RunUntil([&] { return operation.done; }));
    return operation.result;
  }
  int64_t Run(TestOperation& operation) {
    operation.done = false;
    reactor_->Submit(operation);
    return Finish(operation);
  }

  // The fixture closes it.
  SocketId Keep(int64_t socket) {
    EXPECT_GE(socket, 0);
    sockets_.push_back(static_cast<SocketId>(socket));
    return sockets_.back();
  }

  // The socket is not the fixture's any more.
  void Forget(SocketId socket) { sockets_.erase(std::find(sockets_.begin(), sockets_.end(), socket)); }

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
    TestOperation connect(OperationKind::kConnect, socket);
    connect.address = address;
    return Run(connect);
  }

  void StartSend(TestOperation* send, SocketId socket, std::string bytes) {
    send->kind = OperationKind::kSend;
    send->socket = socket;
    send->bytes = std::move(bytes);
    send->slice = {send->bytes.data(), send->bytes.size()};
    send->slices = absl::MakeConstSpan(&send->slice, 1);
    send->done = false;
    reactor_->Submit(*send);
  }

  int64_t Send(SocketId socket, std::string bytes) {
    TestOperation send;
    StartSend(&send, socket, std::move(bytes));
    return Finish(send);
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
  // Reads from outside of the reactor what is there and what comes within 50 ms.
  static std::string ReadDirectly(SocketId socket) {
    std::string bytes;
    std::string part(size_t{1} << 20, 0);
    for (int idle = 0; idle < 10;) {
      const ssize_t count = read(socket, part.data(), part.size());
      if (count == 0) break;
      if (count > 0) {
        bytes.append(part, 0, static_cast<size_t>(count));
        idle = 0;
      } else {
        ++idle;
        absl::SleepFor(absl::Milliseconds(5));
      }
    }
    return bytes;
  }

  static std::string Pattern(size_t size, uint32_t seed = 1) {
    std::string bytes(size, 0);
    for (char& byte : bytes) byte = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
    return bytes;
  }

  std::unique_ptr<Reactor> reactor_;  // The test makes it.
  std::vector<SocketId> sockets_;
};

// Sends a random stream of known length in random pieces, then closes its sending half.
struct Sender {
  TestOperation operation;
  std::string bytes;
  size_t sent = 0;
  std::vector<IoSlice> slices;
};

class TrafficFixture : public ReactorFixture {
 protected:
  void RunTraffic(int connections, size_t max_bytes) {
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
  bool exact_budgets_ = false;  // Whether a receive delivers its budget exactly.
};

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_REACTOR_FIXTURE_H_
