// SPDX-License-Identifier: Apache-2.0
//
// The promises of core/net/stream.h.

#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/net/stream.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/conformance/stream_conformance.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

TYPED_TEST_SUITE(StreamTest, AllStreams, StreamNames);

TYPED_TEST(StreamTest, BytesComeInOrder) {
  auto [left, right] = this->MakePair();
  std::string received;
  const std::string data = Pattern(100'000);
  auto reading = this->Start(AppendUntilEnd(&right, &received));
  this->SendTo(left, absl::string_view(data).substr(0, 1));
  this->SendTo(left, absl::string_view(data).substr(1));
  this->EndOf(left);
  EXPECT_OK(this->Wait(reading));
  EXPECT_TRUE(received == data);
}

TYPED_TEST(StreamTest, BothDirectionsAreIndependent) {
  auto [left, right] = this->MakePair();
  this->SendTo(left, "forth");
  this->SendTo(right, "back");
  EXPECT_THAT(this->ReadCountFrom(left, 4), IsOkAndHolds("back"));
  EXPECT_THAT(this->ReadCountFrom(right, 5), IsOkAndHolds("forth"));
}

TYPED_TEST(StreamTest, ReadTakesNoMoreThanItsTarget) {
  auto [left, right] = this->MakePair();
  this->SendTo(left, "abcdef");
  EXPECT_THAT(this->ReadCountFrom(right, 2), IsOkAndHolds("ab"));
  EXPECT_THAT(this->ReadCountFrom(right, 4), IsOkAndHolds("cdef"));
}

TYPED_TEST(StreamTest, EmptyTargetIsAnInvalidArgument) {
  auto [left, right] = this->MakePair();
  EXPECT_EQ(this->Run(right.Read(absl::Span<char>())).status().code(), kInvalidArgument);
}

TYPED_TEST(StreamTest, ReadThatTimesOutConsumesNothing) {
  auto [left, right] = this->MakePair();
  char target[8];
  auto read = this->Run(WithTimeout(absl::Milliseconds(1), right.Read(absl::MakeSpan(target))));
  EXPECT_EQ(read.status(), DeadlineExceededStatus());
  this->SendTo(left, "late");
  EXPECT_THAT(this->ReadCountFrom(right, 4), IsOkAndHolds("late"));
}

TYPED_TEST(StreamTest, CancelledReadConsumesNothing) {
  auto [left, right] = this->MakePair();
  auto reading = this->Start(ReadOnce(&right, 8));
  this->Settle();
  reading->Cancel();
  EXPECT_EQ(this->Wait(reading).status(), CancelledStatus());
  this->SendTo(left, "late");
  EXPECT_THAT(this->ReadCountFrom(right, 4), IsOkAndHolds("late"));
}

TYPED_TEST(StreamTest, ReadWaitsForTheWriter) {
  auto [left, right] = this->MakePair();
  auto reading = this->Start(ReadOnce(&right, 8));
  this->Settle();
  EXPECT_FALSE(reading->done());
  this->SendTo(left, "x");
  EXPECT_THAT(this->Wait(reading), IsOkAndHolds("x"));
}

TYPED_TEST(StreamTest, EndOfTheStreamStays) {
  auto [left, right] = this->MakePair();
  this->SendTo(left, "last");
  this->EndOf(left);
  EXPECT_THAT(this->ReadCountFrom(right, 4), IsOkAndHolds("last"));
  EXPECT_THAT(this->ReadFrom(right), IsOkAndHolds(""));
  EXPECT_THAT(this->ReadFrom(right), IsOkAndHolds(""));
}

TYPED_TEST(StreamTest, HalfCloseLetsTheOtherDirectionGoOn) {
  auto [left, right] = this->MakePair();
  this->EndOf(left);
  EXPECT_THAT(this->ReadFrom(right), IsOkAndHolds(""));
  this->SendTo(right, "answer");
  EXPECT_THAT(this->ReadCountFrom(left, 6), IsOkAndHolds("answer"));
}

TYPED_TEST(StreamTest, WriteAfterShutdownIsRefused) {
  auto [left, right] = this->MakePair();
  this->EndOf(left);
  auto written = this->Run(left.WriteSome("more"));
  EXPECT_EQ(written.status().code(), kUnavailable);
  EXPECT_EQ(ErrnoOf(written.status()), EPIPE);
}

TYPED_TEST(StreamTest, SecondShutdownDoesNothing) {
  auto [left, right] = this->MakePair();
  this->EndOf(left);
  this->EndOf(left);
  EXPECT_THAT(this->ReadFrom(right), IsOkAndHolds(""));
}

TYPED_TEST(StreamTest, ShutdownWaitsForTheWritesBefore) {
  auto [left, right] = this->MakePair();
  const std::string data = Pattern(this->kTooMuch / 4);
  auto writing = this->Start(WriteWhole(&left, data));
  auto ending = this->Start(EndWriting(&left));
  std::string received;
  EXPECT_OK(this->Run(AppendUntilEnd(&right, &received)));
  EXPECT_OK(this->Wait(writing).status);
  EXPECT_OK(this->Wait(ending));
  EXPECT_TRUE(received == data);
}

TYPED_TEST(StreamTest, EmptyWritesAreDoneAtOnce) {
  auto [left, right] = this->MakePair();
  EXPECT_THAT(this->Run(left.WriteSome("")), IsOkAndHolds(0u));
  EXPECT_OK(this->Run(left.WriteAll("")).status);
}

TYPED_TEST(StreamTest, WriteSaysHowMuchWent) {
  auto [left, right] = this->MakePair();
  const std::string data = Pattern(10'000);
  auto written = this->Run(left.WriteSome(data));
  ASSERT_OK(written.status());
  ASSERT_GE(*written, 1u);
  ASSERT_LE(*written, data.size());
  EXPECT_THAT(this->ReadCountFrom(right, *written), IsOkAndHolds(data.substr(0, *written)));
}

TYPED_TEST(StreamTest, WriterWaitsForTheReaderAndKnowsWhatWent) {
  auto [left, right] = this->MakePair();
  const std::string data = Pattern(this->kTooMuch);
  IoResult result = this->CutShort(WriteWhole(&left, data));
  EXPECT_EQ(result.status, CancelledStatus());
  ASSERT_LT(result.bytes, data.size());
  ASSERT_GT(result.bytes, 0u);

  std::string received;
  auto reading = this->Start(AppendUntilEnd(&right, &received));
  left.AcceptPartial();
  EXPECT_OK(this->Run(left.WriteAll(absl::string_view(data).substr(result.bytes))).status);
  this->EndOf(left);
  EXPECT_OK(this->Wait(reading));
  EXPECT_TRUE(received == data);
}

TYPED_TEST(StreamTest, CutShortWriteAllPoisonsUntilAcceptPartial) {
  auto [left, right] = this->MakePair();
  const std::string data = Pattern(this->kTooMuch);
  IoResult result = this->CutShort(WriteWhole(&left, data));
  ASSERT_EQ(result.status, CancelledStatus());
  ASSERT_GT(result.bytes, 0u);

  EXPECT_EQ(this->Run(left.WriteSome("x")).status().code(), kFailedPrecondition);
  EXPECT_EQ(this->Run(left.WriteAll("x")).status.code(), kFailedPrecondition);
  left.AcceptPartial();
  auto reading = this->Start(ReadCount(&right, result.bytes + 1));
  EXPECT_OK(this->Run(left.WriteAll("x")).status);
  EXPECT_THAT(this->Wait(reading), IsOkAndHolds(data.substr(0, result.bytes) + "x"));
}

TYPED_TEST(StreamTest, WriteRestSendsTheRestAndLiftsThePoison) {
  auto [left, right] = this->MakePair();
  const std::string data = Pattern(this->kTooMuch);
  const size_t sent = this->CutShort(WriteWhole(&left, data)).bytes;
  ASSERT_GT(sent, 0u);

  auto rest = this->Start(WriteRestOf(&left, data.substr(sent)));
  this->Settle();
  auto behind = this->Start(WriteWhole(&left, "behind"));
  auto reading = this->Start(ReadCount(&right, data.size() + 6));

  const IoResult written = this->Wait(rest);
  EXPECT_OK(written.status);
  EXPECT_EQ(written.bytes, data.size() - sent);
  EXPECT_OK(this->Wait(behind).status);
  EXPECT_TRUE(*this->Wait(reading) == data + "behind");
}

// Else the next message would stand in the middle of the first.
TYPED_TEST(StreamTest, WriteRestThatIsStoppedBeforeAnythingWentKeepsThePoison) {
  auto [left, right] = this->MakePair();
  const std::string data = Pattern(this->kTooMuch);
  const size_t sent = this->FillUp(left, data);

  EXPECT_EQ(this->Run(left.WriteAll("x")).status.code(), kFailedPrecondition);
  EXPECT_EQ(this->Run(left.WriteSome("x")).status().code(), kFailedPrecondition);

  auto reading = this->Start(ReadCount(&right, data.size() + 1));
  EXPECT_OK(this->Run(left.WriteRest(absl::string_view(data).substr(sent))).status);
  EXPECT_OK(this->Run(left.WriteAll("x")).status);
  EXPECT_TRUE(*this->Wait(reading) == data + "x");
}

TYPED_TEST(StreamTest, WritesBehindARestThatIsCutShortFailWithIt) {
  auto [left, right] = this->MakePair();
  const std::string data = Pattern(this->kTooMuch);
  const size_t sent = this->FillUp(left, data);
  auto rest = this->Start(WriteRestOf(&left, data.substr(sent)));
  this->Settle();
  auto behind = this->Start(WriteWhole(&left, "behind"));
  this->Settle();
  EXPECT_FALSE(behind->done());

  rest->Cancel();

  EXPECT_EQ(this->Wait(rest).status, CancelledStatus());
  const IoResult refused = this->Wait(behind);
  EXPECT_EQ(refused.status.code(), kFailedPrecondition);
  EXPECT_EQ(refused.bytes, 0u);
}

TYPED_TEST(StreamTest, WriteRestOfNothingLiftsThePoison) {
  auto [left, right] = this->MakePair();
  const std::string data = Pattern(this->kTooMuch);
  const size_t sent = this->CutShort(WriteWhole(&left, data)).bytes;
  EXPECT_OK(this->Run(left.WriteRest("")).status);
  auto reading = this->Start(ReadCount(&right, sent + 1));
  EXPECT_OK(this->Run(left.WriteAll("x")).status);
  EXPECT_TRUE(*this->Wait(reading) == data.substr(0, sent) + "x");
}

TYPED_TEST(StreamTest, WriteRestOnAClosedStreamFails) {
  auto [left, right] = this->MakePair();
  EXPECT_OK(this->Run(CloseStream(&left)));
  EXPECT_EQ(ErrnoOf(this->Run(left.WriteRest("x")).status), EBADF);
}

TYPED_TEST(StreamTest, StoppedBeforeAnythingWentPoisonsNothing) {
  auto [left, right] = this->MakePair();
  const std::string data = Pattern(this->kTooMuch);
  size_t sent = 0;
  IoResult last;
  do {
    last = this->CutShort(WriteWhole(&left, data.substr(sent)));
    EXPECT_EQ(last.status, CancelledStatus());
    if (last.bytes > 0) left.AcceptPartial();
    sent += last.bytes;
  } while (last.bytes > 0);
  auto reading = this->Start(ReadCount(&right, sent + 1));
  EXPECT_OK(this->Run(left.WriteAll("x")).status);
  EXPECT_THAT(this->Wait(reading), IsOkAndHolds(data.substr(0, sent) + "x"));
}

TYPED_TEST(StreamTest, QueuedWritesDoNotInterleave) {
  auto [left, right] = this->MakePair();
  const std::string a(300'000, 'a');
  const std::string b(300'000, 'b');
  auto first = this->Start(WriteWhole(&left, a));
  auto second = this->Start(WriteWhole(&left, b));
  EXPECT_THAT(this->ReadCountFrom(right, a.size() + b.size()), IsOkAndHolds(a + b));
  EXPECT_OK(this->Wait(first).status);
  EXPECT_OK(this->Wait(second).status);
}

TYPED_TEST(StreamTest, FlushHasNothingToDo) {
  auto [left, right] = this->MakePair();
  EXPECT_OK(this->Run(left.Flush()));
}

TYPED_TEST(StreamTest, ThePeerReadsWhatWasWrittenBeforeClose) {
  auto [left, right] = this->MakePair();
  this->SendTo(left, "bye");
  EXPECT_OK(this->Run(left.Close()));
  EXPECT_THAT(this->ReadCountFrom(right, 3), IsOkAndHolds("bye"));
  EXPECT_THAT(this->ReadFrom(right), IsOkAndHolds(""));
}

TYPED_TEST(StreamTest, DestroyingCloses) {
  auto [left, right] = this->MakePair();
  this->SendTo(left, "bye");
  {
    [[maybe_unused]] const auto gone = std::move(left);
  }
  EXPECT_THAT(this->ReadCountFrom(right, 3), IsOkAndHolds("bye"));
  EXPECT_THAT(this->ReadFrom(right), IsOkAndHolds(""));
}

TYPED_TEST(StreamTest, CallsAfterCloseAreRefused) {
  auto [left, right] = this->MakePair();
  EXPECT_OK(this->Run(left.Close()));
  EXPECT_OK(this->Run(left.Close()));
  const absl::Status read = this->ReadFrom(left).status();
  EXPECT_EQ(read.code(), kFailedPrecondition);
  EXPECT_EQ(ErrnoOf(read), EBADF);
  const absl::Status written = this->Run(left.WriteSome("x")).status();
  EXPECT_EQ(written.code(), kFailedPrecondition);
  EXPECT_EQ(ErrnoOf(written), EBADF);
  EXPECT_EQ(this->Run(left.WriteAll("")).status.code(), kFailedPrecondition);
  EXPECT_EQ(this->Run(left.Flush()).code(), kFailedPrecondition);
}

TYPED_TEST(StreamTest, CloseEndsPendingCalls) {
  auto [left, right] = this->MakePair();
  auto reading = this->Start(ReadOnce(&left, 8));
  auto writing = this->Start(WriteWhole(&left, Pattern(this->kTooMuch)));
  this->Settle();
  EXPECT_OK(this->Run(left.Close()));
  EXPECT_EQ(ErrnoOf(this->Wait(reading).status()), EBADF);
  IoResult written = this->Wait(writing);
  EXPECT_EQ(ErrnoOf(written.status), EBADF);
  EXPECT_LT(written.bytes, this->kTooMuch);
}

TYPED_TEST(StreamTest, CloseIsNotCancelled) {
  auto [left, right] = this->MakePair();
  auto closing = this->Start(CloseStream(&left));
  closing->Cancel();
  EXPECT_TRUE(this->Wait(closing).ok() || !this->Run(left.WriteSome("x")).ok());
  EXPECT_OK(this->Run(left.Close()));
  EXPECT_THAT(this->ReadFrom(right), IsOkAndHolds(""));
}

TYPED_TEST(StreamTest, AbortResetsThePeer) {
  auto [left, right] = this->MakePair();
  auto reading = this->Start(ReadOnce(&right, 8));
  this->Settle();
  left.Abort();
  EXPECT_TRUE(IsReset(this->Wait(reading).status()));
  EXPECT_THAT(this->ReadFrom(right), IsOkAndHolds(""));
  EXPECT_EQ(this->Run(right.WriteSome("x")).status().code(), kUnavailable);
}

TYPED_TEST(StreamTest, CloseWithUnreadInputResetsThePeer) {
  auto [left, right] = this->MakePair();
  this->SendTo(right, "unread");
  this->Settle();
  EXPECT_OK(this->Run(left.Close()));
  EXPECT_TRUE(IsReset(this->ReadFrom(right).status()));
}

TYPED_TEST(StreamTest, WritesFailOnceThePeerIsGone) {
  auto [left, right] = this->MakePair();
  EXPECT_OK(this->Run(right.Close()));
  absl::Status status;
  // The first may still go: the peer answers it with a reset.
  for (int i = 0; i < 1000 && status.ok(); ++i) {
    status = this->Run(left.WriteAll("x")).status;
    this->Settle();
  }
  EXPECT_TRUE(IsReset(status)) << status;
}

TYPED_TEST(StreamTest, AWriterThatWaitsEndsWhenThePeerGoes) {
  auto [left, right] = this->MakePair();
  auto writing = this->Start(WriteWhole(&left, Pattern(this->kTooMuch)));
  this->Settle();
  EXPECT_OK(this->Run(right.Close()));
  EXPECT_TRUE(IsReset(this->Wait(writing).status));
}

TYPED_TEST(StreamTest, MovingKeepsTheConnection) {
  auto [left, right] = this->MakePair();
  auto moved = std::move(left);
  EXPECT_TRUE(moved.valid());
  this->SendTo(moved, "x");
  EXPECT_THAT(this->ReadFrom(right), IsOkAndHolds("x"));
}

TYPED_TEST(StreamTest, AssigningClosesWhatWasThere) {
  auto [left, right] = this->MakePair();
  auto [other_left, other_right] = this->MakePair();
  left = std::move(other_left);
  EXPECT_THAT(this->ReadFrom(right), IsOkAndHolds(""));
  this->SendTo(left, "x");
  EXPECT_THAT(this->ReadFrom(other_right), IsOkAndHolds("x"));
}

}  // namespace
}  // namespace tandem::testing
