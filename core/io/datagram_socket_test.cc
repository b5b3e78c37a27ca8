// SPDX-License-Identifier: Apache-2.0
//
// The queues of a datagram socket against a reactor whose every report is chosen by the test: when receiving pauses and
// resumes, who hears of an error, how merged sends are counted. testing/conformance has what real reactors do.

#include "tandem/core/io/datagram_socket.h"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/runtime/fake_reactor_for_test.h"

namespace tandem {
namespace {

class TestReceiver final : public DatagramSocket::Receiver {
 public:
  bool ended() const { return ended_; }
  int error() const { return error_; }
  absl::string_view data() const { return datagram_.data.view(); }

 private:
  void OnDatagram(Datagram datagram) override {
    datagram_ = std::move(datagram);
    ended_ = true;
  }
  void OnError(int error) override {
    error_ = error;
    ended_ = true;
  }
  Datagram datagram_;
  int error_ = 0;
  bool ended_ = false;
};

class TestSender final : public DatagramSocket::Sender {
 public:
  explicit TestSender(std::vector<std::string> data) : Sender({}), data_(std::move(data)) {
    outgoing_.reserve(data_.size());
    for (const std::string& datagram : data_) outgoing_.emplace_back(datagram);
    datagrams_ = outgoing_;
  }
  bool ended() const { return ended_; }

 private:
  void OnSent() override { ended_ = true; }
  const std::vector<std::string> data_;
  std::vector<OutgoingDatagram> outgoing_;
  bool ended_ = false;
};

class DatagramSocketTest : public ::testing::Test {
 protected:
  void TearDown() override {
    socket_->Close();
    Poll();  // What was in flight and armed is back.
    ASSERT_FALSE(reactor().submitted().empty());
    Operation& last = *reactor().submitted().back();
    EXPECT_EQ(last.kind, OperationKind::kClose);
    if (last.in_flight()) Complete(0);
    EXPECT_TRUE(socket_->closed());
    EXPECT_EQ(reactor().in_flight(), 0u);
  }

  FakeReactor& reactor() { return shard_.reactor(); }
  void Poll() { EXPECT_TRUE(shard_.shard().Turn(Instant::InfinitePast())); }
  Source& source() { return *reactor().armings().back(); }

  void Arrive(absl::string_view data) {
    Datagram datagram;
    if (!data.empty()) datagram.data = reactor().heap_buffers().Copy(data);
    reactor().Deliver(source(), std::move(datagram));
    Poll();
  }
  void EndArming(SourceEnd end, int error = 0) {
    reactor().End(source(), end, error);
    Poll();
  }
  TestReceiver& Receive() {
    receivers_.push_back(std::make_unique<TestReceiver>());
    socket_->StartReceiving(*receivers_.back());
    return *receivers_.back();
  }
  // What is there at once: the bytes, "error N", or "nothing".
  std::string Take() {
    Datagram datagram;
    int error = 0;
    if (!socket_->TakeReady(datagram, error)) return "nothing";
    return error != 0 ? absl::StrCat("error ", error) : std::string(datagram.data.view());
  }

  TestSender& Send(std::vector<std::string> data) {
    senders_.push_back(std::make_unique<TestSender>(std::move(data)));
    socket_->StartSending(*senders_.back());
    return *senders_.back();
  }
  // What the operation in flight carries, with a space after each.
  std::string Sending() {
    const Operation& operation = *reactor().submitted().back();
    EXPECT_TRUE(operation.in_flight());
    EXPECT_EQ(operation.kind, OperationKind::kSendDatagrams);
    std::string text;
    for (const OutgoingDatagram& datagram : operation.datagrams) absl::StrAppend(&text, datagram.data, " ");
    return text;
  }
  void Complete(int64_t result) {
    reactor().Complete(*reactor().submitted().back(), result);
    Poll();
  }

