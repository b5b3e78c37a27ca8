// SPDX-License-Identifier: Apache-2.0
//
// What is io_uring's own. The rest is in posix/streams_test.cc and posix/operations_test.cc, for every reactor of a
// real machine.

#include "tandem/uring/uring_reactor.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/io/reactor_options.h"
#include "tandem/posix/reactor_fixture.h"
#include "tandem/posix/sockets.h"

namespace tandem::uring {
namespace {

// The threads that io_uring has made for requests that it could not do otherwise.
int KernelWorkers() {
  int count = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::ifstream(task.path() / "comm") >> name;
    if (absl::StartsWith(name, "iou-wrk")) ++count;
  }
  return count;
}

// Makes the kernel end every request of the process's ring, as if nobody had asked for it. Returns how many.
int CancelAllFromOutside() {
  for (const auto& descriptor : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (std::filesystem::read_symlink(descriptor.path(), gone) != "anon_inode:[io_uring]") continue;
    io_uring_sync_cancel_reg request = {};
    request.fd = -1;
    request.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
    request.timeout = {.tv_sec = -1, .tv_nsec = -1};
    return static_cast<int>(syscall(SYS_io_uring_register, std::stoi(descriptor.path().filename()),
                                    IORING_REGISTER_SYNC_CANCEL, &request, 1));
  }
  return -1;
}

// Of the block behind `buffer`.
uint32_t CapacityOf(Buffer& buffer) {
  BufferBlock* const block = buffer.ReleaseBlock();
  buffer = Buffer(block);
  return block->capacity;
}

using posix::Ends;
using posix::TestOperation;
using posix::TestSource;

class UringReactorTest : public posix::TrafficFixture {
 protected:
  void Start(const ReactorOptions& options = ReactorOptions()) {
    auto reactor = UringReactor::Create(options);
    ASSERT_TRUE(reactor.ok()) << reactor.status();
    uring_ = reactor->get();
    reactor_ = *std::move(reactor);
    exact_budgets_ = uring_->has_receive_budget();
  }

  UringReactor* uring_ = nullptr;  // The same as reactor_.
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
  if (!uring_->has_receive_budget()) {
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
  uring_->DisableReceiveBudgetForTest();
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

TEST_F(UringReactorTest, ManyConnectionsOnARingThatStaysDryAreAllServed) {
  Start(ReactorOptions().set_receive_buffers(64).set_receive_buffer_bytes(1024));
  constexpr int kConnections = 3000;
  std::vector<std::unique_ptr<TestSource>> receives;
  std::vector<SocketId> clients;
  for (int i = 0; i < kConnections; ++i) {
    SocketId pair[2] = {kNoSocket, kNoSocket};
    ASSERT_EQ(reactor_->OpenSocketPair(SocketType::kStream, pair), 0);
    clients.push_back(Keep(pair[0]));
    receives.push_back(std::make_unique<TestSource>(Source::Kind::kReceive));
    receives.back()->keep = true;
    Arm(receives.back().get(), Keep(pair[1]));
  }
  for (const SocketId client : clients) WriteDirectly(client, "at once");
  const auto served = [&receives](const std::string& bytes) {
    return std::all_of(receives.begin(), receives.end(),
                       [&](const auto& receive) { return receive->received == bytes; });
  };

  ASSERT_TRUE(RunUntil([&] { return served("at once"); }));

  for (int round = 0; round < 10; ++round) {
    for (const SocketId client : clients) WriteDirectly(client, "+");
    ASSERT_TRUE(RunUntil([&] { return receives.back()->received.size() == 8u + round; }));
  }
  ASSERT_TRUE(RunUntil([&] { return served("at once++++++++++"); }));
  for (const auto& receive : receives) {
    reactor_->Disarm(*receive);
    for (Buffer& buffer : receive->kept) EXPECT_LE(CapacityOf(buffer), 1024u);
    receive->kept.clear();
  }
  ASSERT_TRUE(RunUntil([&] { return reactor_->in_flight() == 0; }));
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

// --- Cancellation ----------------------------------------------------------------------------------------------------

TEST_F(UringReactorTest, LateCompletionIsDropped) {
  Start();
  const auto [client, server] = Connection();
  TestSource receive(Source::Kind::kReceive);
  Arm(&receive, server);
  TestOperation send;
  StartSend(&send, client, "first");
  const uint64_t stale = uring_->RequestNameForTest(send);
  ASSERT_TRUE(RunUntil([&] { return send.done; }));
  // The next send takes the same slot and waits for its peer.
  const std::string bytes = Pattern(64 << 20);
  StartSend(&send, client, bytes);
  ASSERT_NE(uring_->RequestNameForTest(send), stale);
  ASSERT_EQ(static_cast<uint32_t>(uring_->RequestNameForTest(send)), static_cast<uint32_t>(stale));

  uring_->PostCompletionForTest(stale);
  ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));

  EXPECT_EQ(uring_->late_completions(), 1u);
  ASSERT_TRUE(RunUntil([&] { return send.done; }));
  EXPECT_EQ(send.result, static_cast<int64_t>(bytes.size()));
  uring_->PostCompletionForTest(stale ^ 0x00ff0000);  // A slot that never was.
  ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));
  EXPECT_EQ(uring_->late_completions(), 2u);
  Disarm(&receive);
}

