// SPDX-License-Identifier: Apache-2.0
//
// The promises of core/net/lingering_close.h.

#include <cerrno>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/net/lingering_close.h"
#include "tandem/core/net/stream.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/conformance/stream_conformance.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

constexpr absl::StatusCode kResourceExhausted = absl::StatusCode::kResourceExhausted;

template <typename Kind>
class StreamLingerTest : public StreamTest<Kind> {};
TYPED_TEST_SUITE(StreamLingerTest, AllStreams, StreamNames);

// Sends until it is told to stop or cannot, with `pause` between the pieces.
template <AsyncStream S>
Task<absl::Status> GoOnSending(S* stream, std::string piece, absl::Duration pause, const bool* stop) {
  while (!*stop) {
    const IoResult sent = co_await stream->WriteAll(piece);
    if (!sent.ok()) co_return sent.status;
    const absl::Status slept = co_await Sleep(pause);
    if (!slept.ok()) co_return slept;
  }
  absl::Status ended = co_await stream->ShutdownWrite();
  co_return ended;
}

template <AsyncStream S>
Task<absl::Status> SayAndLinger(S* stream, std::string last_words, LingerOptions options) {
  const IoResult said = co_await stream->WriteAll(last_words);
  if (!said.ok()) co_return said.status;
  absl::Status closed = co_await LingeringClose(*stream, options);
  co_return closed;
}

// Whether `stream` was closed at this end.
template <typename S>
bool IsClosed(const absl::StatusOr<S>& read) {
  return ErrnoOf(read.status()) == EBADF;
}

TYPED_TEST(StreamLingerTest, APeerThatGoesOnSendingGetsTheLastWords) {
  auto [server, peer] = this->MakePair();
  const std::string last_words = Pattern(size_t{2} << 20);
  bool stop = false;
  auto sending = this->Start(GoOnSending(&peer, Pattern(3000), absl::Milliseconds(1), &stop));
  auto closing = this->Start(SayAndLinger(&server, last_words, LingerOptions()));
  // It reads late, when there was time for a reset to come.
  EXPECT_OK(this->Run(Sleep(absl::Milliseconds(50))));
  std::string received;
  EXPECT_OK(this->Run(AppendUntilEnd(&peer, &received)));
  EXPECT_TRUE(received == last_words) << received.size();
  EXPECT_FALSE(closing->done());
  stop = true;
  EXPECT_OK(this->Wait(sending));
  EXPECT_OK(this->Wait(closing));
  EXPECT_TRUE(IsClosed(this->ReadFrom(server)));
}

TYPED_TEST(StreamLingerTest, WhatOthersHaveQueuedIsSentBefore) {
  auto [server, peer] = this->MakePair();
  const std::string queued = Pattern(TestFixture::kTooMuch);
  auto writing = this->Start(WriteWhole(&server, queued));
  this->Settle();
  auto closing = this->Start(SayAndLinger(&server, "bye", LingerOptions()));
  std::string received;
  EXPECT_OK(this->Run(AppendUntilEnd(&peer, &received)));
  EXPECT_TRUE(received == queued + "bye") << received.size();
  EXPECT_OK(this->Wait(writing));
  this->EndOf(peer);
  EXPECT_OK(this->Wait(closing));
}

TYPED_TEST(StreamLingerTest, APeerThatHasEndedIsNotWaitedFor) {
  auto [server, peer] = this->MakePair();
  this->SendTo(peer, "unread");
  this->EndOf(peer);
  LingerOptions options;
  options.set_time_limit(absl::InfiniteDuration()).set_idle_limit(absl::InfiniteDuration());
  EXPECT_OK(this->Run(SayAndLinger(&server, "bye", options)));
  std::string received;
  EXPECT_OK(this->Run(AppendUntilEnd(&peer, &received)));
  EXPECT_EQ(received, "bye");
}

