// SPDX-License-Identifier: Apache-2.0
//
// The write queue against a reactor whose every completion is chosen by the test: short sends, late cancellations,
// errors in the middle of a coalesced send. testing/conformance has what a real reactor can be made to do.

#include "tandem/core/io/stream_socket.h"

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/runtime/fake_reactor_for_test.h"

namespace tandem {
namespace {

class TestWriter final : public StreamSocket::Writer {
 public:
  TestWriter(Kind kind, std::vector<std::string> pieces)
      : Writer(kind, {}), pieces_(std::move(pieces)), slices_storage_(pieces_.size()) {
    for (size_t i = 0; i < pieces_.size(); ++i) slices_storage_[i] = IoSlice{pieces_[i].data(), pieces_[i].size()};
    slices_ = slices_storage_;
  }
  TestWriter(std::string data, absl::Span<const int> descriptors) : TestWriter(Kind::kAll, {std::move(data)}) {
    descriptors_ = descriptors;
  }
  explicit TestWriter(const FileRange& file) : Writer(file) {}
  bool ended() const { return ended_; }

 private:
  void OnWritten() override { ended_ = true; }
  std::vector<std::string> pieces_;
  std::vector<IoSlice> slices_storage_;
  bool ended_ = false;
};

constexpr auto kAll = StreamSocket::Writer::Kind::kAll;
constexpr auto kSome = StreamSocket::Writer::Kind::kSome;

class StreamSocketTest : public ::testing::Test {
 protected:
  void TearDown() override {
    socket_->Close(StreamSocket::CloseMode::kGraceful);
    while (!socket_->closed()) {
      Operation& last = *shard_.reactor().submitted().back();
      if (last.kind == OperationKind::kClose) {
        Complete(0);
      } else {
        Poll();
      }
    }
  }

  void Poll() { EXPECT_TRUE(shard_.shard().Turn(Instant::InfinitePast())); }
  // Ends the operation that was submitted last.
  void Complete(int64_t result) {
    shard_.reactor().Complete(*shard_.reactor().submitted().back(), result);
    Poll();
  }
  // What the send in flight carries.
  std::string Sending() {
    const Operation& operation = *shard_.reactor().submitted().back();
    EXPECT_TRUE(operation.in_flight());
    EXPECT_EQ(operation.kind, OperationKind::kSend);
    std::string text;
    for (const IoSlice& slice : operation.slices) text.append(slice.data, slice.size);
    return text;
  }
  TestWriter& Write(StreamSocket::Writer::Kind kind, std::vector<std::string> pieces) {
    writers_.push_back(std::make_unique<TestWriter>(kind, std::move(pieces)));
    socket_->StartWriting(*writers_.back());
    return *writers_.back();
  }

  TestWriter& Start(std::unique_ptr<TestWriter> writer) {
    writers_.push_back(std::move(writer));
    socket_->StartWriting(*writers_.back());
    return *writers_.back();
  }
  TestWriter& WriteFile(uint64_t offset, uint64_t count) {
    FileRange file;
    file.descriptor = 7;
    file.offset = offset;
    file.count = count;
    return Start(std::make_unique<TestWriter>(file));
  }
  const Operation& last() { return *shard_.reactor().submitted().back(); }