// As it does when it has no memory to wait with.
TEST_F(UringReactorTest, RequestsThatTheKernelGivesUpAreMadeAgain) {
  Start();
  SocketAddress address;
  TestSource accept(Source::Kind::kAccept);
  Arm(&accept, Listener(&address));
  const auto [client, server] = Connection();
  TestSource receive(Source::Kind::kReceive);
  Arm(&receive, server);
  TestOperation send;
  const std::string bytes = Pattern(16 << 20);
  StartSend(&send, server, bytes);
  RunFor(absl::Milliseconds(5));

  for (int round = 0; round < 3; ++round) {
    ASSERT_GT(CancelAllFromOutside(), 0);
    RunFor(absl::Milliseconds(5));
  }

  EXPECT_TRUE(accept.armed());
  EXPECT_TRUE(receive.armed());
  EXPECT_FALSE(send.done);
  size_t read_bytes = 0;
  ASSERT_TRUE(RunUntil([&] { return (read_bytes += ReadDirectly(client).size()) == bytes.size(); }));
  EXPECT_EQ(Send(client, "received"), 8);
  const SocketId other = Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
  EXPECT_EQ(Connect(other, address), 0);
  EXPECT_TRUE(RunUntil([&] { return receive.received == "received" && accept.accepted.size() == 1; }));
  for (const SocketId accepted : accept.accepted) Keep(accepted);
  EXPECT_TRUE(RunUntil([&] { return send.done; }));
  EXPECT_EQ(send.result, static_cast<int64_t>(bytes.size()));
  Disarm(&accept);
  Disarm(&receive);
}

// A request that finds no room again and again goes to a worker thread of the kernel, where a cancel may be lost.
TEST_F(UringReactorTest, SendThatFindsNoRoomOftenIsCancelledAtOnce) {
  Start();
  const auto [client, server] = Connection();
  ASSERT_EQ(reactor_->SetOption(client, SocketOption::kSendBufferSize, 8192), 0);
  const std::string bytes = Pattern(16 << 20);
  TestOperation send;
  StartSend(&send, client, bytes);
  size_t read_bytes = 0;
  std::string part(65536, 0);
  while (read_bytes < bytes.size() / 2) {
    ASSERT_TRUE(reactor_->Poll(reactor_->ReadClock() + absl::Microseconds(10)));
    const ssize_t count = read(server, part.data(), part.size());
    if (count > 0) read_bytes += static_cast<size_t>(count);
  }
  EXPECT_EQ(KernelWorkers(), 0);
  const uint64_t before = reactor_->statistics().enters;

  reactor_->Cancel(send);
  ASSERT_TRUE(RunUntil([&] { return send.done; }));

  EXPECT_LE(reactor_->statistics().enters - before, 2u);
  read_bytes += ReadDirectly(server).size();
  EXPECT_EQ(send.result, static_cast<int64_t>(read_bytes));
}

