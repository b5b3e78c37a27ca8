// SPDX-License-Identifier: Apache-2.0
//
// What is epoll's own. The rest is in streams_test.cc and operations_test.cc, for every reactor of a real machine.

#include "tandem/posix/epoll_reactor.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/reactor.h"
#include "tandem/posix/reactor_fixture.h"

namespace tandem::posix {
namespace {

class EpollReactorTest : public TrafficFixture {
 protected:
  void SetUp() override {
    auto reactor = EpollReactor::Create();
    ASSERT_TRUE(reactor.ok()) << reactor.status();
    epoll_ = reactor->get();
    reactor_ = *std::move(reactor);
    exact_budgets_ = true;
  }

  // Arms `source` and polls until the socket is registered and the source waits for an event.
  void ArmAndWait(TestSource* source, SocketId socket, size_t budget = kPlenty) {
    Arm(source, socket, budget);
    RunFor(absl::Milliseconds(2));
    ASSERT_TRUE(source->armed());
  }

  // Connects, accepts and sends both ways.
  bool Serves() {
    SocketAddress address;
    TestSource accept(Source::Kind::kAccept);
    Arm(&accept, Listener(&address));
    const SocketId client = Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
    bool serves = Connect(client, address) == 0 && RunUntil([&] { return !accept.accepted.empty(); });
    Disarm(&accept);
    return serves && Sends(client, Keep(accept.accepted.front())) && Sends(accept.accepted.front(), client);
  }

  bool Sends(SocketId from, SocketId to) {
    TestSource receive(Source::Kind::kReceive);
    ArmAndWait(&receive, to);
    const bool arrived = Send(from, "echo") == 4 && RunUntil([&] { return receive.received == "echo"; });
    Disarm(&receive);
    return arrived;
  }

