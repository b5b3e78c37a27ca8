// SPDX-License-Identifier: Apache-2.0
//
// Operations and sources as the reactors of real machines have them, driven directly: one body, linked with each. What
// the simulator promises too is in //testing.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/create_reactor.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/posix/datagrams_for_test.h"
#include "tandem/posix/reactor_fixture.h"

namespace tandem::posix {
namespace {

std::vector<std::string> TextsOf(const TestSource& source) {
  std::vector<std::string> texts;
  texts.reserve(source.datagrams.size());
  for (const Datagram& datagram : source.datagrams) texts.emplace_back(datagram.data.view());
  return texts;
}

class OperationsTest : public ReactorFixture {
 protected:
  void SetUp() override {
    auto reactor = CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(ReactorOptions());
    ASSERT_TRUE(reactor.ok()) << reactor.status();
    reactor_ = *std::move(reactor);
    RecordProperty("reactor", reactor_->statistics().description);
  }
  void TearDown() override {
    EXPECT_EQ(reactor_->in_flight(), 0u);
    ReactorFixture::TearDown();
  }

  SocketId OpenUdp(SocketAddress* address) {
    const SocketId socket = Keep(reactor_->OpenSocket(AddressFamily::kIpv4, SocketType::kDatagram));
    EXPECT_EQ(reactor_->Bind(socket, SocketAddress::LoopbackIpv4(0)), 0);
    EXPECT_EQ(reactor_->LocalAddress(socket, address), 0);
    return socket;
  }
  // An abstract name that the kernel chooses.
  SocketAddress BindToAnyName(SocketId socket) {
    const sa_family_t family = AF_UNIX;
    SocketAddress address;
    EXPECT_EQ(bind(socket, reinterpret_cast<const sockaddr*>(&family), sizeof(family)), 0);
    EXPECT_EQ(reactor_->LocalAddress(socket, &address), 0);
    return address;
  }
  std::pair<SocketId, SocketId> OpenUnixPair(SocketType type) {
    SocketId pair[2] = {kNoSocket, kNoSocket};
    EXPECT_EQ(reactor_->OpenSocketPair(type, pair), 0);
    Keep(pair[0]);
    Keep(pair[1]);
    return {pair[0], pair[1]};
  }
  int64_t SendTo(SocketId socket, const SocketAddress& address, const std::vector<std::string>& texts) {
    const std::vector<OutgoingDatagram> datagrams = To(address, texts);
    TestOperation send(OperationKind::kSendDatagrams, socket);
    send.datagrams = datagrams;
    return Run(send);
  }

  // Sends more than the kernel takes at once. Returns how much it has taken.
  size_t FillUp(SocketId socket) {
    const std::string chunk(1 << 20, 'x');
    const IoSlice slices[] = {{chunk.data(), chunk.size()}};
    size_t sent = 0;
    for (int64_t result = 0; (result = reactor_->TrySend(socket, slices)) > 0;) sent += static_cast<size_t>(result);
    return sent;
  }