  FakeShard shard_;
  Ref<StreamSocket> socket_ = StreamSocket::Adopt(1, SocketAddress::LoopbackIpv4(80));
  std::vector<std::unique_ptr<TestWriter>> writers_;
};

using StreamSocketDeathTest = StreamSocketTest;

TEST_F(StreamSocketTest, QueuedWritesGoOutTogetherAndTheCountIsSplitInOrder) {
  TestWriter& first = Write(kAll, {"one"});
  TestWriter& second = Write(kAll, {"two", "three"});
  TestWriter& third = Write(kAll, {"four"});
  EXPECT_EQ(Sending(), "one");

  Complete(3);
  EXPECT_TRUE(first.ended());
  EXPECT_EQ(Sending(), "twothreefour");

  Complete(9);
  EXPECT_TRUE(second.ended());
  EXPECT_EQ(second.bytes_written(), 8u);
  EXPECT_FALSE(third.ended());
  EXPECT_EQ(Sending(), "our");

  Complete(3);
  EXPECT_TRUE(third.ended());
  EXPECT_EQ(third.bytes_written(), 4u);
  EXPECT_EQ(third.error(), 0);
}

TEST_F(StreamSocketTest, ShortSendGoesOnInTheMiddleOfASlice) {
  TestWriter& writer = Write(kAll, {"abc", "def"});
  for (const char* rest : {"abcdef", "bcdef", "cdef", "def", "ef", "f"}) {
    EXPECT_EQ(Sending(), rest);
    EXPECT_FALSE(writer.ended());
    Complete(1);
  }
  EXPECT_TRUE(writer.ended());
  EXPECT_EQ(writer.bytes_written(), 6u);
}

TEST_F(StreamSocketTest, MorePiecesThanOneSendCarriesFollowInTheNext) {
  std::vector<std::string> pieces;
  for (int i = 0; i < 150; ++i) pieces.push_back(std::string(1, static_cast<char>(i)));
  TestWriter& writer = Write(kAll, pieces);
  std::string sent;
  while (!writer.ended()) {
    const std::string sending = Sending();
    sent += sending;
    Complete(static_cast<int64_t>(sending.size()));
  }
  EXPECT_EQ(writer.bytes_written(), 150u);
  for (int i = 0; i < 150; ++i) EXPECT_EQ(sent[i], static_cast<char>(i));
}

TEST_F(StreamSocketTest, WriteThatWantsSomeEndsWithWhatWentAndTheNextFollows) {
  TestWriter& first = Write(kAll, {"x"});
  TestWriter& some = Write(kSome, {"abcdef"});
  TestWriter& last = Write(kAll, {"end"});
  Complete(1);
  EXPECT_TRUE(first.ended());
  EXPECT_EQ(Sending(), "abcdefend");

  Complete(2);

  EXPECT_TRUE(some.ended());
  EXPECT_EQ(some.bytes_written(), 2u);
  EXPECT_EQ(Sending(), "end");
  Complete(3);
  EXPECT_TRUE(last.ended());
}

TEST_F(StreamSocketTest, CancelledWriterEndsWithTheSendAndTheOthersGoOn) {
  TestWriter& blocker = Write(kAll, {"x"});
  TestWriter& cancelled = Write(kAll, {"abc"});
  TestWriter& other = Write(kAll, {"def"});
  Complete(1);
  EXPECT_TRUE(blocker.ended());
  EXPECT_EQ(Sending(), "abcdef");

  socket_->StopWriting(cancelled, ECANCELED);
  EXPECT_FALSE(cancelled.ended());
  Poll();

  EXPECT_TRUE(cancelled.ended());
  EXPECT_EQ(cancelled.error(), ECANCELED);
  EXPECT_EQ(cancelled.bytes_written(), 0u);
  EXPECT_EQ(Sending(), "def");
  Complete(3);
  EXPECT_TRUE(other.ended());
  EXPECT_EQ(socket_->write_error(), 0);
}

TEST_F(StreamSocketTest, CancellationThatCameTooLateIsNoError) {
  TestWriter& writer = Write(kAll, {"abc"});
  shard_.reactor().Complete(*shard_.reactor().submitted().back(), 3);
  Operation* const send = shard_.reactor().submitted().back();
  EXPECT_TRUE(send->in_flight());
  // The completion is on its way; a real reactor then ignores the cancellation.
  Poll();
  EXPECT_TRUE(writer.ended());
  EXPECT_EQ(writer.error(), 0);
  EXPECT_EQ(writer.bytes_written(), 3u);
}

TEST_F(StreamSocketTest, WriterQueuedBehindTheSendInFlightIsCancelledAtOnce) {
  TestWriter& first = Write(kAll, {"abc"});
  TestWriter& queued = Write(kAll, {"def"});
  socket_->StopWriting(queued, ECANCELED);
  EXPECT_TRUE(queued.ended());
  EXPECT_EQ(queued.bytes_written(), 0u);
  Complete(3);
  EXPECT_TRUE(first.ended());
}

TEST_F(StreamSocketTest, ErrorEndsTheWholeQueue) {
  TestWriter& first = Write(kAll, {"abc"});
  TestWriter& second = Write(kAll, {"def"});
  Complete(1);
  Complete(-EPIPE);
  EXPECT_TRUE(first.ended());
  EXPECT_EQ(first.error(), EPIPE);
  EXPECT_EQ(first.bytes_written(), 1u);
  EXPECT_TRUE(second.ended());
  EXPECT_EQ(second.error(), EPIPE);
  EXPECT_EQ(second.bytes_written(), 0u);
}

TEST_F(StreamSocketTest, CutShortWriterPoisonsAndFailsTheQueueUntilItIsAccepted) {
  TestWriter& cut = Write(kAll, {"abcdef"});
  TestWriter& queued = Write(kAll, {"ghi"});
  Complete(2);
  EXPECT_EQ(Sending(), "cdefghi");
  socket_->StopWriting(cut, ECANCELED);
  Poll();

  EXPECT_EQ(cut.error(), ECANCELED);
  EXPECT_EQ(cut.bytes_written(), 2u);
  EXPECT_TRUE(queued.ended());
  EXPECT_EQ(queued.error(), StreamSocket::Writer::kPoisoned);
  EXPECT_EQ(socket_->write_error(), StreamSocket::Writer::kPoisoned);

  socket_->AcceptPartial();
  TestWriter& next = Write(kAll, {"next"});
  EXPECT_EQ(Sending(), "next");
  Complete(4);
  EXPECT_TRUE(next.ended());
}

// The number of a socket means another one on another shard.
TEST_F(StreamSocketDeathTest, UseOnAnotherShardIsABug) {
  EXPECT_DEATH(
      {
        FakeShard other;
        socket_->Close(StreamSocket::CloseMode::kGraceful);
      },
      "another shard");
  EXPECT_DEATH(
      {
        FakeShard other;
        (void)socket_->reactor()->Shutdown(socket_->id(), ShutdownHow::kWrite);
      },
      "another shard");
}

TEST_F(StreamSocketTest, CloseTakesTheSendBackBeforeItClosesTheSocket) {
  TestWriter& writer = Write(kAll, {"abcdef"});
  socket_->Close(StreamSocket::CloseMode::kGraceful);
  EXPECT_EQ(shard_.reactor().submitted().back()->kind, OperationKind::kSend);
  EXPECT_FALSE(writer.ended());

  Poll();

  EXPECT_TRUE(writer.ended());
  EXPECT_EQ(writer.error(), EBADF);
  EXPECT_EQ(shard_.reactor().submitted().back()->kind, OperationKind::kClose);
  EXPECT_FALSE(socket_->closed());
  Complete(0);
  EXPECT_TRUE(socket_->closed());
}

// --- Long queues ---

TEST_F(StreamSocketTest, WorkGrowsWithTheNumberOfWritersAndNoFaster) {
  constexpr size_t kWriters = 10'000;
  for (size_t i = 0; i < kWriters; ++i) Write(kAll, {"x"});
  size_t sends = 0;
  while (!writers_.back()->ended()) {
    const size_t sending = Sending().size();
    EXPECT_LE(sending, Operation::kMaxSlices);
    Complete(static_cast<int64_t>(sending));
    ++sends;
  }
  for (const auto& writer : writers_) EXPECT_EQ(writer->bytes_written(), 1u);
  EXPECT_EQ(sends, 1 + (kWriters - 1 + Operation::kMaxSlices - 1) / Operation::kMaxSlices);
  EXPECT_LE(socket_->queue_steps_for_test(), 2 * kWriters);
}

TEST_F(StreamSocketTest, ShortSendsOfALongQueueLookAtItsHeadOnly) {
  constexpr size_t kWriters = 1000;
  for (size_t i = 0; i < kWriters; ++i) Write(kAll, {"x"});
  while (!writers_.back()->ended()) Complete(1);
  EXPECT_LE(socket_->queue_steps_for_test(), 2 * kWriters * Operation::kMaxSlices);
}

// --- Sends that are done with some ---

TEST_F(StreamSocketTest, OnlyAWriteThatWantsSomeEndsItsSendEarly) {
  Write(kAll, {"x"});
  EXPECT_FALSE(last().some_is_enough);
  TestWriter& some = Write(kSome, {"abc"});
  TestWriter& all = Write(kAll, {"def"});
  Complete(1);
  EXPECT_EQ(Sending(), "abcdef");
  EXPECT_TRUE(last().some_is_enough);
  Complete(4);
  EXPECT_TRUE(some.ended());
  EXPECT_FALSE(last().some_is_enough);
  Complete(2);
  EXPECT_TRUE(all.ended());
}

// --- Stalls ---

class StallTest : public StreamSocketTest {
 protected:
  static constexpr absl::Duration kTimeout = absl::Seconds(3);

