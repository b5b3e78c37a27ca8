// SPDX-License-Identifier: Apache-2.0
//
// Several reactors of one process on one machine: each is told of its own sockets.

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/log/check.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/testing/tcp_test_world.h"
#include "tandem/sim/testing/test_programs.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {
namespace {

// One more reactor of a host's process.
class SecondReactor final : public HostWaker, public Event {
 public:
  SecondReactor(EventQueue& events, HostStack& stack)
      : events_(events), reactor_(std::make_unique<SimReactor>(stack, this)) {}
  ~SecondReactor() override { events_.Cancel(*this); }

  SimReactor& operator*() { return *reactor_; }
  SimReactor* operator->() { return reactor_.get(); }

 private:
  void OnRunnable() override {
    if (!scheduled()) events_.Schedule(*this, events_.now_ns());
  }
  void Run() override { CHECK(reactor_->Poll(Instant::InfinitePast())); }

  EventQueue& events_;
  std::unique_ptr<SimReactor> reactor_;
};

// A server with two reactors, which listen on two ports.
class SeveralReactorsTest : public ::testing::Test {
 protected:
  static constexpr uint16_t kSecondPort = kPort + 1;

  SeveralReactorsTest() : second_(world_.room.events, world_.server.stack()) {
    listeners_[0] = Listen(first(), kPort);
    listeners_[1] = Listen(*second_, kSecondPort);
    accepts_[0].socket = listeners_[0];
    accepts_[1].socket = listeners_[1];
    first().Arm(accepts_[0]);
    second_->Arm(accepts_[1]);
  }
  ~SeveralReactorsTest() override { second_->Abandon(); }

  SimReactor& first() { return world_.server.reactor(); }