  // A file with `bytes`.
  int OpenFile(const std::string& bytes) {
    const int file = Keep(memfd_create("operations_test", MFD_CLOEXEC));
    EXPECT_EQ(write(file, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    return file;
  }
};

// --- Datagrams -------------------------------------------------------------------------------------------------------

TEST_F(OperationsTest, TwoHundredEqualDatagramsArriveWholeAndInOrder) {
  SocketAddress source;
  SocketAddress target;
  const SocketId sender = OpenUdp(&source);
  TestSource receive(Source::Kind::kReceiveDatagrams);
  Arm(&receive, OpenUdp(&target));
  const std::vector<std::string> texts = Texts(200, 100);

  EXPECT_EQ(SendTo(sender, target, texts), 200);
  ASSERT_TRUE(RunUntil([&] { return receive.datagrams.size() == texts.size(); }));

  EXPECT_EQ(TextsOf(receive), texts);
  for (const Datagram& datagram : receive.datagrams) {
    EXPECT_EQ(datagram.source, source);
    EXPECT_FALSE(datagram.truncated);
  }
  Disarm(&receive);
  EXPECT_EQ(receive.ends, (Ends{{SourceEnd::kDisarmed, 0}}));
}

TEST_F(OperationsTest, LongestAndEmptyDatagramsArriveWhole) {
  SocketAddress source;
  SocketAddress target;
  const SocketId sender = OpenUdp(&source);
  TestSource receive(Source::Kind::kReceiveDatagrams);
  Arm(&receive, OpenUdp(&target));
  const std::vector<std::string> texts = {"", Pattern(65507), "", "x"};

  EXPECT_EQ(SendTo(sender, target, texts), 4);
  ASSERT_TRUE(RunUntil([&] { return receive.datagrams.size() == 4; }));

  EXPECT_TRUE(TextsOf(receive) == texts);
  EXPECT_FALSE(receive.datagrams[1].truncated);
  EXPECT_EQ(SendTo(sender, target, {Pattern(65508)}), -EMSGSIZE);
  EXPECT_EQ(SendTo(sender, target, {"a", Pattern(65508), "b"}), 1);
  Disarm(&receive);
}

TEST_F(OperationsTest, DatagramBudgetIsExact) {
  SocketAddress source;
  SocketAddress target;
  const SocketId sender = OpenUdp(&source);
  const SocketId receiver = OpenUdp(&target);
  const std::vector<std::string> texts = Texts(60, 50);
  for (const std::string& text : texts) ASSERT_EQ(SendTo(sender, target, {text}), 1);
  TestSource receive(Source::Kind::kReceiveDatagrams);

  for (const size_t budget : {1, 2, 17, 40}) {
    const size_t before = receive.datagrams.size();
    Arm(&receive, receiver, budget);
    ASSERT_TRUE(RunUntil([&] { return !receive.armed(); }));
    EXPECT_EQ(receive.ends.back(), (std::pair{SourceEnd::kBudget, 0}));
    EXPECT_EQ(receive.datagrams.size() - before, budget);
  }

  EXPECT_EQ(TextsOf(receive), texts);
}

TEST_F(OperationsTest, RefusedDatagramIsReportedOnce) {
  SocketAddress source;
  SocketAddress nobody;
  const SocketId sender = OpenUdp(&source);
  close(OpenUdp(&nobody));
  sockets_.pop_back();
  ASSERT_EQ(reactor_->ConnectDatagrams(sender, nobody), 0);
  TestSource receive(Source::Kind::kReceiveDatagrams);
  Arm(&receive, sender);

  EXPECT_EQ(SendTo(sender, SocketAddress(), {"x"}), 1);
  ASSERT_TRUE(RunUntil([&] { return !receive.armed(); }));

  EXPECT_EQ(receive.ends, (Ends{{SourceEnd::kError, ECONNREFUSED}}));
  Arm(&receive, sender);
  RunFor(absl::Milliseconds(20));
  EXPECT_TRUE(receive.armed());
  Disarm(&receive);
}

TEST_F(OperationsTest, ShutdownEndsTheDatagramSource) {
  SocketAddress address;
  const SocketId socket = OpenUdp(&address);
  ASSERT_EQ(reactor_->ConnectDatagrams(socket, address), 0);
  TestSource receive(Source::Kind::kReceiveDatagrams);
  Arm(&receive, socket);
  RunFor(absl::Milliseconds(2));

  ASSERT_EQ(reactor_->Shutdown(socket, ShutdownHow::kRead), 0);
  ASSERT_TRUE(RunUntil([&] { return !receive.armed(); }));

  EXPECT_EQ(receive.ends, (Ends{{SourceEnd::kEndOfStream, 0}}));
}

TEST_F(OperationsTest, TryCallsTakeAndSendWhatIsPossibleAtOnce) {
  SocketAddress source;
  SocketAddress target;
  const SocketId sender = OpenUdp(&source);
  const SocketId receiver = OpenUdp(&target);
  const std::vector<std::string> texts = Texts(100, 100);
  std::vector<Datagram> received;

  EXPECT_EQ(reactor_->TryReceiveDatagrams(receiver, &received), -EAGAIN);
  EXPECT_EQ(reactor_->TrySendDatagrams(sender, To(target, texts)), 100);
  while (reactor_->TryReceiveDatagrams(receiver, &received) > 0) {
  }

  ASSERT_EQ(received.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(received[i].data.view(), texts[i]);
}

TEST_F(OperationsTest, BusyDatagramSocketDoesNotStarveAnother) {
  SocketAddress source;
  SocketAddress busy_address;
  SocketAddress quiet_address;
  const SocketId sender = OpenUdp(&source);
  TestSource busy(Source::Kind::kReceiveDatagrams);
  TestSource quiet(Source::Kind::kReceiveDatagrams);
  const SocketId busy_socket = OpenUdp(&busy_address);
  const SocketId quiet_socket = OpenUdp(&quiet_address);
  // One by one, so that none are coalesced.
  for (int i = 0; i < 200; ++i) ASSERT_EQ(SendTo(sender, busy_address, {"x"}), 1);
  ASSERT_EQ(SendTo(sender, quiet_address, {"y"}), 1);

  Arm(&busy, busy_socket);
  Arm(&quiet, quiet_socket);
  ASSERT_TRUE(RunUntil([&] { return !quiet.datagrams.empty(); }));

  EXPECT_LT(busy.datagrams.size(), 200u);
  ASSERT_TRUE(RunUntil([&] { return busy.datagrams.size() == 200; }));
  Disarm(&busy);
  Disarm(&quiet);
}

TEST_F(OperationsTest, DisarmRacingDatagramsLosesNothing) {
  SocketAddress source;
  SocketAddress target;
  const SocketId sender = OpenUdp(&source);
  const SocketId receiver = OpenUdp(&target);
  TestSource receive(Source::Kind::kReceiveDatagrams);
  std::vector<std::string> expected;
  uint32_t random = 5;
  for (int round = 0; round < 2000; ++round) {
    random = random * 1664525 + 1013904223;
    Arm(&receive, receiver, 1 + (random >> 8) % 4);
    if ((random & 0x100000) != 0) {
      ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));
    }
    expected.push_back(absl::StrCat("datagram ", round));
    ASSERT_EQ(reactor_->TrySendDatagrams(sender, To(target, {expected.back()})), 1);
    if ((random & 0x200000) != 0) {
      ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));
    }
    if ((random & 0x400000) != 0) receive.then = [&] { reactor_->Disarm(receive); };
    Disarm(&receive);
    receive.then = nullptr;
    // What is not drained now and then fills the socket's buffer, which drops.
    if (round % 16 != 15) continue;
    Arm(&receive, receiver);
    ASSERT_TRUE(RunUntil([&] { return receive.datagrams.size() == expected.size(); }));
    Disarm(&receive);
  }