  FakeShard shard_;
  Ref<DatagramSocket> socket_ = DatagramSocket::Adopt(1, AddressFamily::kIpv4);
  std::vector<std::unique_ptr<TestReceiver>> receivers_;
  std::vector<std::unique_ptr<TestSender>> senders_;
};

TEST_F(DatagramSocketTest, WorkGrowsWithTheNumberOfSendersAndNoFaster) {
  constexpr size_t kSenders = 10'000;
  for (size_t i = 0; i < kSenders; ++i) Send({"x"});
  while (!senders_.back()->ended()) Complete(static_cast<int64_t>(reactor().submitted().back()->datagrams.size()));
  for (const auto& sender : senders_) EXPECT_EQ(sender->sent(), 1u);
  EXPECT_LE(socket_->queue_steps_for_test(), 2 * kSenders + 2);
}

// --- Receiving ---

TEST_F(DatagramSocketTest, NothingIsArmedBeforeTheFirstReceive) { EXPECT_TRUE(reactor().armings().empty()); }

TEST_F(DatagramSocketTest, WaitersAreServedInOrder) {
  const TestReceiver& first = Receive();
  const TestReceiver& second = Receive();
  Arrive("a");
  EXPECT_EQ(first.data(), "a");
  EXPECT_FALSE(second.ended());
  Arrive("b");
  EXPECT_EQ(second.data(), "b");
  EXPECT_EQ(reactor().armings().size(), 1u);
}

TEST_F(DatagramSocketTest, StoppedWaiterLeavesTheDatagramToTheNext) {
  TestReceiver& stopped = Receive();
  socket_->StopReceiving(stopped);
  Arrive("kept");
  EXPECT_FALSE(stopped.ended());
  EXPECT_EQ(Take(), "kept");
  EXPECT_EQ(Take(), "nothing");
}

TEST_F(DatagramSocketTest, EmptyDatagramIsADatagram) {
  const TestReceiver& receiver = Receive();
  Arrive("");
  EXPECT_TRUE(receiver.ended());
  EXPECT_EQ(receiver.error(), 0);
  Arrive("");
  EXPECT_EQ(socket_->queued(), 1u);
  EXPECT_EQ(Take(), "");
}

TEST_F(DatagramSocketTest, ReadAheadEndsWithTheBudgetAndResumesWhenHalfIsTaken) {
  Receive();
  const size_t budget = source().budget;
  EXPECT_EQ(budget, DatagramSocket::kQueueLimit);
  for (size_t i = 0; i < budget; ++i) Arrive(absl::StrCat(i));
  EndArming(SourceEnd::kBudget);
  EXPECT_EQ(reactor().armings().size(), 1u);
  EXPECT_EQ(socket_->queued(), budget - 1);

  size_t next = 1;
  while (socket_->queued() > DatagramSocket::kQueueLimit / 2) {
    EXPECT_EQ(reactor().armings().size(), 1u);
    EXPECT_EQ(Take(), absl::StrCat(next++));
  }
  EXPECT_EQ(reactor().armings().size(), 2u);
  EXPECT_EQ(source().budget, DatagramSocket::kQueueLimit / 2);
  Arrive("later");
  while (next < budget) EXPECT_EQ(Take(), absl::StrCat(next++));
  EXPECT_EQ(Take(), "later");
}

TEST_F(DatagramSocketTest, ManyBytesPauseReceivingToo) {
  Receive();
  Arrive("x");
  const std::string big(60'000, 'b');
  while (source().state() == Source::State::kArmed) Arrive(big);
  EXPECT_LE(socket_->queued() * big.size(), DatagramSocket::kQueueBytes + big.size());
  Poll();
  EXPECT_FALSE(source().armed());
  EXPECT_EQ(reactor().armings().size(), 1u);
  while (socket_->queued() > 0) EXPECT_EQ(Take(), big);
  EXPECT_EQ(reactor().armings().size(), 2u);
}

TEST_F(DatagramSocketTest, SteadyReadAheadKeepsTheOrder) {
  Receive();
  Arrive("first");
  int taken = 0;
  for (int i = 0; i < 200; ++i) {
    Arrive(absl::StrCat(i));
    if (i % 4 == 0) continue;
    EXPECT_EQ(Take(), absl::StrCat(taken++));
  }
  while (taken < 200) EXPECT_EQ(Take(), absl::StrCat(taken++));
}

TEST_F(DatagramSocketTest, ErrorEndsTheOldestWaiterOnlyAndTheNextGoesOn) {
  const TestReceiver& first = Receive();
  const TestReceiver& second = Receive();
  EndArming(SourceEnd::kError, ECONNREFUSED);
  EXPECT_EQ(first.error(), ECONNREFUSED);
  EXPECT_FALSE(second.ended());
  EXPECT_EQ(reactor().armings().size(), 2u);
  Arrive("b");
  EXPECT_EQ(second.data(), "b");
}

TEST_F(DatagramSocketTest, ErrorThatNobodyWaitedForIsReportedOnceAfterTheDatagrams) {
  Receive();
  Arrive("a");
  Arrive("b");
  EndArming(SourceEnd::kError, ECONNREFUSED);
  EXPECT_EQ(reactor().armings().size(), 1u);
  EXPECT_EQ(Take(), "b");
  EXPECT_EQ(Take(), absl::StrCat("error ", ECONNREFUSED));
  EXPECT_EQ(Take(), "nothing");
  Receive();
  EXPECT_EQ(reactor().armings().size(), 2u);
  Arrive("c");
  EXPECT_EQ(receivers_.back()->data(), "c");
}

TEST_F(DatagramSocketTest, SenderTakesTheErrorToo) {
  Receive();
  Arrive("a");
  EndArming(SourceEnd::kError, ECONNREFUSED);
  EXPECT_EQ(socket_->TakeSendError(), ECONNREFUSED);
  EXPECT_EQ(socket_->TakeSendError(), 0);
  EXPECT_EQ(Take(), "nothing");
}

TEST_F(DatagramSocketTest, TryReceiveLeavesWhatComesToThoseWhoWait) {
  const TestReceiver& receiver = Receive();
  Datagram datagram;
  EXPECT_EQ(socket_->TryReceive(datagram), EAGAIN);
  Arrive("a");
  EXPECT_EQ(receiver.data(), "a");
  EXPECT_EQ(socket_->TryReceive(datagram), EAGAIN);
  Arrive("b");
  EXPECT_EQ(socket_->TryReceive(datagram), 0);
  EXPECT_EQ(datagram.data.view(), "b");
}

// --- Sending ---

TEST_F(DatagramSocketTest, QueuedSendsGoOutTogether) {
  const TestSender& first = Send({"a"});
  const TestSender& second = Send({"b", "c"});
  const TestSender& third = Send({"d"});
  EXPECT_EQ(Sending(), "a ");
  Complete(1);
  EXPECT_TRUE(first.ended());
  EXPECT_EQ(Sending(), "b c d ");
  Complete(1);
  EXPECT_FALSE(second.ended());
  EXPECT_EQ(Sending(), "c d ");
  Complete(2);
  EXPECT_TRUE(second.ended());
  EXPECT_EQ(second.sent(), 2u);
  EXPECT_TRUE(third.ended());
  EXPECT_EQ(third.error(), 0);
}

TEST_F(DatagramSocketTest, ErrorIsOfTheFirstDatagramAndItsSenderOnly) {
  Send({"a"});
  const TestSender& second = Send({"b", "too long", "c"});
  const TestSender& third = Send({"d"});
  Complete(1);
  Complete(1);
  EXPECT_EQ(Sending(), "too long c d ");
  Complete(-EMSGSIZE);
  EXPECT_TRUE(second.ended());
  EXPECT_EQ(second.sent(), 1u);
  EXPECT_EQ(second.error(), EMSGSIZE);
  EXPECT_EQ(Sending(), "d ");
  Complete(1);
  EXPECT_EQ(third.error(), 0);
}

TEST_F(DatagramSocketTest, StoppedSenderInFlightEndsWithWhatWasSent) {
  TestSender& sender = Send({"a", "b", "c"});
  const TestSender& other = Send({"d"});
  Complete(1);
  EXPECT_EQ(Sending(), "b c d ");
  socket_->StopSending(sender, ECANCELED);
  EXPECT_FALSE(sender.ended());
  Poll();  // The cancelled operation has sent nothing.
  EXPECT_TRUE(sender.ended());
  EXPECT_EQ(sender.sent(), 1u);
  EXPECT_EQ(sender.error(), ECANCELED);
  EXPECT_EQ(Sending(), "d ");
  Complete(1);
  EXPECT_TRUE(other.ended());
}

TEST_F(DatagramSocketTest, QueuedSenderIsStoppedAtOnce) {
  const TestSender& first = Send({"a"});
  TestSender& queued = Send({"b"});
  socket_->StopSending(queued, ECANCELED);
  EXPECT_TRUE(queued.ended());
  EXPECT_EQ(queued.sent(), 0u);
  Complete(1);
  EXPECT_TRUE(first.ended());
}

TEST_F(DatagramSocketTest, MoreThanOneOperationCarriesFollowsInTheNext) {
  Send({"x"});
  std::string expected;
  for (int i = 0; i < 100; ++i) {
    Send({absl::StrCat(i)});
    absl::StrAppend(&expected, i, " ");
  }
  Complete(1);
  std::string sent;
  while (!senders_.back()->ended()) {
    const auto count = static_cast<int64_t>(reactor().submitted().back()->datagrams.size());
    sent += Sending();
    Complete(count);
  }
  EXPECT_EQ(sent, expected);
}

TEST_F(DatagramSocketTest, TrySendDoesNotOvertake) {
  const TestSender& sender = Send({"a"});
  EXPECT_EQ(socket_->TrySend(OutgoingDatagram("b")), EAGAIN);
  Complete(1);
  EXPECT_TRUE(sender.ended());
}

// --- Closing ---

TEST_F(DatagramSocketTest, CloseEndsEverybodyAndTakesEverythingBackFirst) {
  const TestReceiver& receiver = Receive();
  const TestSender& sending = Send({"a"});
  const TestSender& queued = Send({"b"});
  socket_->Close();
  EXPECT_EQ(receiver.error(), EBADF);
  EXPECT_EQ(queued.error(), EBADF);
  EXPECT_FALSE(sending.ended());
  EXPECT_EQ(reactor().submitted().back()->kind, OperationKind::kSendDatagrams);
  EXPECT_EQ(Take(), absl::StrCat("error ", EBADF));
  EXPECT_EQ(socket_->TakeSendError(), EBADF);
  Poll();
  EXPECT_EQ(sending.error(), EBADF);
  EXPECT_EQ(reactor().submitted().back()->kind, OperationKind::kClose);
  EXPECT_FALSE(socket_->closed());
}

TEST_F(DatagramSocketTest, CloseDropsWhatNobodyTook) {
  Receive();
  Arrive("a");
  Arrive("b");
  EXPECT_EQ(reactor().heap_buffers().outstanding(), 2u);
  receivers_.clear();
  Datagram late;
  late.data = reactor().heap_buffers().Copy("late");
  reactor().Deliver(source(), std::move(late));
  socket_->Close();
  EXPECT_EQ(reactor().heap_buffers().outstanding(), 1u);
  Poll();
  EXPECT_EQ(reactor().heap_buffers().outstanding(), 0u);
}

}  // namespace
}  // namespace tandem