  // Whether everything has ended after `duration` more.
  void Pass(absl::Duration duration) {
    shard_.reactor().Advance(duration);
    Poll();
    Poll();
  }
  Operation& send() { return *shard_.reactor().submitted().back(); }
};

TEST_F(StallTest, EndsAllWritersWhenNothingWasTakenForSoLong) {
  EXPECT_EQ(socket_->stall_timeout(), absl::InfiniteDuration());
  socket_->set_stall_timeout(kTimeout);
  EXPECT_EQ(socket_->stall_timeout(), kTimeout);
  TestWriter& first = Write(kAll, {"abc"});
  TestWriter& second = Write(kAll, {"def"});
  Pass(kTimeout - absl::Nanoseconds(1));
  EXPECT_FALSE(first.ended());
  EXPECT_FALSE(second.ended());
  Pass(absl::Nanoseconds(1));
  EXPECT_EQ(first.error(), StreamSocket::Writer::kStalled);
  EXPECT_EQ(second.error(), StreamSocket::Writer::kStalled);
  EXPECT_EQ(socket_->write_error(), 0);
}

TEST_F(StallTest, IsMeasuredFromTheLastSend) {
  socket_->set_stall_timeout(kTimeout);
  TestWriter& writer = Write(kAll, {"abc"});
  for (int i = 0; i < 2; ++i) {
    Pass(kTimeout - absl::Nanoseconds(1));
    Complete(1);
  }
  Pass(kTimeout - absl::Nanoseconds(1));
  EXPECT_FALSE(writer.ended());
  Pass(absl::Nanoseconds(1));
  EXPECT_EQ(writer.error(), StreamSocket::Writer::kStalled);
  EXPECT_EQ(writer.bytes_written(), 2u);
  EXPECT_EQ(socket_->write_error(), StreamSocket::Writer::kPoisoned);
}

TEST_F(StallTest, IsMeasuredFromTheLastByteWithinASend) {
  socket_->set_stall_timeout(kTimeout);
  TestWriter& writer = Write(kAll, {"abc"});
  Pass(absl::Seconds(2));
  shard_.reactor().Progress(send());
  Pass(absl::Seconds(2));
  shard_.reactor().Progress(send());
  Pass(kTimeout - absl::Nanoseconds(1));
  EXPECT_FALSE(writer.ended());
  Pass(absl::Nanoseconds(1));
  EXPECT_EQ(writer.error(), StreamSocket::Writer::kStalled);
}

TEST_F(StallTest, DoesNotCountTheTimeInWhichNobodyWrites) {
  socket_->set_stall_timeout(kTimeout);
  TestWriter& first = Write(kAll, {"abc"});
  Complete(3);
  EXPECT_TRUE(first.ended());
  Pass(10 * kTimeout);
  TestWriter& second = Write(kAll, {"def"});
  Pass(kTimeout - absl::Nanoseconds(1));
  EXPECT_FALSE(second.ended());
  Complete(3);
  EXPECT_EQ(second.error(), 0);
}

TEST_F(StallTest, WhatTurnsOutToBeSentWhenTheSendIsTakenBackIsNoStall) {
  socket_->set_stall_timeout(kTimeout);
  TestWriter& done = Write(kAll, {"a"});
  TestWriter& sent = Write(kAll, {"bc"});
  TestWriter& cut = Write(kAll, {"def"});
  Complete(1);
  EXPECT_TRUE(done.ended());
  shard_.reactor().Advance(kTimeout);
  shard_.reactor().Complete(send(), 3);
  Poll();
  EXPECT_EQ(sent.error(), 0);
  EXPECT_EQ(cut.bytes_written(), 1u);
  EXPECT_FALSE(cut.ended());
  Complete(2);
  EXPECT_EQ(cut.error(), 0);
}

TEST_F(StallTest, MayBeSetAndLiftedMeanwhile) {
  TestWriter& writer = Write(kAll, {"abc"});
  Pass(10 * kTimeout);
  socket_->set_stall_timeout(kTimeout);
  Pass(kTimeout - absl::Nanoseconds(1));
  EXPECT_FALSE(writer.ended());
  socket_->set_stall_timeout(absl::InfiniteDuration());
  Pass(10 * kTimeout);
  EXPECT_FALSE(writer.ended());
  socket_->set_stall_timeout(kTimeout);
  Pass(kTimeout);
  EXPECT_EQ(writer.error(), StreamSocket::Writer::kStalled);
}

TEST_F(StallTest, ACancelledWriterStaysCancelledAndAClosedStreamIsClosed) {
  socket_->set_stall_timeout(kTimeout);
  TestWriter& writer = Write(kAll, {"abc"});
  socket_->StopWriting(writer, ECANCELED);
  Pass(kTimeout);
  EXPECT_EQ(writer.error(), ECANCELED);
  TestWriter& closed = Write(kAll, {"def"});
  socket_->Close(StreamSocket::CloseMode::kGraceful);
  Pass(kTimeout);
  EXPECT_EQ(closed.error(), EBADF);
}

TEST_F(StallTest, FilesStallToo) {
  socket_->set_stall_timeout(kTimeout);
  TestWriter& file = WriteFile(0, 50);
  Complete(10);
  Pass(kTimeout);
  EXPECT_EQ(file.error(), StreamSocket::Writer::kStalled);
  EXPECT_EQ(file.bytes_written(), 10u);
}

using StallDeathTest = StallTest;
TEST_F(StallDeathTest, ZeroIsNoTimeout) {
  EXPECT_DEATH(socket_->set_stall_timeout(absl::ZeroDuration()), "a stall timeout is positive");
}

// --- Files ---

TEST_F(StreamSocketTest, FileIsSentAloneAndGoesOnWhereItStopped) {
  TestWriter& head = Write(kAll, {"head"});
  TestWriter& file = WriteFile(100, 50);
  TestWriter& tail = Write(kAll, {"tail"});
  Complete(4);
  EXPECT_TRUE(head.ended());
  EXPECT_EQ(last().kind, OperationKind::kSendFile);
  EXPECT_EQ(last().file->offset, 100u);
  EXPECT_EQ(last().file->count, 50u);

  Complete(20);
  EXPECT_FALSE(file.ended());
  EXPECT_EQ(last().file->offset, 120u);
  EXPECT_EQ(last().file->count, 30u);

  Complete(30);
  EXPECT_TRUE(file.ended());
  EXPECT_EQ(file.bytes_written(), 50u);
  EXPECT_EQ(file.error(), 0);
  EXPECT_EQ(Sending(), "tail");
  Complete(4);
  EXPECT_TRUE(tail.ended());
}

TEST_F(StreamSocketTest, ErrorOfTheFileEndsItsWriterOnly) {
  TestWriter& file = WriteFile(0, 50);
  TestWriter& next = Write(kAll, {"next"});
  Complete(-EIO);
  EXPECT_EQ(file.error(), EIO);
  EXPECT_EQ(Sending(), "next");
  Complete(4);
  EXPECT_EQ(next.error(), 0);
}

TEST_F(StreamSocketTest, ErrorOfTheFileAfterSomeBytesPoisons) {
  TestWriter& file = WriteFile(0, 50);
  TestWriter& next = Write(kAll, {"next"});
  Complete(10);
  Complete(-EIO);
  EXPECT_EQ(file.error(), EIO);
  EXPECT_EQ(file.bytes_written(), 10u);
  EXPECT_EQ(next.error(), StreamSocket::Writer::kPoisoned);
}

TEST_F(StreamSocketTest, ErrorOfTheConnectionDuringAFileEndsTheWholeQueue) {
  TestWriter& file = WriteFile(0, 50);
  TestWriter& next = Write(kAll, {"next"});
  Complete(10);
  Complete(-EPIPE);
  EXPECT_EQ(file.error(), EPIPE);
  EXPECT_EQ(next.error(), EPIPE);
  EXPECT_EQ(socket_->write_error(), 0);
}

// --- Descriptors ---

TEST_F(StreamSocketTest, DescriptorsStartASendAndGoWithItsFirstByteOnly) {
  const int numbers[] = {5, 6};
  TestWriter& first = Write(kAll, {"a"});
  TestWriter& plain = Write(kAll, {"bc"});
  TestWriter& with = Start(std::make_unique<TestWriter>("def", absl::MakeConstSpan(numbers)));
  TestWriter& after = Write(kAll, {"gh"});
  TestWriter& again = Start(std::make_unique<TestWriter>("i", absl::MakeConstSpan(numbers, 1)));
  EXPECT_TRUE(last().descriptors.empty());
  Complete(1);
  EXPECT_TRUE(first.ended());
  EXPECT_EQ(Sending(), "bc");
  EXPECT_TRUE(last().descriptors.empty());

  Complete(2);
  EXPECT_TRUE(plain.ended());
  EXPECT_EQ(Sending(), "defgh");
  EXPECT_EQ(last().descriptors.size(), 2u);

  Complete(1);
  EXPECT_FALSE(with.ended());
  EXPECT_EQ(Sending(), "efgh");
  EXPECT_TRUE(last().descriptors.empty());

  Complete(4);
  EXPECT_TRUE(with.ended());
  EXPECT_TRUE(after.ended());
  EXPECT_EQ(Sending(), "i");
  EXPECT_EQ(last().descriptors.size(), 1u);
  Complete(1);
  EXPECT_TRUE(again.ended());
}

}  // namespace
}  // namespace tandem