// --- What the kernel may answer --------------------------------------------------------------------------------------

class AnswerTest : public UringReactorTest {
 protected:
  // The next request gets `answer`, and so do those that are made in its place, five in all.
  void Answer(int32_t answer) {
    for (int i = 0; i < 5; ++i) uring_->AnswerNextRequestForTest(answer);
  }
};

TEST_F(AnswerTest, SendsPassShortages) {
  Start();
  const auto [client, server] = Connection();
  for (const int32_t answer : {-ENOMEM, -ENOBUFS, -EAGAIN, -EINTR}) {
    Answer(answer);
    EXPECT_EQ(Send(client, "sent"), 4);
    EXPECT_EQ(ReadDirectly(server), "sent");
  }
}

TEST_F(AnswerTest, SendsTellErrors) {
  Start();
  const auto [client, server] = Connection();
  for (const int32_t answer : {-EPIPE, -ECONNRESET, -ETIMEDOUT, -EHOSTUNREACH, -EIO}) {
    uring_->AnswerNextRequestForTest(answer);
    EXPECT_EQ(Send(client, "lost"), answer);
  }
}

TEST_F(AnswerTest, ReceivesPassShortages) {
  for (const int32_t answer : {-ENOMEM, -ENOBUFS, -ECANCELED, -EAGAIN, -EINTR}) {
    Start();
    const auto [client, server] = Connection();
    TestSource receive(Source::Kind::kReceive);
    Answer(answer);
    Arm(&receive, server);
    RunFor(absl::Milliseconds(1));
    WriteDirectly(client, "received");
    EXPECT_TRUE(RunUntil([&] { return receive.received == "received"; })) << answer;
    EXPECT_TRUE(receive.armed());
    // Only the want of a buffer is one.
    EXPECT_EQ(reactor_->statistics().buffer_shortages, answer == -ENOBUFS ? 5u : 0u);
    Disarm(&receive);
  }
}

