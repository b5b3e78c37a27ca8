// SPDX-License-Identifier: Apache-2.0
//
// Closing, aborting, and the options of a stream.

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "tandem/testing/conformance/socket_conformance.h"

namespace tandem::testing {
namespace {

class CloseTest : public SocketConformanceTest {};
class AbortTest : public SocketConformanceTest {};
class OptionsTest : public SocketConformanceTest {};

TEST_F(CloseTest, PeerReadsTheEnd) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(client.Close()));
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(CloseTest, WhatTheKernelHasTakenStillArrives) {
  auto [client, server] = ConnectedPair();
  auto write = Start(WriteAllOf(&client, Pattern(16 << 20)));
  Settle();
  write->Cancel();
  const IoResult cut = Wait(write);
  ASSERT_GT(cut.bytes, 0u);
  EXPECT_OK(Run(client.Close()));
  auto received = ReadAll(server);
  ASSERT_OK(received);
  EXPECT_EQ(received->size(), cut.bytes);
}

TEST_F(CloseTest, MayBeCalledAgain) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(client.Close()));
  EXPECT_OK(Run(client.Close()));
  client.Abort();
}

TEST_F(CloseTest, TwoCallsAtOnceBothWait) {
  auto [client, server] = ConnectedPair();
  auto close = [](TcpStream* stream) -> Task<absl::Status> { co_return co_await stream->Close(); };
  auto first = Start(close(&client));
  auto second = Start(close(&client));
  EXPECT_OK(Wait(first));
  EXPECT_OK(Wait(second));
}

TEST_F(CloseTest, EndsAPendingRead) {
  auto [client, server] = ConnectedPair();
  auto read = Start(ReadSome(&client, 10));
  Settle();
  EXPECT_OK(Run(client.Close()));
  auto result = Wait(read);
  EXPECT_THAT(result, StatusIs(kFailedPrecondition));
  EXPECT_EQ(ErrnoOf(result.status()), EBADF);
}

TEST_F(CloseTest, EndsPendingWritesAndTheyKnowWhatTheySent) {
  auto [client, server] = ConnectedPair();
  const std::string data = Pattern(16 << 20);
  auto write = Start(WriteAllOf(&client, data));
  auto queued = Start(WriteAllOf(&client, "queued"));
  Settle();
  EXPECT_OK(Run(client.Close()));

  const IoResult first = Wait(write);
  EXPECT_EQ(ErrnoOf(first.status), EBADF) << first.status;
  const IoResult second = Wait(queued);
  EXPECT_EQ(ErrnoOf(second.status), EBADF) << second.status;
  EXPECT_EQ(second.bytes, 0u);
  auto received = ReadAll(server);
  ASSERT_OK(received);
  EXPECT_EQ(received->size(), first.bytes);
}

TEST_F(CloseTest, PendingWriteThatHasSentSomethingReturnsIt) {
  auto [client, server] = ConnectedPair();
  const std::string data = Pattern(16 << 20);
  auto write = Start(WriteSome(&client, data));
  Settle();
  EXPECT_OK(Run(client.Close()));
  auto count = Wait(write);
  ASSERT_OK(count);
  EXPECT_GT(*count, 0u);
}