  EXPECT_TRUE(TextsOf(receive) == expected);
}

TEST_F(OperationsTest, CancelledDatagramSendReportsExactlyWhatThePeerGets) {
  const auto [sender, receiver] = OpenUnixPair(SocketType::kDatagram);
  const std::vector<std::string> texts = Texts(5000, 100);
  const std::vector<OutgoingDatagram> datagrams = To(SocketAddress(), texts);
  TestSource receive(Source::Kind::kReceiveDatagrams);
  size_t reported = 0;
  for (int round = 0; round < 40; ++round) {
    TestOperation send(OperationKind::kSendDatagrams, sender);
    send.datagrams = datagrams;
    reactor_->Submit(send);
    Arm(&receive, receiver, 1 + static_cast<size_t>(round) * 5);
    for (int i = 0; i < round / 2; ++i) ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));
    reactor_->Cancel(send);
    Finish(send);
    ASSERT_TRUE(send.result > 0 || send.result == -ECANCELED) << send.result;
    ASSERT_EQ(send.ends, 1);
    if (send.result > 0) reported += static_cast<size_t>(send.result);
    Disarm(&receive);
  }
  Arm(&receive, receiver);
  ASSERT_TRUE(RunUntil([&] { return receive.datagrams.size() >= reported; }));
  RunFor(absl::Milliseconds(10));
  EXPECT_EQ(receive.datagrams.size(), reported);
  Disarm(&receive);
}