// Otherwise a kernel without memory, which it does not wait for, makes for a loop that never sleeps.
TEST_F(AnswerTest, ReceivesBackOffWhileThereIsNoMemory) {
  for (const int32_t answer : {-ENOMEM, -ECANCELED, -EINTR}) {
    Start();
    const auto [client, server] = Connection();
    TestSource receive(Source::Kind::kReceive);
    for (int i = 0; i < 100'000; ++i) uring_->AnswerNextRequestForTest(answer);
    Arm(&receive, server);
    RunFor(absl::Milliseconds(300));
    EXPECT_LE(reactor_->statistics().enters, 60u) << answer;  // 0, 5, 10, 20, ... 100 ms, two or three enters each.
    Disarm(&receive);
  }
}

TEST_F(AnswerTest, WaitsForDatagramsBackOffWhileThereIsNoMemory) {
  Start();
  SocketId pair[2] = {kNoSocket, kNoSocket};
  ASSERT_EQ(reactor_->OpenSocketPair(SocketType::kDatagram, pair), 0);
  TestSource receive(Source::Kind::kReceiveDatagrams);
  for (int i = 0; i < 100'000; ++i) uring_->AnswerNextRequestForTest(-ENOMEM);
  Arm(&receive, Keep(pair[1]));
  RunFor(absl::Milliseconds(300));
  EXPECT_LE(reactor_->statistics().enters, 60u);
  WriteDirectly(Keep(pair[0]), "there all the same");
  EXPECT_TRUE(RunUntil([&] { return receive.datagrams.size() == 1; }));
  Disarm(&receive);
}

TEST_F(AnswerTest, ReceivesTellErrors) {
  Start();
  const auto [client, server] = Connection();
  for (const int error : {ECONNRESET, ETIMEDOUT, EHOSTUNREACH, EIO, ENOTCONN}) {
    TestSource receive(Source::Kind::kReceive);
    uring_->AnswerNextRequestForTest(-error);
    Arm(&receive, server);
    ASSERT_TRUE(RunUntil([&] { return !receive.armed(); }));
    EXPECT_EQ(receive.ends, (Ends{{SourceEnd::kError, error}}));
  }
}

TEST_F(AnswerTest, AcceptsPassWhatIsNotTheListeners) {
  for (const int error : {EMFILE, ENFILE, ENOMEM, ENOBUFS, ECANCELED, EAGAIN, EINTR, ECONNABORTED, EPROTO, ENETDOWN,
                          ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, ENETUNREACH, EPERM, ETIMEDOUT}) {
    Start();
    SocketAddress address;
    TestSource accept(Source::Kind::kAccept);
    Answer(-error);
    Arm(&accept, Listener(&address));
    RunFor(absl::Milliseconds(1));
    const SocketId client = Keep(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(posix::ConnectNow(client, address), 0);
    EXPECT_TRUE(RunUntil([&] { return accept.accepted.size() == 1; })) << error;
    for (const SocketId accepted : accept.accepted) Keep(accepted);
    EXPECT_TRUE(accept.armed());
    Disarm(&accept);
  }
}

TEST_F(AnswerTest, AcceptsTellErrors) {
  Start();
  SocketAddress address;
  for (const int error : {EINVAL, EBADF, EOPNOTSUPP, ENOTSOCK}) {
    TestSource accept(Source::Kind::kAccept);
    uring_->AnswerNextRequestForTest(-error);
    Arm(&accept, Listener(&address));
    ASSERT_TRUE(RunUntil([&] { return !accept.armed(); }));
    EXPECT_EQ(accept.ends, (Ends{{SourceEnd::kError, error}}));
  }
}

TEST_F(AnswerTest, ConnectsAndClosesTellErrors) {
  Start();
  SocketAddress address;
  Listener(&address);
  for (const int32_t answer : {-ECONNREFUSED, -ETIMEDOUT, -ENETUNREACH, -EADDRNOTAVAIL, -ENOMEM, -EISCONN}) {
    uring_->AnswerNextRequestForTest(answer);
    EXPECT_EQ(Connect(Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream)), address), answer);
  }
  for (const int32_t answer : {-EIO, -EINTR, -EDQUOT}) {
    TestOperation close(OperationKind::kClose, Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream)));
    uring_->AnswerNextRequestForTest(answer);
    EXPECT_EQ(Run(close), answer);
  }
}