TYPED_TEST(StreamLingerTest, ASilentPeerIsLeftAfterTheIdleLimit) {
  auto [server, peer] = this->MakePair();
  this->SendTo(peer, "unread");
  LingerOptions options;
  options.set_time_limit(absl::InfiniteDuration()).set_idle_limit(absl::Milliseconds(20));
  EXPECT_EQ(this->Run(SayAndLinger(&server, "bye", options)).code(), kDeadlineExceeded);
  EXPECT_TRUE(IsClosed(this->ReadFrom(server)));
  // It was no reset: nothing was unread.
  std::string received;
  EXPECT_OK(this->Run(AppendUntilEnd(&peer, &received)));
  EXPECT_EQ(received, "bye");
}

TYPED_TEST(StreamLingerTest, APeerThatNeverStopsIsCutAfterTheTimeLimit) {
  auto [server, peer] = this->MakePair();
  bool stop = false;
  auto sending = this->Start(GoOnSending(&peer, "x", absl::Milliseconds(1), &stop));
  LingerOptions options;
  options.set_time_limit(absl::Milliseconds(60)).set_idle_limit(absl::InfiniteDuration());
  EXPECT_EQ(this->Run(SayAndLinger(&server, "bye", options)).code(), kDeadlineExceeded);
  EXPECT_TRUE(IsClosed(this->ReadFrom(server)));
  EXPECT_EQ(this->Wait(sending).code(), kUnavailable);
}

TYPED_TEST(StreamLingerTest, APeerThatReadsNothingIsCutAfterTheTimeLimit) {
  auto [server, peer] = this->MakePair();
  auto writing = this->Start(WriteWhole(&server, Pattern(TestFixture::kTooMuch)));
  this->Settle();
  LingerOptions options;
  options.set_time_limit(absl::Milliseconds(60));
  EXPECT_EQ(this->Run(LingeringClose(server, options)).code(), kDeadlineExceeded);
  EXPECT_EQ(this->Wait(writing).status.code(), kFailedPrecondition);
  EXPECT_TRUE(IsClosed(this->ReadFrom(server)));
}

TYPED_TEST(StreamLingerTest, APeerThatSendsTooMuchIsCut) {
  auto [server, peer] = this->MakePair();
  bool stop = false;
  auto sending = this->Start(GoOnSending(&peer, Pattern(10'000), absl::Microseconds(10), &stop));
  LingerOptions options;
  options.set_time_limit(absl::InfiniteDuration()).set_byte_limit(200'000);
  EXPECT_EQ(this->Run(SayAndLinger(&server, "bye", options)).code(), kResourceExhausted);
  EXPECT_TRUE(IsClosed(this->ReadFrom(server)));
  EXPECT_EQ(this->Wait(sending).code(), kUnavailable);
}

TYPED_TEST(StreamLingerTest, ACancelledCallClosesAtOnce) {
  auto [server, peer] = this->MakePair();
  EXPECT_EQ(this->CutShort(LingeringClose(server)).code(), kCancelled);
  EXPECT_TRUE(IsClosed(this->ReadFrom(server)));
  EXPECT_THAT(this->ReadFrom(peer), IsOkAndHolds(""));
}

TYPED_TEST(StreamLingerTest, ADeadConnectionIsClosed) {
  auto [server, peer] = this->MakePair();
  auto closing = this->Start(SayAndLinger(&server, "bye", LingerOptions()));
  this->Settle();
  peer.Abort();
  EXPECT_EQ(this->Wait(closing).code(), kUnavailable);
  EXPECT_TRUE(IsClosed(this->ReadFrom(server)));
}

TYPED_TEST(StreamLingerTest, AHalfSentMessageIsNotWaitedFor) {
  auto [server, peer] = this->MakePair();
  EXPECT_EQ(this->CutShort(WriteWhole(&server, Pattern(TestFixture::kTooMuch))).status.code(), kCancelled);
  const absl::Status closed = this->Run(LingeringClose(server));
  EXPECT_EQ(closed.code(), kFailedPrecondition);
  EXPECT_EQ(ErrnoOf(closed), 0);
  EXPECT_TRUE(IsClosed(this->ReadFrom(server)));
}

TYPED_TEST(StreamLingerTest, AClosedStreamStaysClosed) {
  auto [server, peer] = this->MakePair();
  EXPECT_OK(this->Run(CloseStream(&server)));
  EXPECT_EQ(ErrnoOf(this->Run(LingeringClose(server))), EBADF);
}

}  // namespace
}  // namespace tandem::testing
