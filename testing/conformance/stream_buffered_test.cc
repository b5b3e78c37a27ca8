// SPDX-License-Identifier: Apache-2.0
//
// BufferedReader and BufferedWriter over every stream, and one BufferedWriter that many coroutines share.

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/random.h"
#include "tandem/core/base/result.h"
#include "tandem/core/net/buffered.h"
#include "tandem/core/net/stream.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/conformance/stream_conformance.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

template <typename Kind>
class BufferedStreamTest : public StreamTest<Kind> {};
TYPED_TEST_SUITE(BufferedStreamTest, AllStreams, StreamNames);

static_assert(AsyncReader<BufferedReader<TcpStream>>);
static_assert(AsyncWriter<BufferedWriter<TcpStream>> && AsyncWriter<BufferedWriter<BufferedWriter<Stream>>>);

TYPED_TEST(BufferedStreamTest, ReadsRecordsAndKeepsTheRest) {
  auto [left, right] = this->MakePair();
  BufferedReader reader(right);
  this->SendTo(left, "one;two;thr");
  EXPECT_THAT(this->Run(reader.ReadUntil(";", 10)), IsOkAndHolds("one;"));
  EXPECT_THAT(this->Run(reader.ReadExactly(2)), IsOkAndHolds("tw"));
  auto stopped = this->Run(WithTimeout(absl::Milliseconds(2), reader.ReadExactly(6)));
  EXPECT_EQ(stopped.status(), DeadlineExceededStatus());
  EXPECT_EQ(reader.buffered(), "o;thr");
  this->SendTo(left, "ee;");
  EXPECT_THAT(this->Run(reader.ReadExactly(8)), IsOkAndHolds("o;three;"));
}

TYPED_TEST(BufferedStreamTest, IsAReaderItself) {
  auto [left, right] = this->MakePair();
  BufferedReader inner(right);
  BufferedReader<decltype(inner)> outer(inner);
  this->SendTo(left, "a line\n");
  EXPECT_THAT(this->Run(outer.ReadUntil("\n", 10)), IsOkAndHolds("a line\n"));
}

TYPED_TEST(BufferedStreamTest, HoldsBytesBackUntilFlush) {
  auto [left, right] = this->MakePair();
  BufferedWriter writer(left);
  writer.Append("held ");
  EXPECT_OK(this->Run(writer.WriteAll("back")).status);
  EXPECT_EQ(writer.pending(), 9u);
  EXPECT_OK(this->Run(writer.Flush()));
  EXPECT_EQ(writer.pending(), 0u);
  EXPECT_THAT(this->ReadCountFrom(right, 9), IsOkAndHolds("held back"));
}

TYPED_TEST(BufferedStreamTest, AFlushThatIsCutShortGoesOnWithoutGapOrRepeat) {
  auto [left, right] = this->MakePair();
  BufferedWriter writer(left);
  const std::string data = Pattern(this->kTooMuch);
  writer.Append(data);
  EXPECT_EQ(this->CutShort(writer.Flush()), CancelledStatus());
  EXPECT_GT(writer.pending(), 0u);
  EXPECT_LT(writer.pending(), data.size());
  std::string received;
  auto reading = this->Start(AppendUntilEnd(&right, &received));
  EXPECT_OK(this->Run(writer.Flush()));
  this->EndOf(left);
  EXPECT_OK(this->Wait(reading));
  EXPECT_TRUE(received == data);
}

// --- Several parts at once ---

TYPED_TEST(BufferedStreamTest, FillingConsumesNothing) {
  auto [left, right] = this->MakePair();
  BufferedReader reader(right);
  this->SendTo(left, "head: 4\n");
  EXPECT_THAT(this->Run(reader.FillUntil("\n", 100)), IsOkAndHolds(8u));
  EXPECT_EQ(this->Run(WithTimeout(absl::Milliseconds(2), reader.FillAtLeast(12))), DeadlineExceededStatus());
  this->SendTo(left, "bodyrest");
  EXPECT_OK(this->Run(reader.FillAtLeast(12)));
  EXPECT_EQ(reader.buffered().substr(0, 8), "head: 4\n");
  EXPECT_EQ(reader.buffered().substr(8, 4), "body");
  reader.Consume(12);
  EXPECT_THAT(this->Run(reader.ReadExactly(4)), IsOkAndHolds("rest"));
}