TEST_F(AnswerTest, StepsPassWaitsThatFail) {
  Start();
  SocketId pair[2] = {kNoSocket, kNoSocket};
  ASSERT_EQ(reactor_->OpenSocketPair(SocketType::kStream, pair), 0);
  Keep(pair[0]);
  Keep(pair[1]);
  const int descriptors[] = {STDERR_FILENO};
  for (const int32_t answer : {-ENOMEM, -ECANCELED}) {
    TestSource receive(Source::Kind::kReceive);
    receive.wants_descriptors = true;
    Answer(answer);
    Arm(&receive, pair[1]);
    RunFor(absl::Milliseconds(150));  // 0, 5, 10, 20 and 40 ms.
    if (answer == -ENOMEM) Answer(answer);
    TestOperation send;
    send.descriptors = descriptors;
    StartSend(&send, pair[0], Pattern(500'000));  // Waits for room, too.
    EXPECT_TRUE(RunUntil([&] { return send.done && receive.received.size() == 500'000u; }));
    EXPECT_TRUE(receive.received == send.bytes);
    Disarm(&receive);
  }
}

// --- Lost completions ------------------------------------------------------------------------------------------------

// One of each kind, in flight. The kernel then says that it has lost a completion, and has lost none.
TEST_F(UringReactorTest, AllSurvivesTheLossOfNothing) {
  for (const bool submission_thread : {false, true}) {
    Start(ReactorOptions().set_submission_thread(submission_thread));
    SocketAddress address;
    TestSource accept(Source::Kind::kAccept);
    Arm(&accept, Listener(&address));
    const auto [client, server] = Connection();
    TestSource receive(Source::Kind::kReceive);
    Arm(&receive, server);
    const auto [other_client, other_server] = Connection();
    const std::string bytes = Pattern(16 << 20);
    TestOperation send;
    StartSend(&send, other_client, bytes);
    SocketId pair[2] = {kNoSocket, kNoSocket};
    ASSERT_EQ(reactor_->OpenSocketPair(SocketType::kDatagram, pair), 0);
    TestSource datagrams(Source::Kind::kReceiveDatagrams);
    Arm(&datagrams, Keep(pair[1]));
    RunFor(absl::Milliseconds(5));

    for (int round = 0; round < 5; ++round) {
      uring_->ClaimLossForTest();
      ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));
    }

    size_t read_bytes = 0;
    ASSERT_TRUE(RunUntil([&] { return (read_bytes += ReadDirectly(other_server).size()) == bytes.size(); }));
    EXPECT_EQ(Send(client, "received"), 8);
    const SocketId other = Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
    EXPECT_EQ(Connect(other, address), 0);
    WriteDirectly(Keep(pair[0]), "datagram");
    EXPECT_TRUE(RunUntil([&] {
      return receive.received == "received" && accept.accepted.size() == 1 && datagrams.datagrams.size() == 1;
    }));
    for (const SocketId accepted : accept.accepted) Keep(accepted);
    EXPECT_EQ(Finish(send), static_cast<int64_t>(bytes.size()));
    // It still wakes.
    std::thread waker([this] { reactor_->Wake(); });
    ASSERT_TRUE(RunUntil([&] { return reactor_->statistics().wakes > 0; }, absl::Seconds(10)));
    waker.join();
    Disarm(&accept);
    Disarm(&receive);
    Disarm(&datagrams);
    EXPECT_EQ(uring_->late_completions(), 0u);
  }
}

// The completion of each kind is really lost; a neighbour must not notice.
class LossTest : public UringReactorTest {
 protected:
  void StartWithNeighbour() {
    UringReactorTest::Start();
    const auto [client, server] = Connection();
    neighbour_ = client;
    Arm(&receive_, server);
    RunFor(absl::Milliseconds(5));
  }
  // Loses the completion that is about to come.
  void Lose() {
    for (int i = 0; i < 1000 && !uring_->LoseCompletionForTest(); ++i) absl::SleepFor(absl::Milliseconds(1));
  }
  void CheckNeighbour() {
    WriteDirectly(neighbour_, "still here");
    EXPECT_TRUE(RunUntil([&] { return receive_.received == "still here"; }));
    Disarm(&receive_);
    EXPECT_EQ(receive_.ends, (Ends{{SourceEnd::kDisarmed, 0}}));
    EXPECT_EQ(reactor_->in_flight(), 0u);
  }

  SocketId neighbour_ = kNoSocket;
  TestSource receive_{Source::Kind::kReceive};
};

TEST_F(LossTest, OfASendFailsTheConnection) {
  StartWithNeighbour();
  const auto [client, server] = Connection();
  TestOperation send;
  StartSend(&send, client, "sent or not");
  Lose();

  EXPECT_EQ(Finish(send), -ECONNABORTED);
  CheckNeighbour();
}

TEST_F(LossTest, OfAReceiveFailsTheConnection) {
  StartWithNeighbour();
  const auto [client, server] = Connection();
  close(client);
  Forget(client);
  TestSource receive(Source::Kind::kReceive);
  Arm(&receive, server);  // Ends at once.
  Lose();

  ASSERT_TRUE(RunUntil([&] { return !receive.armed(); }));
  EXPECT_EQ(receive.ends, (Ends{{SourceEnd::kError, ECONNABORTED}}));
  CheckNeighbour();
}

TEST_F(LossTest, OfACloseOrAConnectIsMadeGood) {
  StartWithNeighbour();
  TestOperation close(OperationKind::kClose,
                      static_cast<SocketId>(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream)));
  reactor_->Submit(close);
  Lose();
  EXPECT_EQ(Finish(close), 0);

  SocketAddress address;
  Listener(&address);
  TestOperation connect(OperationKind::kConnect, Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream)));
  connect.address = address;
  reactor_->Submit(connect);
  Lose();
  EXPECT_EQ(Finish(connect), 0);
  CheckNeighbour();
}