  SocketId Listen(SimReactor& reactor, uint16_t port) {
    const auto id = static_cast<SocketId>(reactor.OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
    EXPECT_EQ(reactor.Bind(id, world_.server.Address(port)), 0);
    EXPECT_EQ(reactor.Listen(id, 128), 0);
    return id;
  }
  // The client's end of a connection.
  SocketId Connect(uint16_t port) {
    const SocketId id = TcpWorld::Open(world_.client);
    EXPECT_EQ(world_.Connect(world_.client, id, world_.server.Address(port)), 0);
    world_.Settle();
    return id;
  }
  static void Receive(SimReactor& reactor, TestSource& source, SocketId id) {
    source.socket = id;
    source.budget = 1 << 20;
    reactor.Arm(source);
  }

  // By reactor. They outlive the reactors.
  TestSource accepts_[2] = {TestSource(Source::Kind::kAccept), TestSource(Source::Kind::kAccept)};
  TestSource receives_[2] = {TestSource(Source::Kind::kReceive), TestSource(Source::Kind::kReceive)};
  TestSource datagrams_{Source::Kind::kReceiveDatagrams};
  TcpWorld world_;
  SecondReactor second_;
  SocketId listeners_[2] = {kNoSocket, kNoSocket};
};

TEST_F(SeveralReactorsTest, EachHasItsConnectionsAndTheirBytes) {
  const SocketId to_first = Connect(kPort);
  const SocketId to_second = Connect(kSecondPort);
  ASSERT_EQ(accepts_[0].accepted.size(), 1u);
  ASSERT_EQ(accepts_[1].accepted.size(), 1u);
  Receive(first(), receives_[0], accepts_[0].accepted[0]);
  Receive(*second_, receives_[1], accepts_[1].accepted[0]);

  EXPECT_EQ(world_.Send(world_.client, to_second, "two"), 3);
  EXPECT_EQ(world_.Send(world_.client, to_first, "one"), 3);
  world_.Settle();

  EXPECT_EQ(receives_[0].bytes, "one");
  EXPECT_EQ(receives_[1].bytes, "two");
}

TEST_F(SeveralReactorsTest, ItsConnectsAndDatagramsAreItsOwn) {
  const SocketId listener = TcpWorld::Listen(world_.client, SocketAddress::AnyIpv4(kPort));
  TestOperation connect;
  connect.kind = OperationKind::kConnect;
  connect.socket = static_cast<SocketId>(second_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
  connect.address = world_.client.Address(kPort);
  second_->Submit(connect);
  const auto receiver = static_cast<SocketId>(second_->OpenSocket(AddressFamily::kIpv4, SocketType::kDatagram));
  EXPECT_EQ(second_->Bind(receiver, world_.server.Address(kPort)), 0);
  Receive(*second_, datagrams_, receiver);
  const auto sender =
      static_cast<SocketId>(world_.client.reactor().OpenSocket(AddressFamily::kIpv4, SocketType::kDatagram));
  const std::string text = "hello";
  OutgoingDatagram outgoing;
  outgoing.data = text;
  outgoing.destination = world_.server.Address(kPort);

  EXPECT_EQ(world_.client.reactor().TrySendDatagrams(sender, absl::MakeConstSpan(&outgoing, 1)), 1);
  world_.Settle();

  EXPECT_EQ(connect.result, 0);
  EXPECT_GE(world_.Accept(world_.client, listener), 0);
  ASSERT_EQ(datagrams_.datagrams.size(), 1u);
  EXPECT_EQ(datagrams_.datagrams[0].data, text);
}

// The process goes on without one of its reactors, as when a shard has ended.
TEST_F(SeveralReactorsTest, OneThatEndsLeavesTheOthersAlone) {
  const SocketId to_second = Connect(kSecondPort);
  Receive(*second_, receives_[1], accepts_[1].accepted[0]);

  first().Abandon();
  EXPECT_TRUE(accepts_[0].abandoned);
  EXPECT_EQ(world_.Send(world_.client, to_second, "still there"), 11);
  Connect(kPort);  // The kernel answers for a socket that nobody watches.
  Connect(kSecondPort);

  EXPECT_EQ(receives_[1].bytes, "still there");
  EXPECT_EQ(accepts_[0].accepted.size(), 0u);
  EXPECT_EQ(accepts_[1].accepted.size(), 2u);
}

TEST_F(SeveralReactorsTest, ACloseThatLingersTellsTheOneThatCloses) {
  Connect(kPort);
  Connect(kSecondPort);
  TestOperation closes[2];
  SimReactor* const reactors[2] = {&first(), &*second_};
  world_.room.network.Block(world_.server.stack(), world_.client.stack());
  for (int i = 0; i < 2; ++i) {
    const SocketId id = accepts_[i].accepted[0];
    EXPECT_EQ(reactors[i]->SetOption(id, SocketOption::kLinger, 10 + 20 * i), 0);
    const IoSlice slice{"x", 1};
    EXPECT_EQ(reactors[i]->TrySend(id, absl::MakeConstSpan(&slice, 1)), 1);
    closes[i].kind = OperationKind::kClose;
    closes[i].socket = id;
    closes[i].may_block = true;
    reactors[i]->Submit(closes[i]);
  }

  world_.room.RunFor(20 * kSecond);
  EXPECT_EQ(closes[0].completions, 1);
  EXPECT_EQ(closes[1].completions, 0);
  world_.room.RunFor(20 * kSecond);
  EXPECT_EQ(closes[0].completions, 1);
  EXPECT_EQ(closes[1].completions, 1);
}

// Descriptors are the process's: one that is closed by one reactor lets another accept.
TEST_F(SeveralReactorsTest, ADescriptorThatOneClosesIsThereForAnother) {
  Connect(kPort);
  world_.server.stack().set_descriptor_limit(world_.server.stack().open_descriptors());
  Connect(kSecondPort);
  EXPECT_EQ(accepts_[1].accepted.size(), 0u);
  EXPECT_EQ(second_->statistics().descriptor_shortages, 1u);

  EXPECT_EQ(world_.Close(world_.server, accepts_[0].accepted[0]), 0);
  world_.Settle();

  EXPECT_EQ(accepts_[1].accepted.size(), 1u);
}

TEST_F(SeveralReactorsTest, AllEndWithTheirMachine) {
  Connect(kSecondPort);
  Receive(*second_, receives_[1], accepts_[1].accepted[0]);

  world_.server.Crash();
  second_->Abandon();
  world_.Settle();

  EXPECT_TRUE(accepts_[0].abandoned);
  EXPECT_TRUE(accepts_[1].abandoned);
  EXPECT_TRUE(receives_[1].abandoned);
}

}  // namespace
}  // namespace tandem::sim