// Linux calls the sender writable, whatever the queue of the receiver: waiting for that would spin.
TEST_F(OperationsTest, FullUnixReceiverDelaysAnUnconnectedSenderWithoutSpinning) {
  const SocketId receiver = Keep(reactor_->OpenSocket(AddressFamily::kUnix, SocketType::kDatagram));
  const SocketId sender = Keep(reactor_->OpenSocket(AddressFamily::kUnix, SocketType::kDatagram));
  const SocketAddress address = BindToAnyName(receiver);
  const std::vector<std::string> texts = Texts(2000, 20);
  const std::vector<OutgoingDatagram> datagrams = To(address, texts);
  TestOperation send(OperationKind::kSendDatagrams, sender);
  send.datagrams = datagrams;

  reactor_->Submit(send);
  RunFor(absl::Milliseconds(30));
  const uint64_t polls = reactor_->statistics().polls;
  RunFor(absl::Milliseconds(50));

  EXPECT_FALSE(send.done);
  EXPECT_LT(reactor_->statistics().polls - polls, 500u);
  TestSource receive(Source::Kind::kReceiveDatagrams);
  Arm(&receive, receiver);
  EXPECT_EQ(Finish(send), 2000);
  ASSERT_TRUE(RunUntil([&] { return receive.datagrams.size() == texts.size(); }));
  EXPECT_TRUE(TextsOf(receive) == texts);
  Disarm(&receive);

  TestOperation cancelled(OperationKind::kSendDatagrams, sender);
  cancelled.datagrams = datagrams;
  reactor_->Submit(cancelled);
  RunFor(absl::Milliseconds(20));
  reactor_->Cancel(cancelled);
  EXPECT_GT(Finish(cancelled), 0);
}

// --- Unix sockets and descriptors ------------------------------------------------------------------------------------

TEST_F(OperationsTest, DescriptorsTravelBothWaysWithTheFirstByte) {
  const auto [one, other] = OpenUnixPair(SocketType::kStream);
  const int file = OpenFile("inside");
  for (const auto& [from, to] : {std::pair{one, other}, std::pair{other, one}}) {
    TestSource receive(Source::Kind::kReceive);
    receive.wants_descriptors = true;
    Arm(&receive, to);
    TestOperation plain;
    StartSend(&plain, from, "before ");
    ASSERT_EQ(Finish(plain), 7);
    // The kernel gives bytes without descriptors and those with them out together when both are there.
    ASSERT_TRUE(RunUntil([&] { return receive.received == "before "; }));
    TestOperation send;
    const int descriptors[] = {file, one};
    send.descriptors = descriptors;
    StartSend(&send, from, "with");
    ASSERT_EQ(Finish(send), 4);
    ASSERT_TRUE(RunUntil([&] { return receive.received == "before with"; }));

    ASSERT_EQ(receive.descriptors_at, (std::vector<size_t>{7, 7}));
    EXPECT_NE(fcntl(receive.descriptors[0], F_GETFD) & FD_CLOEXEC, 0);
    char inside[6];
    EXPECT_EQ(pread(receive.descriptors[0], inside, 6, 0), 6);
    EXPECT_EQ(std::string(inside, 6), "inside");
    Disarm(&receive);
  }
}