TEST_F(LossTest, OfAnAcceptOrAWaitIsMadeGood) {
  StartWithNeighbour();
  SocketAddress address;
  TestSource accept(Source::Kind::kAccept);
  uring_->AnswerNextRequestForTest(-EAGAIN);
  Arm(&accept, Listener(&address));
  Lose();
  const SocketId client = Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kStream));
  EXPECT_EQ(Connect(client, address), 0);
  EXPECT_TRUE(RunUntil([&] { return accept.accepted.size() == 1; }));
  for (const SocketId accepted : accept.accepted) Keep(accepted);
  Disarm(&accept);

  SocketId pair[2] = {kNoSocket, kNoSocket};
  ASSERT_EQ(reactor_->OpenSocketPair(SocketType::kDatagram, pair), 0);
  WriteDirectly(Keep(pair[0]), "datagram");
  TestSource datagrams(Source::Kind::kReceiveDatagrams);
  Arm(&datagrams, Keep(pair[1]));
  Lose();
  EXPECT_TRUE(RunUntil([&] { return datagrams.datagrams.size() == 1; }));
  Disarm(&datagrams);
  CheckNeighbour();
}

// The kernel has to keep what there is no room for, and may have no memory to do so: better that it need not.
TEST_F(UringReactorTest, BurstsDoNotOverflowTheCompletionQueue) {
  constexpr int kSources = 1500;
  Start(ReactorOptions().set_ring_entries(64 * 5).set_receive_buffers(512).set_receive_buffer_bytes(256));
  std::vector<std::unique_ptr<TestSource>> receives;
  std::vector<SocketId> clients;
  for (int i = 0; i < kSources; ++i) {
    SocketId pair[2] = {kNoSocket, kNoSocket};
    ASSERT_EQ(reactor_->OpenSocketPair(SocketType::kStream, pair), 0);
    clients.push_back(Keep(pair[0]));
    receives.push_back(std::make_unique<TestSource>(Source::Kind::kReceive));
    receives.back()->socket = Keep(pair[1]);
    WriteDirectly(clients.back(), "1");
  }
  // All that are armed have something to tell at once.
  for (const auto& receive : receives) Arm(receive.get(), receive->socket);
  const auto all_have = [&receives](size_t count) {
    return std::all_of(receives.begin(), receives.end(),
                       [count](const auto& receive) { return receive->received.size() == count; });
  };
  ASSERT_TRUE(RunUntil([&] { return all_have(1); }));

  for (const SocketId client : clients) WriteDirectly(client, "2");
  ASSERT_TRUE(RunUntil([&] { return all_have(2); }));

  EXPECT_EQ(uring_->completion_overflows(), 0u);
  for (const auto& receive : receives) reactor_->Disarm(*receive);
  ASSERT_TRUE(RunUntil([&] { return reactor_->in_flight() == 0; }));
  EXPECT_EQ(uring_->completion_overflows(), 0u);
}

// --- Accepts and connects --------------------------------------------------------------------------------------------