  EpollReactor* epoll_ = nullptr;  // The same as reactor_.
};

// From now on epoll_ctl(2) fails, as at the limit of watched descriptors (epoll(7), max_user_watches).
bool RefuseWatches() {
  std::array<sock_filter, 4> program = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_ctl, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSPC),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter = {.len = program.size(), .filter = program.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST_F(EpollReactorTest, ServesByTheClockWhereNothingMoreCanBeWatched) {
  const auto serve = [this] {
    SetUp();  // Once more: it is another process.
    _exit(RefuseWatches() && Serves() ? 0 : 1);
  };
  EXPECT_EXIT(serve(), ::testing::ExitedWithCode(0), "");
}

TEST_F(EpollReactorTest, DescriptionNamesWhatWasChosen) {
  const std::string description = reactor_->statistics().description;

  RecordProperty("description", description);
  EXPECT_NE(description.find("epoll on Linux"), std::string::npos) << description;
  EXPECT_EQ(description.find('\n'), std::string::npos);
  epoll_->DisableNanosecondWaitForTest();
  EXPECT_NE(reactor_->statistics().description.find("millisecond"), std::string::npos);
}

TEST_F(EpollReactorTest, WaitsWithoutNanosecondsAreNotShort) {
  epoll_->DisableNanosecondWaitForTest();
  const Instant until = reactor_->ReadClock() + absl::Microseconds(20'300);

  ASSERT_TRUE(reactor_->Poll(until));

  EXPECT_GE(reactor_->ReadClock(), until);
}

TEST_F(EpollReactorTest, TrafficGetsExactBytesAndBudgets) { RunTraffic(100, 300'000); }

TEST_F(EpollReactorTest, BudgetEndsTheReceiveExactly) {
  const auto [client, server] = Connection();
  const std::string bytes = Pattern(100'000);
  WriteDirectly(client, bytes);
  TestSource receive(Source::Kind::kReceive);

  while (receive.received.size() < bytes.size()) {
    const size_t before = receive.received.size();
    const size_t budget = std::min<size_t>(20'001, bytes.size() - before);
    Arm(&receive, server, budget);
    ASSERT_TRUE(RunUntil([&] { return !receive.armed(); }));
    EXPECT_EQ(receive.received.size() - before, budget);
  }

  EXPECT_TRUE(receive.received == bytes);
}

TEST_F(EpollReactorTest, WaitingHoldsNoMemoryAndCostsNothing) {
  const auto [client, server] = Connection();
  TestSource receive(Source::Kind::kReceive);
  ArmAndWait(&receive, server);
  const uint64_t before = reactor_->statistics().enters;

  RunFor(absl::Milliseconds(300));

  EXPECT_EQ(reactor_->heap_buffers().outstanding(), 0u);
  EXPECT_LE(reactor_->statistics().enters - before, 5u);  // RunFor() looks every 200 ms.
  Disarm(&receive);
}

TEST_F(EpollReactorTest, NothingIsReadThatNobodyAskedFor) {
  const auto [client, server] = Connection();
  TestSource receive(Source::Kind::kReceive);
  ArmAndWait(&receive, server);
  Disarm(&receive);

  WriteDirectly(client, "abc");
  RunFor(absl::Milliseconds(5));

  char bytes[8];
  EXPECT_EQ(recv(server, bytes, sizeof(bytes), MSG_DONTWAIT), 3);
}

TEST_F(EpollReactorTest, DataThatCameWhileDisarmedIsReceivedWhenArmed) {
  const auto [client, server] = Connection();
  TestSource receive(Source::Kind::kReceive);
  ArmAndWait(&receive, server);
  Disarm(&receive);
  WriteDirectly(client, "abc");
  RunFor(absl::Milliseconds(5));  // The edge comes while nobody waits.

  Arm(&receive, server);

  EXPECT_TRUE(RunUntil([&] { return receive.received == "abc"; }));
  Disarm(&receive);
}

TEST_F(EpollReactorTest, BytesThatComeOneByOneGetSmallBlocks) {
  const auto [client, server] = Connection();
  TestSource receive(Source::Kind::kReceive);
  receive.keep = true;
  // A large receive before must not make later small ones large.
  WriteDirectly(client, Pattern(60'000));
  Arm(&receive, server);
  ASSERT_TRUE(RunUntil([&] { return receive.received.size() == 60'000; }));
  receive.kept.clear();
  for (size_t count = 1; count <= 20; ++count) {
    WriteDirectly(client, "x");
    ASSERT_TRUE(RunUntil([&] { return receive.kept.size() == count; }));
  }

  for (Buffer& buffer : receive.kept) {
    Buffer owned = std::move(buffer);
    BufferBlock* const block = owned.ReleaseBlock();
    EXPECT_LE(block->capacity, 64u);
    owned = Buffer(block);
  }
  receive.kept.clear();
  Disarm(&receive);
}

// A receive stops before the byte that is urgent, short of what there is.
TEST_F(EpollReactorTest, UrgentDataDoesNotHideWhatFollows) {
  const auto [client, server] = Connection();
  TestSource receive(Source::Kind::kReceive);
  ArmAndWait(&receive, server);

  WriteDirectly(client, "ab");
  ASSERT_EQ(send(client, "!", 1, MSG_OOB), 1);
  WriteDirectly(client, "cd");

  EXPECT_TRUE(RunUntil([&] { return receive.received == "abcd"; }));
  Disarm(&receive);
}

TEST_F(EpollReactorTest, UnixReceivesThatAreShortDoNotHideWhatFollows) {
  SocketId pair[2];
  ASSERT_EQ(reactor_->OpenSocketPair(SocketType::kStream, pair), 0);
  const SocketId writer = Keep(pair[0]);
  TestSource receive(Source::Kind::kReceive);
  ArmAndWait(&receive, Keep(pair[1]));

  // Each run of bytes with a descriptor is received by itself.
  const std::string bytes = "abc";
  for (int i = 0; i < 3; ++i) {
    TestOperation send;
    const int descriptors[] = {writer};
    send.descriptors = descriptors;
    StartSend(&send, writer, bytes);
    ASSERT_TRUE(RunUntil([&] { return send.done; }));
    ASSERT_EQ(send.result, 3);
  }

  EXPECT_TRUE(RunUntil([&] { return receive.received == "abcabcabc"; }));
  Disarm(&receive);
}

TEST_F(EpollReactorTest, BusySocketsDoNotStarveAQuietOne) {
  const std::string bytes = Pattern(64 << 20);
  std::vector<std::unique_ptr<TestOperation>> sends;
  std::vector<std::unique_ptr<TestSource>> receives;
  for (int i = 0; i < 4; ++i) {
    const auto [client, server] = Connection();
    receives.push_back(std::make_unique<TestSource>(Source::Kind::kReceive));
    Arm(receives.back().get(), server);
    sends.push_back(std::make_unique<TestOperation>());
    StartSend(sends.back().get(), client, bytes);
  }
  const auto [client, server] = Connection();
  TestSource quiet(Source::Kind::kReceive);
  Arm(&quiet, server);
  ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));
  WriteDirectly(client, "x");

  int polls = 0;
  while (quiet.received.empty() && polls < 1000) {
    ASSERT_TRUE(reactor_->Poll(reactor_->ReadClock() + absl::Milliseconds(200)));
    ++polls;
  }

  EXPECT_LE(polls, 20);
  for (const auto& send : sends) EXPECT_FALSE(send->done);
  EXPECT_TRUE(RunUntil([&] {
    return std::all_of(receives.begin(), receives.end(),
                       [&](const auto& receive) { return receive->received.size() == bytes.size(); });
  }));
  for (const auto& receive : receives) Disarm(receive.get());
  Disarm(&quiet);
}

TEST_F(EpollReactorTest, EventOfAClosedSocketIsDropped) {
  const auto [client_a, server_a] = Connection();
  const auto [client_b, server_b] = Connection();
  TestSource a(Source::Kind::kReceive);
  TestSource b(Source::Kind::kReceive);
  ArmAndWait(&a, server_a);
  ArmAndWait(&b, server_b);
  Disarm(&b);
  TestOperation close_b;
  close_b.kind = OperationKind::kClose;
  close_b.socket = server_b;
  close_b.may_block = true;  // Such a close leaves the reactor at once, before the events of this poll.
  sockets_.erase(std::find(sockets_.begin(), sockets_.end(), server_b));
  a.then = [&] { reactor_->Submit(close_b); };

  WriteDirectly(client_a, "a");
  WriteDirectly(client_b, "b");
  ASSERT_TRUE(RunUntil([&] { return close_b.done; }));

  EXPECT_EQ(epoll_->late_events(), 1u);
  a.then = nullptr;
  Disarm(&a);
}

TEST_F(EpollReactorTest, SuccessorOfAClosedNumberStartsAfresh) {
  for (int round = 0; round < 50; ++round) {
    const auto [client, server] = Connection();
    TestSource receive(Source::Kind::kReceive);
    ArmAndWait(&receive, server);
    WriteDirectly(client, "round");
    ASSERT_TRUE(RunUntil([&] { return receive.received == "round"; }));
    Disarm(&receive);
    for (const SocketId socket : std::exchange(sockets_, {})) {
      TestOperation close_it;
      close_it.kind = OperationKind::kClose;
      close_it.socket = socket;
      reactor_->Submit(close_it);
      ASSERT_TRUE(RunUntil([&] { return close_it.done; }));
      ASSERT_EQ(close_it.result, 0);
    }
  }
}

// The kernel tells an error once: it must not be lost when it ends a send of which a part went.
TEST_F(EpollReactorTest, ErrorAfterSomeBytesShowsAtTheNextSend) {
  const auto [client, server] = Connection();
  TestOperation send;
  const std::string bytes = Pattern(64 << 20);
  StartSend(&send, client, bytes);
  RunFor(absl::Milliseconds(5));
  ASSERT_FALSE(send.done);
  ASSERT_EQ(reactor_->SetOption(server, SocketOption::kLinger, 0), 0);
  close(server);  // The reactor has never heard of it.
  sockets_.erase(std::find(sockets_.begin(), sockets_.end(), server));

  ASSERT_TRUE(RunUntil([&] { return send.done; }));

  EXPECT_GT(send.result, 0);
  EXPECT_EQ(Send(client, "x"), -ECONNRESET);
  EXPECT_EQ(Send(client, "x"), -EPIPE);
}

}  // namespace
}  // namespace tandem::posix