TYPED_TEST(BufferedStreamTest, FillingFailsAsReadingDoes) {
  auto [left, right] = this->MakePair();
  BufferedReader reader(right);
  this->SendTo(left, "rest");
  this->EndOf(left);
  EXPECT_EQ(this->Run(reader.FillUntil("\n", 3)).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(this->Run(reader.FillUntil("", 3)).status().code(), kInvalidArgument);
  EXPECT_EQ(this->Run(reader.FillUntil("\n", 100)).status().code(), kOutOfRange);
  EXPECT_EQ(this->Run(reader.FillAtLeast(5)).code(), kOutOfRange);
  EXPECT_OK(this->Run(reader.FillAtLeast(4)));
  EXPECT_EQ(reader.buffered(), "rest");
}

// --- A message that is cut short ---

TYPED_TEST(BufferedStreamTest, NothingElseIsWrittenInsideAMessageThatAFlushHasBegun) {
  auto [left, right] = this->MakePair();
  BufferedWriter writer(left);
  const std::string data = Pattern(this->kTooMuch);
  writer.Append(data);
  EXPECT_EQ(this->CutShort(writer.Flush()), CancelledStatus());
  ASSERT_LT(writer.pending(), data.size());

  EXPECT_EQ(this->Run(left.WriteAll("x")).status.code(), kFailedPrecondition);
  // A flush that is cut short before anything went changes nothing about it.
  for (size_t pending = 0; pending != writer.pending();) {
    pending = writer.pending();
    EXPECT_EQ(this->CutShort(writer.Flush()), CancelledStatus());
  }
  EXPECT_EQ(this->Run(left.WriteAll("x")).status.code(), kFailedPrecondition);
  EXPECT_EQ(this->Run(left.WriteSome("x")).status().code(), kFailedPrecondition);

  std::string received;
  auto reading = this->Start(AppendUntilEnd(&right, &received));
  EXPECT_OK(this->Run(writer.Flush()));
  EXPECT_OK(this->Run(left.WriteAll("x")).status);
  this->EndOf(left);
  EXPECT_OK(this->Wait(reading));
  EXPECT_TRUE(received == data + "x");
}

TYPED_TEST(BufferedStreamTest, AWriterThatIsGoneLeavesItsHalfMessageLast) {
  auto [left, right] = this->MakePair();
  {
    BufferedWriter writer(left);
    writer.Append(Pattern(this->kTooMuch));
    EXPECT_EQ(this->CutShort(writer.Flush()), CancelledStatus());
  }
  EXPECT_EQ(this->Run(left.WriteAll("x")).status.code(), kFailedPrecondition);
}

TYPED_TEST(BufferedStreamTest, DiscardGivesUpTheRest) {
  auto [left, right] = this->MakePair();
  BufferedWriter writer(left);
  const std::string data = Pattern(this->kTooMuch);
  writer.Append(data);
  EXPECT_EQ(this->CutShort(writer.Flush()), CancelledStatus());
  const size_t sent = data.size() - writer.pending();
  writer.Append("behind");

  writer.Discard();

  EXPECT_EQ(writer.pending(), 0u);
  auto reading = this->Start(ReadCount(&right, sent + 5));
  EXPECT_OK(this->Run(left.WriteAll("next;")).status);
  EXPECT_TRUE(*this->Wait(reading) == data.substr(0, sent) + "next;");
  writer.Append("more");
  EXPECT_OK(this->Run(writer.Flush()));
  EXPECT_THAT(this->ReadCountFrom(right, 4), IsOkAndHolds("more"));
}

// The poison that others have left is theirs to lift.
TYPED_TEST(BufferedStreamTest, AFlushDoesNotGoBehindTheHalfMessageOfAnother) {
  auto [left, right] = this->MakePair();
  BufferedWriter writer(left);
  const std::string data = Pattern(this->kTooMuch);
  const size_t sent = this->CutShort(WriteWhole(&left, data)).bytes;
  writer.Append("behind");
  EXPECT_EQ(this->Run(writer.Flush()).code(), kFailedPrecondition);
  EXPECT_EQ(this->Run(writer.Flush()).code(), kFailedPrecondition);
  EXPECT_EQ(writer.pending(), 6u);
  auto reading = this->Start(ReadCount(&right, data.size() + 6));
  EXPECT_OK(this->Run(left.WriteRest(absl::string_view(data).substr(sent))).status);
  EXPECT_OK(this->Run(writer.Flush()));
  EXPECT_TRUE(*this->Wait(reading) == data + "behind");
}

// --- One writer, many coroutines ---

template <typename S>
Task<IoResult> WriteTo(BufferedWriter<S>* writer, std::string data) {
  IoResult result = co_await writer->WriteAll(data);
  co_return result;
}

TYPED_TEST(BufferedStreamTest, AFlushReturnsWhenItsBytesAreSentByWhomever) {
  auto [left, right] = this->MakePair();
  BufferedWriter writer(left);
  const std::string data = Pattern(this->kTooMuch);
  writer.Append(data);
  auto first = this->Start(writer.Flush());
  this->Settle();
  auto second = this->Start(writer.Flush());
  auto third = this->Start(writer.Flush());
  this->Settle();
  // Nothing waits any more but what is under way, and that may still fail.
  EXPECT_FALSE(second->done());

  first->Cancel();
  EXPECT_EQ(this->Wait(first), CancelledStatus());
  this->Settle();
  EXPECT_FALSE(second->done());
  second->Cancel();
  EXPECT_EQ(this->Wait(second), CancelledStatus());
  auto reading = this->Start(ReadCount(&right, data.size()));
  EXPECT_OK(this->Wait(third));
  EXPECT_EQ(writer.pending(), 0u);
  EXPECT_TRUE(*this->Wait(reading) == data);
}

TYPED_TEST(BufferedStreamTest, AFlushThatWaitedFailsWithTheStream) {
  auto [left, right] = this->MakePair();
  BufferedWriter writer(left);
  writer.Append(Pattern(this->kTooMuch));
  auto first = this->Start(writer.Flush());
  this->Settle();
  auto second = this->Start(writer.Flush());
  this->Settle();
  right.Abort();
  EXPECT_TRUE(IsReset(this->Wait(first)));
  EXPECT_TRUE(IsReset(this->Wait(second)));
}

TYPED_TEST(BufferedStreamTest, WritesGoOutInTheOrderInWhichTheyWereMadeWhoeverIsCancelled) {
  auto [left, right] = this->MakePair();
  BufferedWriter writer(left);
  const std::string a(this->kTooMuch, 'a');
  const std::string b(50'000, 'b');
  auto first = this->Start(WriteTo(&writer, a));
  EXPECT_OK(this->Wait(first).status);
  auto second = this->Start(WriteTo(&writer, b));  // Makes room for itself: sends the first.
  auto third = this->Start(WriteTo(&writer, "c"));
  auto fourth = this->Start(WriteTo(&writer, "d"));
  this->Settle();
  second->Cancel();
  EXPECT_EQ(this->Wait(second).status, CancelledStatus());

  std::string received;
  auto reading = this->Start(AppendUntilEnd(&right, &received));
  EXPECT_OK(this->Wait(third).status);
  EXPECT_OK(this->Wait(fourth).status);
  EXPECT_OK(this->Run(writer.ShutdownWrite()));
  EXPECT_OK(this->Wait(reading));
  EXPECT_TRUE(received == a + "cd") << received.size();
}

TYPED_TEST(BufferedStreamTest, AWriteWithoutRoomWaitsAndTakesNothingWhenItIsStopped) {
  auto [left, right] = this->MakePair();
  BufferedWriter writer(left, 1000);
  const std::string data = Pattern(this->kTooMuch);
  EXPECT_OK(this->Run(writer.WriteAll(data)).status);
  const IoResult stopped = this->CutShort(WriteTo(&writer, "stopped"));
  EXPECT_EQ(stopped.status, CancelledStatus());
  EXPECT_EQ(stopped.bytes, 0u);
  auto reading = this->Start(ReadCount(&right, data.size() + 4));
  EXPECT_OK(this->Run(writer.WriteAll("next")).status);
  EXPECT_OK(this->Run(writer.Flush()));
  EXPECT_TRUE(*this->Wait(reading) == data + "next");
}

template <typename S>
Task<absl::Status> WriteWithinTheBound(BufferedWriter<S>* writer, size_t size, size_t bound, size_t* most) {
  const std::string data(size, 'x');
  IoResult result = co_await writer->WriteAll(data);
  *most = std::max(*most, writer->pending());
  EXPECT_LE(writer->pending(), std::max(bound, size));
  co_return result.status;
}

TYPED_TEST(BufferedStreamTest, NoMoreThanTheCapacityOrOneLargerWriteWaits) {
  auto [left, right] = this->MakePair();
  constexpr size_t kCapacity = 1000;
  BufferedWriter writer(left, kCapacity);
  EXPECT_OK(this->Run(writer.WriteAll(std::string(this->kTooMuch, 'x'))).status);
  std::vector<std::unique_ptr<Background<absl::Status>>> writing;
  size_t most = 0;
  size_t total = this->kTooMuch;
  for (size_t i = 0; i < 300; ++i) {
    const size_t size = i % 50 == 49 ? 3000 : i % 400;
    total += size;
    writing.push_back(this->Start(WriteWithinTheBound(&writer, size, kCapacity, &most)));
  }
  auto reading = this->Start(ReadCount(&right, total));
  for (auto& background : writing) EXPECT_OK(this->Wait(background));
  EXPECT_OK(this->Run(writer.Flush()));
  EXPECT_TRUE(*this->Wait(reading) == std::string(total, 'x'));
  EXPECT_GE(most, 600u);  // They are taken together as far as there is room.
}

TYPED_TEST(BufferedStreamTest, ShutdownWriteSendsWhatWaitsFirst) {
  auto [left, right] = this->MakePair();
  BufferedWriter writer(left);
  writer.Append("last words");
  EXPECT_OK(this->Run(writer.ShutdownWrite()));
  EXPECT_THAT(this->ReadCountFrom(right, 10), IsOkAndHolds("last words"));
  EXPECT_THAT(this->ReadFrom(right), IsOkAndHolds(""));
}

TYPED_TEST(BufferedStreamTest, AWriterOverAWriter) {
  auto [left, right] = this->MakePair();
  BufferedWriter inner(left, 3);
  BufferedWriter outer(inner, 3);
  EXPECT_OK(this->Run(outer.WriteAll("one;two;")).status);
  EXPECT_OK(this->Run(outer.WriteAll("three;")).status);
  EXPECT_OK(this->Run(outer.Flush()));
  EXPECT_EQ(inner.pending(), 0u);
  EXPECT_THAT(this->ReadCountFrom(right, 14), IsOkAndHolds("one;two;three;"));
}

// --- Many writers, a slow reader, calls stopped at any moment, and somebody who writes beside the writer ---

// Who, the how-manieth of theirs, and how long: then so many bytes that depend on both.
struct Header {
  uint32_t writer = 0;
  uint32_t number = 0;
  uint32_t size = 0;
};

std::string Message(uint32_t writer, uint32_t number, uint32_t largest) {
  const uint64_t hash = MixBits(writer * 1000 + number);
  Header header{writer, number, static_cast<uint32_t>(hash % 4 == 0 ? hash / 4 % largest : hash / 4 % 100)};
  std::string message(sizeof(header), '\0');
  std::memcpy(message.data(), &header, sizeof(header));
  for (uint32_t i = 0; i < header.size; ++i) message.push_back(static_cast<char>((hash >> 40) + i * 7 + i / 256));
  return message;
}

template <typename S>
struct Storm {
  static constexpr uint32_t kWriters = 12;
  static constexpr uint32_t kOutsider = kWriters;  // Writes to the stream itself.
  static constexpr uint32_t kMessages = 40;
  static constexpr uint32_t kLargest = 60'000;

  // Up to half a millisecond, mostly less.
  absl::Duration Draw() {
    const uint64_t hash = MixBits(++draws);
    return absl::Microseconds(hash % 500 >> (hash / 500 % 8));
  }
  bool Stopped(const absl::Status& status) {
    if (!absl::IsDeadlineExceeded(status)) return false;
    ++stopped;
    return true;
  }

  S* stream = nullptr;
  BufferedWriter<S>* writer = nullptr;
  uint64_t draws = 0;
  int stopped = 0;
  int refused = 0;
};

template <typename S>
Task<absl::Status> WriteMessages(Storm<S>* storm, uint32_t writer) {
  for (uint32_t number = 0; number < storm->kMessages;) {
    const std::string message = Message(writer, number, storm->kLargest);
    const absl::Duration timeout = storm->Draw();
    const IoResult written = co_await WithTimeout(timeout, storm->writer->WriteAll(message));
    EXPECT_EQ(written.bytes, written.ok() ? message.size() : 0u);
    if (written.ok()) {
      ++number;
    } else if (absl::IsFailedPrecondition(written.status)) {
      ++storm->refused;  // The outsider's message was cut short.
    } else if (!storm->Stopped(written.status)) {
      co_return written.status;
    }
    const absl::Duration patience = storm->Draw();
    const absl::Status flushed = co_await WithTimeout(patience, storm->writer->Flush());
    if (!flushed.ok() && !absl::IsFailedPrecondition(flushed) && !storm->Stopped(flushed)) co_return flushed;
    const absl::Duration pause = storm->Draw();
    const absl::Status slept = co_await Sleep(pause);
    if (!slept.ok()) co_return slept;
  }
  for (;;) {
    const absl::Status flushed = co_await storm->writer->Flush();
    if (!absl::IsFailedPrecondition(flushed)) co_return flushed;
    const absl::Status slept = co_await Sleep(absl::Microseconds(100));
    if (!slept.ok()) co_return slept;
  }
}

template <typename S>
Task<absl::Status> WriteBeside(Storm<S>* storm) {
  for (uint32_t number = 0; number < storm->kMessages;) {
    const std::string message = Message(storm->kOutsider, number, storm->kLargest);
    const absl::Duration timeout = storm->Draw();
    IoResult written = co_await WithTimeout(timeout, WriteWhole(storm->stream, message));
    size_t sent = written.bytes;
    while (sent > 0 && sent < message.size()) {
      const absl::Duration patience = storm->Draw();
      written = co_await WithTimeout(patience, WriteRestOf(storm->stream, message.substr(sent)));
      sent += written.bytes;
      if (!written.ok() && !storm->Stopped(written.status)) co_return written.status;
    }
    if (written.ok()) {
      ++number;
    } else if (absl::IsFailedPrecondition(written.status)) {
      ++storm->refused;  // A flush was cut short.
    } else if (!storm->Stopped(written.status)) {
      co_return written.status;
    }
    const absl::Duration pause = 4 * storm->Draw();
    const absl::Status slept = co_await Sleep(pause);
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

template <typename S>
Task<absl::Status> ReadMessages(Storm<S>* storm, S* stream) {
  BufferedReader reader(*stream);
  std::vector<uint32_t> next(storm->kWriters + 1);
  for (;;) {
    absl::Status filled = co_await reader.FillAtLeast(sizeof(Header));
    if (absl::IsOutOfRange(filled) && reader.buffered().empty()) break;
    if (!filled.ok()) co_return filled;
    Header header;
    std::memcpy(&header, reader.buffered().data(), sizeof(header));
    if (header.writer > storm->kWriters) co_return absl::DataLossError("not a message");
    if (header.number != next[header.writer]) {
      co_return absl::DataLossError(
          absl::StrCat("message ", header.number, " of ", header.writer, ", not ", next[header.writer]));
    }
    ++next[header.writer];
    const std::string message = Message(header.writer, header.number, storm->kLargest);
    absl::StatusOr<absl::string_view> received = co_await reader.ReadExactly(message.size());
    if (!received.ok()) co_return received.status();
    if (*received != message) co_return absl::DataLossError(absl::StrCat("message ", header.number, " has changed"));
    const absl::Duration pause = storm->Draw();
    absl::Status slept = co_await Sleep(pause);
    if (!slept.ok()) co_return slept;
  }
  for (const uint32_t number : next) {
    if (number != storm->kMessages) co_return absl::DataLossError(absl::StrCat("ended after ", number));
  }
  co_return absl::OkStatus();
}

TYPED_TEST(BufferedStreamTest, ManyWritersShareOneInOrderWhoeverIsStoppedWhen) {
  auto [left, right] = this->MakePair();
  if constexpr (std::same_as<decltype(left), TcpStream>) {
    // Smaller ones wait for timers of TCP.
    EXPECT_OK(left.set_send_buffer_size(30'000));
    EXPECT_OK(right.set_receive_buffer_size(30'000));
    right.set_high_water_mark(10'000);
  }
  using S = decltype(left);
  BufferedWriter<S> writer(left, 2000);
  Storm<S> storm;
  storm.stream = &left;
  storm.writer = &writer;
  auto reading = this->Start(ReadMessages(&storm, &right));
  auto beside = this->Start(WriteBeside(&storm));
  std::vector<std::unique_ptr<Background<absl::Status>>> writing;
  for (uint32_t i = 0; i < storm.kWriters; ++i) writing.push_back(this->Start(WriteMessages(&storm, i)));

  for (auto& background : writing) EXPECT_OK(this->Wait(background));
  EXPECT_OK(this->Wait(beside));
  EXPECT_OK(this->Run(writer.Flush()));
  EXPECT_EQ(writer.pending(), 0u);
  EXPECT_OK(this->Run(writer.ShutdownWrite()));
  EXPECT_OK(this->Wait(reading));
  EXPECT_GT(storm.stopped, 20);
  if (this->IsSimulated()) {
    EXPECT_GT(storm.refused, 0);
  }
}

}  // namespace
}  // namespace tandem::testing