TEST_F(OperationsTest, LongSendWithDescriptorsArrivesWholeAndThemOnce) {
  const auto [sender, receiver] = OpenUnixPair(SocketType::kStream);
  const std::string bytes = Pattern(5 << 20);
  const int descriptors[] = {sender};
  TestSource receive(Source::Kind::kReceive);
  receive.wants_descriptors = true;
  TestOperation send;
  send.descriptors = descriptors;
  StartSend(&send, sender, bytes);
  RunFor(absl::Milliseconds(5));
  EXPECT_FALSE(send.done);

  while (receive.received.size() < bytes.size()) {
    const size_t budget = 1 + receive.received.size() % 200'000;
    const size_t before = receive.received.size();
    Arm(&receive, receiver, std::min(budget, bytes.size() - before));
    ASSERT_TRUE(RunUntil([&] { return !receive.armed(); }));
    ASSERT_EQ(receive.ends.back(), (std::pair{SourceEnd::kBudget, 0}));
    ASSERT_LE(receive.received.size() - before, budget);
  }

  EXPECT_EQ(Finish(send), static_cast<int64_t>(bytes.size()));
  EXPECT_TRUE(receive.received == bytes);
  EXPECT_EQ(receive.descriptors_at, std::vector<size_t>{0});
}

TEST_F(OperationsTest, DescriptorsThatNobodyWantsAreClosed) {
  const auto [sender, receiver] = OpenUnixPair(SocketType::kStream);
  int pipe_ends[2] = {-1, -1};
  ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK), 0);
  Keep(pipe_ends[0]);
  TestSource receive(Source::Kind::kReceive);
  Arm(&receive, receiver);
  TestOperation send;
  const int descriptors[] = {pipe_ends[1]};
  send.descriptors = descriptors;
  StartSend(&send, sender, "x");
  ASSERT_EQ(Finish(send), 1);
  close(pipe_ends[1]);

  ASSERT_TRUE(RunUntil([&] { return receive.received == "x"; }));

  char byte = 0;
  EXPECT_EQ(read(pipe_ends[0], &byte, 1), 0);  // Nobody has the other end.
  Disarm(&receive);
}

TEST_F(OperationsTest, SourceOfDescriptorsEndsLikeAnyOther) {
  const auto [sender, receiver] = OpenUnixPair(SocketType::kStream);
  TestSource receive(Source::Kind::kReceive);
  receive.wants_descriptors = true;
  Arm(&receive, receiver);
  RunFor(absl::Milliseconds(2));
  Disarm(&receive);
  Arm(&receive, receiver);
  ASSERT_EQ(reactor_->Shutdown(sender, ShutdownHow::kWrite), 0);
  ASSERT_TRUE(RunUntil([&] { return !receive.armed(); }));

  EXPECT_EQ(receive.ends, (Ends{{SourceEnd::kDisarmed, 0}, {SourceEnd::kEndOfStream, 0}}));
}

TEST_F(OperationsTest, UnixDatagramsCarryDescriptors) {
  const auto [sender, receiver] = OpenUnixPair(SocketType::kDatagram);
  const int descriptors[] = {sender, receiver};
  OutgoingDatagram datagrams[] = {OutgoingDatagram("none"), OutgoingDatagram("two")};
  datagrams[1].descriptors = descriptors;
  TestOperation send(OperationKind::kSendDatagrams, sender);
  send.datagrams = datagrams;
  TestSource receive(Source::Kind::kReceiveDatagrams);

  ASSERT_EQ(Run(send), 2);
  Arm(&receive, receiver);
  ASSERT_TRUE(RunUntil([&] { return receive.datagrams.size() == 2; }));

  EXPECT_EQ(TextsOf(receive), (std::vector<std::string>{"none", "two"}));
  EXPECT_EQ(receive.descriptors.size(), 2u);
  Disarm(&receive);
}