TEST_F(UringReactorTest, ConnectsToAFullUnixListenerCostNoThreadAndFewTurns) {
  Start();
  const SocketId listener = Keep(reactor_->OpenSocket(AddressFamily::kUnix, SocketType::kStream));
  const sa_family_t family = AF_UNIX;
  SocketAddress address;
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&family), sizeof(family)), 0);
  ASSERT_EQ(reactor_->LocalAddress(listener, &address), 0);
  ASSERT_EQ(reactor_->Listen(listener, 0), 0);
  std::vector<std::unique_ptr<TestOperation>> connects;
  for (int i = 0; i < 8; ++i) {
    connects.push_back(std::make_unique<TestOperation>(
        OperationKind::kConnect, Keep(reactor_->OpenSocket(AddressFamily::kUnix, SocketType::kStream))));
    connects.back()->address = address;
    reactor_->Submit(*connects.back());
  }
  RunFor(absl::Milliseconds(200));

  EXPECT_EQ(KernelWorkers(), 0);
  EXPECT_EQ(std::count_if(connects.begin(), connects.end(), [](const auto& connect) { return connect->done; }), 1);
  TestSource accept(Source::Kind::kAccept);
  Arm(&accept, listener);
  ASSERT_TRUE(RunUntil([&] { return accept.accepted.size() == connects.size(); }));
  for (const SocketId accepted : accept.accepted) Keep(accepted);
  for (const auto& connect : connects) EXPECT_EQ(Finish(*connect), 0);
  Disarm(&accept);
  EXPECT_EQ(KernelWorkers(), 0);
}

TEST_F(UringReactorTest, LateAcceptOfDescriptorZeroIsClosed) {
  Start();
  SocketAddress address;
  TestSource accept(Source::Kind::kAccept);
  Arm(&accept, Listener(&address));
  RunFor(absl::Milliseconds(1));
  const uint64_t name = uring_->RequestNameForTest(accept);
  Disarm(&accept);
  const int kept = dup(STDIN_FILENO);
  close(STDIN_FILENO);
  ASSERT_EQ(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), 0);

  uring_->PostCompletionForTest(name);
  ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));

  EXPECT_EQ(uring_->late_completions(), 1u);
  EXPECT_LT(fcntl(STDIN_FILENO, F_GETFD), 0);
  if (kept >= 0) {
    dup2(kept, STDIN_FILENO);
    close(kept);
  }
}

// --- Waiting and waking ----------------------------------------------------------------------------------------------

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

// --- Much at once ----------------------------------------------------------------------------------------------------

TEST_F(UringReactorTest, TinyRingsGetExactBytes) {
  // One submission entry and 8 buffers for 100 connections: every shortage at once.
  Start(ReactorOptions().set_ring_entries(1).set_receive_buffers(8).set_receive_buffer_bytes(1024));
  RunTraffic(100, 100'000);
  EXPECT_EQ(uring_->late_completions(), 0u);
  EXPECT_GT(reactor_->statistics().buffer_shortages, 0u);
}

TEST_F(UringReactorTest, LargestRingsGetExactBytes) {
  // And beyond: too large is clamped.
  Start(ReactorOptions().set_ring_entries(1'000'000).set_receive_buffers(1'000'000).set_receive_buffer_bytes(1024));
  EXPECT_NE(reactor_->statistics().description.find("32768/65536 entries"), std::string::npos);
  EXPECT_NE(reactor_->statistics().description.find("32768 receive buffers"), std::string::npos);
  RunTraffic(100, 100'000);
}

TEST_F(UringReactorTest, WithoutKernelBudgetGetsExactBytes) {
  Start();
  uring_->DisableReceiveBudgetForTest();
  exact_budgets_ = false;
  RunTraffic(100, 300'000);
  EXPECT_EQ(uring_->late_completions(), 0u);
}

TEST_F(UringReactorTest, WithSubmissionThreadGetsExactBytes) {
  Start(ReactorOptions().set_submission_thread(true));
  RunTraffic(50, 100'000);
  EXPECT_EQ(uring_->late_completions(), 0u);
}

}  // namespace
}  // namespace tandem::uring