TEST_F(CloseTest, CannotBeCancelled) {
  auto [client, server] = ConnectedPair();
  auto close = [](TcpStream* stream, CancelScope* scope) -> Task<absl::Status> {
    scope->Cancel();
    const absl::Status status = co_await stream->Close();
    co_return status;
  };
  auto scoped = [](CancelScope* scope, Task<absl::Status> task) -> Task<absl::Status> {
    co_return co_await scope->Run(std::move(task));
  };
  CancelScope scope;
  EXPECT_OK(Run(scoped(&scope, close(&client, &scope))));
  EXPECT_TRUE(scope.cancelled());
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(CloseTest, UnreadBytesInTheKernelMakeItAReset) {
  auto [client, server] = ConnectedPair();
  Send(client, "unread");
  Settle();
  EXPECT_OK(Run(server.Close()));
  EXPECT_EQ(ErrnoOf(Read(client).status()), ECONNRESET);
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
}

TEST_F(CloseTest, UnreadBytesInUserMemoryMakeItAResetToo) {
  auto [client, server] = ConnectedPair();
  Send(client, "unread");
  EXPECT_THAT(Read(server, 1), IsOkAndHolds("u"));
  ASSERT_EQ(server.unread_bytes(), 5u);
  EXPECT_OK(Run(server.Close()));
  EXPECT_EQ(ErrnoOf(Read(client).status()), ECONNRESET);
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
}

// The receive is armed, so the bytes move to user memory although nobody asks for them.
TEST_F(CloseTest, ReadAheadThatNobodyReadMakesItAResetToo) {
  auto [client, server] = ConnectedPair();
  EXPECT_FALSE(Run(server.Receive().By(Now() + absl::Milliseconds(1))).ok());
  Send(client, "unread");
  Settle();
  EXPECT_OK(Run(server.Close()));
  EXPECT_EQ(ErrnoOf(Read(client).status()), ECONNRESET);
}

TEST_F(CloseTest, ReadBytesAreNoReasonForAReset) {
  auto [client, server] = ConnectedPair();
  Send(client, "read");
  EXPECT_THAT(Read(server), IsOkAndHolds("read"));
  EXPECT_OK(Run(server.Close()));
  EXPECT_THAT(Read(client), IsOkAndHolds(""));
}

TEST_F(CloseTest, DestructorClosesInTheBackground) {
  auto [client, server] = ConnectedPair();
  {
    TcpStream gone = std::move(client);
  }
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(CloseTest, DestructorOfAStreamThatReadsEndsTheRead) {
  auto [client, server] = ConnectedPair();
  auto stream = std::make_unique<TcpStream>(std::move(client));
  auto read = Start(ReadSome(stream.get(), 10));
  Settle();
  stream = nullptr;
  EXPECT_EQ(ErrnoOf(Wait(read).status()), EBADF);
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
}

TEST_F(CloseTest, AssignmentClosesTheOldStream) {
  auto [client, server] = ConnectedPair();
  auto [other_client, other_server] = ConnectedPair();
  client = std::move(other_client);
  EXPECT_THAT(Read(server), IsOkAndHolds(""));
  EXPECT_FALSE(other_client.valid());
  Send(client, "moved");
  EXPECT_THAT(Read(other_server), IsOkAndHolds("moved"));
}

TEST_F(CloseTest, StreamWithoutConnectionMayBeDroppedAndAssigned) {
  TcpStream none;
  EXPECT_FALSE(none.valid());
  auto [client, server] = ConnectedPair();
  none = std::move(client);
  EXPECT_TRUE(none.valid());
}

// --- Abort ---

TEST_F(AbortTest, PeerNeverSeesTheEnd) {
  for (int i = 0; i < 50; ++i) {
    auto [client, server] = ConnectedPair();
    auto read = Start(ReadSome(&server, 100));
    if (i % 2 == 1) Settle();
    client.Abort();
    auto result = Wait(read);
    EXPECT_EQ(ErrnoOf(result.status()), ECONNRESET) << result.status();
  }
}

TEST_F(AbortTest, PeerReadsWhatHadArrivedThenTheReset) {
  for (int i = 0; i < 20; ++i) {
    auto [client, server] = ConnectedPair();
    Send(client, "arrived");
    Settle();
    client.Abort();
    EXPECT_OK(Run(client.Close()));
    EXPECT_THAT(Read(server), IsOkAndHolds("arrived"));
    EXPECT_EQ(ErrnoOf(Read(server).status()), ECONNRESET);
  }
}

TEST_F(AbortTest, UnsentBytesAreDropped) {
  auto [client, server] = ConnectedPair();
  auto write = Start(WriteAllOf(&client, Pattern(16 << 20)));
  Settle();
  client.Abort();
  EXPECT_EQ(ErrnoOf(Wait(write).status), EBADF);
  std::string received;
  const absl::Status status = Run(ReadToEnd(&server, &received));
  EXPECT_EQ(ErrnoOf(status), ECONNRESET) << status;
}

TEST_F(AbortTest, EndsPendingCallsOfThisEnd) {
  auto [client, server] = ConnectedPair();
  auto read = Start(ReadSome(&client, 100));
  Settle();
  client.Abort();
  EXPECT_EQ(ErrnoOf(Wait(read).status()), EBADF);
  EXPECT_OK(Run(client.Close()));
}

// --- Options ---

TEST_F(OptionsTest, NoDelayCanBeSwitched) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(client.set_no_delay(false));
  EXPECT_THAT(client.no_delay(), IsOkAndHolds(false));
  EXPECT_THAT(server.no_delay(), IsOkAndHolds(true));
  EXPECT_OK(client.set_no_delay(true));
  EXPECT_THAT(client.no_delay(), IsOkAndHolds(true));
}

TEST_F(OptionsTest, BufferSizesAreDoubledAndHaveAMinimum) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(client.set_receive_buffer_size(20'000));
  EXPECT_THAT(client.receive_buffer_size(), IsOkAndHolds(40'000u));
  EXPECT_OK(client.set_send_buffer_size(20'000));
  EXPECT_THAT(client.send_buffer_size(), IsOkAndHolds(40'000u));
  EXPECT_OK(client.set_receive_buffer_size(1));
  EXPECT_THAT(client.receive_buffer_size(), IsOkAndHolds(2304u));
  EXPECT_OK(client.set_send_buffer_size(1));
  EXPECT_THAT(client.send_buffer_size(), IsOkAndHolds(4608u));
}

TEST_F(OptionsTest, SmallBuffersStillCarryEverything) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(client.set_send_buffer_size(1));
  EXPECT_OK(server.set_receive_buffer_size(1));
  const std::string data = Pattern(20'000);
  auto write = Start(WriteAllOf(&client, data));
  std::string received(data.size(), '\0');
  EXPECT_OK(Run(server.ReadExactly(absl::MakeSpan(received))));
  EXPECT_OK(Wait(write));
  EXPECT_TRUE(received == data);
}

TEST_F(OptionsTest, AfterCloseAreFailedPreconditions) {
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(client.Close()));
  EXPECT_THAT(client.LocalAddress(), StatusIs(kFailedPrecondition));
  EXPECT_THAT(client.set_no_delay(true), StatusIs(kFailedPrecondition));
  EXPECT_THAT(client.no_delay(), StatusIs(kFailedPrecondition));
  EXPECT_THAT(client.receive_buffer_size(), StatusIs(kFailedPrecondition));
}

}  // namespace
}  // namespace tandem::testing