TEST_F(OperationsTest, ConnectToAFullUnixListenerWaitsForRoom) {
  const SocketId listener = Keep(reactor_->OpenSocket(AddressFamily::kUnix, SocketType::kStream));
  const SocketAddress address = BindToAnyName(listener);
  ASSERT_EQ(reactor_->Listen(listener, 0), 0);
  std::vector<std::unique_ptr<TestOperation>> connects;
  for (int i = 0; i < 4; ++i) {
    const SocketId socket = Keep(reactor_->OpenSocket(AddressFamily::kUnix, SocketType::kStream));
    connects.push_back(std::make_unique<TestOperation>(OperationKind::kConnect, socket));
    connects.back()->address = address;
    reactor_->Submit(*connects.back());
  }
  RunFor(absl::Milliseconds(20));
  EXPECT_TRUE(connects.front()->done);
  EXPECT_FALSE(connects.back()->done);
  reactor_->Cancel(*connects.back());
  EXPECT_EQ(Finish(*connects.back()), -ECANCELED);

  TestSource accept(Source::Kind::kAccept);
  Arm(&accept, listener);
  ASSERT_TRUE(RunUntil([&] { return accept.accepted.size() == 3; }));
  for (const SocketId socket : accept.accepted) Keep(socket);

  for (int i = 0; i < 3; ++i) EXPECT_EQ(Finish(*connects[static_cast<size_t>(i)]), 0);
  Disarm(&accept);
}

// --- Files -----------------------------------------------------------------------------------------------------------

TEST_F(OperationsTest, TenMebibytesOfAFileReachASlowReader) {
  const std::string bytes = Pattern(10 << 20);
  const int file = OpenFile(bytes);
  for (const auto& [sender, receiver] : {Connection(), OpenUnixPair(SocketType::kStream)}) {
    TestOperation send(OperationKind::kSendFile, sender);
    send.range = {.descriptor = file, .offset = 0, .count = bytes.size()};
    reactor_->Submit(send);
    TestSource receive(Source::Kind::kReceive);
    while (receive.received.size() < bytes.size()) {
      ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));
      Arm(&receive, receiver, std::min<size_t>(60'000, bytes.size() - receive.received.size()));
      ASSERT_TRUE(RunUntil([&] { return !receive.armed(); }));
    }

    EXPECT_EQ(Finish(send), static_cast<int64_t>(bytes.size()));
    EXPECT_TRUE(receive.received == bytes);
  }
}

TEST_F(OperationsTest, FileThatEndsFirstIsAShortSend) {
  const auto [sender, receiver] = Connection();
  const int file = OpenFile("0123456789");
  TestOperation send(OperationKind::kSendFile, sender);
  send.range = {.descriptor = file, .offset = 4, .count = 100};

  EXPECT_EQ(Run(send), 6);
  send.range = {.descriptor = file, .offset = 10, .count = 100};
  EXPECT_EQ(Run(send), 0);
  send.range = {.descriptor = -1, .offset = 0, .count = 100};
  EXPECT_EQ(Run(send), -EBADF);

  EXPECT_EQ(ReadDirectly(receiver), "456789");
}

TEST_F(OperationsTest, CancelledFileReportsExactlyWhatThePeerReads) {
  const auto [sender, receiver] = Connection();
  const std::string bytes = Pattern(64 << 20);
  const int file = OpenFile(bytes);
  std::string peer;
  size_t reported = 0;
  for (int round = 0; round < 12; ++round) {
    TestOperation send(OperationKind::kSendFile, sender);
    send.range = {.descriptor = file, .offset = reported, .count = bytes.size() - reported};
    reactor_->Submit(send);
    for (int i = 0; i < round; ++i) ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));
    reactor_->Cancel(send);
    Finish(send);
    ASSERT_TRUE(send.result > 0 || send.result == -ECANCELED) << send.result;
    ASSERT_EQ(send.ends, 1);
    if (send.result > 0) reported += static_cast<size_t>(send.result);
    peer += ReadDirectly(receiver);
    ASSERT_EQ(peer.size(), reported) << "round " << round;
  }
  EXPECT_GT(reported, 0u);
  EXPECT_TRUE(peer == bytes.substr(0, reported));
}

TEST_F(OperationsTest, FileToAClosedPeerIsAnErrorAndNoSignal) {
  const auto [sender, receiver] = OpenUnixPair(SocketType::kStream);
  close(receiver);
  Forget(receiver);
  TestOperation send(OperationKind::kSendFile, sender);
  send.range = {.descriptor = OpenFile("0123456789"), .offset = 0, .count = 10};

  EXPECT_EQ(Run(send), -EPIPE);
}

// --- What blocks -----------------------------------------------------------------------------------------------------

TEST_F(OperationsTest, BlockingWorkRunsBesideTraffic) {
  const auto [sender, receiver] = Connection();
  absl::Notification received_all;
  TestOperation work(OperationKind::kRunBlocking);
  work.body = [&] { received_all.WaitForNotification(); };
  reactor_->Submit(work);
  const std::string bytes = Pattern(1 << 20);
  TestSource receive(Source::Kind::kReceive);
  Arm(&receive, receiver);
  TestOperation send;
  StartSend(&send, sender, bytes);
  ASSERT_TRUE(RunUntil([&] { return receive.received.size() == bytes.size(); }));
  EXPECT_FALSE(work.done);
  Disarm(&receive);
  Finish(send);
  reactor_->Cancel(work);  // It runs already, most likely; the result says.

  received_all.Notify();

  Finish(work);
  EXPECT_EQ(work.runs.load(), work.result == 0 ? 1 : 0);
}

TEST_F(OperationsTest, ThousandBlockingJobsWithCancelsEndOnceEach) {
  std::vector<std::unique_ptr<TestOperation>> jobs;
  for (size_t i = 0; i < 1000; ++i) {
    jobs.push_back(std::make_unique<TestOperation>(OperationKind::kRunBlocking));
    reactor_->Submit(*jobs.back());
    if (i % 3 == 0) reactor_->Cancel(*jobs[i * 2 / 3]);
    if (i % 100 == 0) {
      ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));
    }
  }

  EXPECT_TRUE(
      RunUntil([&] { return std::all_of(jobs.begin(), jobs.end(), [](const auto& job) { return job->done; }); }));

  for (const auto& job : jobs) {
    EXPECT_EQ(job->ends, 1);
    EXPECT_TRUE(job->result == 0 || job->result == -ECANCELED);
    EXPECT_EQ(job->runs.load(), job->result == 0 ? 1 : 0);
  }
}

TEST_F(OperationsTest, LocalhostIsLookedUp) {
  TestOperation lookup(OperationKind::kResolve);
  lookup.name.host = "localhost";
  lookup.name.port = 80;

  ASSERT_EQ(Run(lookup), 0);

  ASSERT_FALSE(lookup.name.addresses.empty());
  for (const SocketAddress& address : lookup.name.addresses) {
    EXPECT_TRUE(address.is_loopback()) << address.ToString();
    EXPECT_EQ(address.port(), 80);
  }
}

TEST_F(OperationsTest, CancelledLookupEndsWithoutWaiting) {
  for (int round = 0; round < 50; ++round) {
    TestOperation lookup(OperationKind::kResolve);
    lookup.name.host = "localhost";
    reactor_->Submit(lookup);
    if (round % 2 != 0) absl::SleepFor(absl::Microseconds(20 * round));
    reactor_->Cancel(lookup);
    ASSERT_TRUE(reactor_->Poll(Instant::InfinitePast()));

    ASSERT_TRUE(lookup.done);
    ASSERT_TRUE(lookup.result == 0 || lookup.result == -ECANCELED) << lookup.result;
    ASSERT_EQ(lookup.name.addresses.empty(), lookup.result != 0);
  }
}

TEST_F(OperationsTest, LingeringCloseDoesNotStopTheLoop) {
  const auto [sender, receiver] = Connection();
  const auto [other_sender, other_receiver] = Connection();
  const size_t sent = FillUp(sender);
  ASSERT_EQ(reactor_->SetOption(sender, SocketOption::kLinger, 30), 0);
  TestOperation close(OperationKind::kClose, sender);
  close.may_block = true;
  Forget(sender);

  reactor_->Submit(close);
  TestSource receive(Source::Kind::kReceive);
  Arm(&receive, other_receiver);
  TestOperation send;
  StartSend(&send, other_sender, "beside");
  ASSERT_TRUE(RunUntil([&] { return receive.received == "beside"; }));
  EXPECT_FALSE(close.done);
  Disarm(&receive);
  Finish(send);

  EXPECT_EQ(ReadDirectly(receiver).size(), sent);
  EXPECT_EQ(Finish(close), 0);
}

// The threads of this process with this name.
int ThreadsNamed(const std::string& wanted) {
  int count = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    count += name == wanted ? 1 : 0;
  }
  return count;
}

// Look-ups and closes do not wait for one another, and a close has no thread.
TEST_F(OperationsTest, LookupPassesManyLingeringCloses) {
  std::vector<std::unique_ptr<TestOperation>> closes;
  std::vector<SocketId> receivers;
  for (int i = 0; i < 40; ++i) {
    const auto [sender, receiver] = Connection();
    ASSERT_EQ(reactor_->SetOption(receiver, SocketOption::kReceiveBufferSize, 4096), 0);
    FillUp(sender);
    receivers.push_back(receiver);
    ASSERT_EQ(reactor_->SetOption(sender, SocketOption::kLinger, 3600), 0);
    closes.push_back(std::make_unique<TestOperation>(OperationKind::kClose, sender));
    closes.back()->may_block = true;
    Forget(sender);
    reactor_->Submit(*closes.back());
  }
  RunFor(absl::Milliseconds(20));
  EXPECT_TRUE(RunUntil([] { return ThreadsNamed("tandem-blocking") == 0; }, absl::Seconds(5)));
  TestOperation lookup(OperationKind::kResolve);
  lookup.name.host = "localhost";

  EXPECT_EQ(Run(lookup), 0);

  for (size_t i = 0; i < closes.size(); ++i) {
    EXPECT_FALSE(closes[i]->done);
    reactor_->Cancel(*closes[i]);  // A close cannot be cancelled.
    Forget(receivers[i]);
    close(receivers[i]);  // A reset: there are bytes that nobody has read.
    EXPECT_EQ(Finish(*closes[i]), 0);
  }
}

TEST_F(OperationsTest, LingeringCloseOfAResetConnectionEnds) {
  const auto [sender, receiver] = Connection();
  FillUp(sender);
  ASSERT_EQ(reactor_->SetOption(sender, SocketOption::kLinger, 3600), 0);
  TestOperation close_sender(OperationKind::kClose, sender);
  close_sender.may_block = true;
  Forget(sender);
  reactor_->Submit(close_sender);
  RunFor(absl::Milliseconds(5));
  EXPECT_FALSE(close_sender.done);

  Forget(receiver);
  close(receiver);  // With bytes that nobody has read.

  EXPECT_EQ(Finish(close_sender), 0);
}

TEST_F(OperationsTest, LingeringCloseOfUnreadBytesResetsAtOnce) {
  const auto [sender, receiver] = Connection();
  FillUp(sender);
  WriteDirectly(receiver, "nobody reads this");
  ASSERT_TRUE(RunUntil([&, s = sender] { return recv(s, nullptr, 0, MSG_DONTWAIT | MSG_PEEK) == 0; }));
  ASSERT_EQ(reactor_->SetOption(sender, SocketOption::kLinger, 3600), 0);
  TestOperation close(OperationKind::kClose, sender);
  close.may_block = true;
  Forget(sender);

  EXPECT_EQ(Run(close), 0);

  int error = 0;
  EXPECT_EQ(reactor_->GetOption(receiver, SocketOption::kError, &error), 0);
  EXPECT_EQ(error, ECONNRESET);
}

TEST_F(OperationsTest, LingeringCloseOfWhatIsNotTcpEnds) {
  const auto [sender, receiver] = OpenUnixPair(SocketType::kStream);
  ASSERT_EQ(reactor_->SetOption(sender, SocketOption::kLinger, 3600), 0);
  WriteDirectly(sender, "sent");
  TestOperation close(OperationKind::kClose, sender);
  close.may_block = true;
  Forget(sender);

  EXPECT_EQ(Run(close), 0);
  EXPECT_EQ(ReadDirectly(receiver), "sent");
}

}  // namespace
}  // namespace tandem::posix
