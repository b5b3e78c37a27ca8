// SPDX-License-Identifier: Apache-2.0
//
// Copy() and CopyBidirectional(): the left pair is the client's connection, the right pair the backend's, and the proxy
// is between them.

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/net/buffered.h"
#include "tandem/core/net/copy.h"
#include "tandem/core/net/pipe.h"
#include "tandem/core/net/stream.h"
#include "tandem/core/net/tcp_split.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/net/unix_stream.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/conformance/stream_conformance.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {
namespace {

template <typename Kind>
class CopyTest : public StreamTest<Kind> {
 protected:
  using S = typename Kind::Type;

  CopyTest() {
    auto [client, front] = this->MakePair();
    auto [back, backend] = this->MakePair();
    client_ = std::move(client);
    front_ = std::move(front);
    back_ = std::move(back);
    backend_ = std::move(backend);
  }

  void TearDown() override {
    for (S* const stream : {&client_, &front_, &back_, &backend_}) *stream = S();
    StreamTest<Kind>::TearDown();
  }

  auto StartProxy(const CopyOptions& options = CopyOptions()) {
    return this->Start(CopyBidirectional(front_, back_, options));
  }

  S client_;
  S front_;  // What the proxy has of the client.
  S back_;   // What it has of the backend.
  S backend_;
};
TYPED_TEST_SUITE(CopyTest, AllStreams, StreamNames);

TYPED_TEST(CopyTest, CopiesUntilTheEndAndCounts) {
  const std::string data = Pattern(1'000'000);
  auto copying = this->Start(Copy(this->front_, this->back_));
  auto writing = this->Start(WriteWhole(&this->client_, data));
  EXPECT_THAT(this->ReadCountFrom(this->backend_, data.size()), IsOkAndHolds(data));
  EXPECT_OK(this->Wait(writing).status);
  this->EndOf(this->client_);
  IoResult result = this->Wait(copying);
  EXPECT_OK(result.status);
  EXPECT_EQ(result.bytes, data.size());
  // The target goes on.
  this->SendTo(this->back_, "more");
  EXPECT_THAT(this->ReadCountFrom(this->backend_, 4), IsOkAndHolds("more"));
}

TYPED_TEST(CopyTest, AnyBlockSizeWillDo) {
  const std::string data = Pattern(1000);
  auto copying = this->Start(Copy(this->front_, this->back_, CopyOptions().set_block_bytes(1)));
  this->SendTo(this->client_, data);
  this->EndOf(this->client_);
  EXPECT_OK(this->Wait(copying).status);
  EXPECT_THAT(this->ReadCountFrom(this->backend_, data.size()), IsOkAndHolds(data));
}

TYPED_TEST(CopyTest, ASlowReceiverSlowsTheSenderDown) {
  auto copying = this->Start(Copy(this->front_, this->back_));
  auto sending = this->Start(WriteWhole(&this->client_, Pattern(2 * this->kTooMuch)));
  EXPECT_OK(this->Run(Sleep(absl::Milliseconds(100))));
  sending->Cancel();
  IoResult sent = this->Wait(sending);
  EXPECT_EQ(sent.status, CancelledStatus());
  EXPECT_LT(sent.bytes, 2 * this->kTooMuch);
  copying->Cancel();
  IoResult copied = this->Wait(copying);
  EXPECT_EQ(copied.status, CancelledStatus());
  EXPECT_LE(copied.bytes, sent.bytes);
  // What the copy says that it has written is what comes.
  this->back_.AcceptPartial();
  auto ending = this->Start(EndWriting(&this->back_));
  std::string received;
  EXPECT_OK(this->Run(AppendUntilEnd(&this->backend_, &received)));
  EXPECT_OK(this->Wait(ending));
  EXPECT_EQ(received.size(), copied.bytes);
}

TYPED_TEST(CopyTest, AnErrorOfTheWriterIsReturned) {
  EXPECT_OK(this->Run(this->back_.Close()));
  auto copying = this->Start(Copy(this->front_, this->back_));
  this->SendTo(this->client_, "x");
  EXPECT_EQ(this->Wait(copying).status.code(), kFailedPrecondition);
}

TYPED_TEST(CopyTest, IdleCopyEnds) {
  auto copying = this->Start(Copy(this->front_, this->back_, CopyOptions().set_idle_timeout(absl::Milliseconds(5))));
  EXPECT_EQ(this->Wait(copying).status, DeadlineExceededStatus());
}

TYPED_TEST(CopyTest, ProxiesBothWays) {
  auto proxy = this->StartProxy();
  this->SendTo(this->client_, "request");
  EXPECT_THAT(this->ReadCountFrom(this->backend_, 7), IsOkAndHolds("request"));
  this->SendTo(this->backend_, "a reply");
  EXPECT_THAT(this->ReadCountFrom(this->client_, 7), IsOkAndHolds("a reply"));
  this->SendTo(this->backend_, "!");
  EXPECT_THAT(this->ReadCountFrom(this->client_, 1), IsOkAndHolds("!"));
  this->EndOf(this->client_);
  this->EndOf(this->backend_);
  BidirectionalCopyResult result = this->Wait(proxy);
  EXPECT_OK(result.status);
  EXPECT_EQ(result.a_to_b, 7u);
  EXPECT_EQ(result.b_to_a, 8u);
}

TYPED_TEST(CopyTest, ProxyPassesHalfCloseOn) {
  auto proxy = this->StartProxy();
  this->SendTo(this->client_, "request");
  this->EndOf(this->client_);
  std::string request;
  EXPECT_OK(this->Run(AppendUntilEnd(&this->backend_, &request)));
  EXPECT_EQ(request, "request");
  EXPECT_FALSE(proxy->done());

  const std::string data = Pattern(300'000);
  auto writing = this->Start(WriteWhole(&this->backend_, data));
  EXPECT_THAT(this->ReadCountFrom(this->client_, data.size()), IsOkAndHolds(data));
  EXPECT_OK(this->Wait(writing).status);
  EXPECT_OK(this->Run(this->backend_.Close()));
  EXPECT_THAT(this->ReadFrom(this->client_), IsOkAndHolds(""));
  EXPECT_OK(this->Wait(proxy).status);
}

TYPED_TEST(CopyTest, AResetOfOneEndsBoth) {
  auto proxy = this->StartProxy();
  this->SendTo(this->client_, "x");
  EXPECT_THAT(this->ReadCountFrom(this->backend_, 1), IsOkAndHolds("x"));
  this->backend_.Abort();
  BidirectionalCopyResult result = this->Wait(proxy);
  EXPECT_TRUE(IsReset(result.status)) << result.status;
  EXPECT_EQ(result.a_to_b, 1u);
}

TYPED_TEST(CopyTest, IdleProxyEnds) {
  auto proxy = this->StartProxy(CopyOptions().set_idle_timeout(absl::Milliseconds(5)));
  EXPECT_EQ(this->Wait(proxy).status, DeadlineExceededStatus());
  this->SendTo(this->client_, "still here");
  EXPECT_THAT(this->ReadCountFrom(this->front_, 10), IsOkAndHolds("still here"));
}

TYPED_TEST(CopyTest, CancellingTheProxyLeavesTheStreams) {
  auto proxy = this->StartProxy();
  this->Settle();
  proxy->Cancel();
  EXPECT_EQ(this->Wait(proxy).status, CancelledStatus());
  this->SendTo(this->client_, "still here");
  EXPECT_THAT(this->ReadCountFrom(this->front_, 10), IsOkAndHolds("still here"));
}

// The client would wait for the end of the answer for ever.
TYPED_TEST(CopyTest, AnEndThatCannotBePassedOnIsAnError) {
  const std::string data = Pattern(this->kTooMuch);
  const IoResult cut = this->CutShort(WriteWhole(&this->front_, data));
  ASSERT_GT(cut.bytes, 0u);
  auto proxy = this->StartProxy();
  this->EndOf(this->backend_);
  BidirectionalCopyResult result = this->Wait(proxy);
  EXPECT_EQ(result.status.code(), kFailedPrecondition);
  EXPECT_EQ(ErrnoOf(result.status), 0);
}

TYPED_TEST(CopyTest, AClientThatIsGoneNeedNotBeToldTheEnd) {
  auto proxy = this->StartProxy();
  this->EndOf(this->client_);
  std::string request;
  EXPECT_OK(this->Run(AppendUntilEnd(&this->backend_, &request)));
  EXPECT_OK(this->Run(this->client_.Close()));
  this->EndOf(this->backend_);
  EXPECT_OK(this->Wait(proxy).status);
}

TYPED_TEST(CopyTest, GoesOnWithWhatAReaderHasBuffered) {
  this->SendTo(this->client_, "CONNECT backend\nfirst bytes ");
  BufferedReader reader(this->front_);
  EXPECT_THAT(this->Run(reader.ReadUntil("\n", 100)), IsOkAndHolds("CONNECT backend\n"));
  EXPECT_OK(this->Run(reader.FillAtLeast(12)));

  auto copying = this->Start(Copy(reader, this->back_));
  this->SendTo(this->client_, "and more");
  this->EndOf(this->client_);

  IoResult copied = this->Wait(copying);
  EXPECT_OK(copied.status);
  EXPECT_EQ(copied.bytes, 20u);
  EXPECT_THAT(this->ReadCountFrom(this->backend_, 20), IsOkAndHolds("first bytes and more"));
}

TYPED_TEST(CopyTest, GoesThroughABufferedWriterBehindWhatWaits) {
  BufferedWriter writer(this->back_);
  writer.Append("head;");
  auto copying = this->Start(Copy(this->front_, writer));
  this->SendTo(this->client_, "body");
  EXPECT_THAT(this->ReadCountFrom(this->backend_, 9), IsOkAndHolds("head;body"));
  this->EndOf(this->client_);
  IoResult copied = this->Wait(copying);
  EXPECT_OK(copied.status);
  EXPECT_EQ(copied.bytes, 4u);
}

TYPED_TEST(CopyTest, ADuplexJoinsAReaderAndAWriter) {
  this->SendTo(this->client_, "CONNECT backend\nfirst bytes");
  BufferedReader reader(this->front_);
  BufferedWriter writer(this->front_);
  EXPECT_THAT(this->Run(reader.ReadUntil("\n", 100)), IsOkAndHolds("CONNECT backend\n"));
  EXPECT_OK(this->Run(reader.FillAtLeast(11)));
  writer.Append("OK;");
  Duplex front(reader, writer);
  auto proxy = this->Start(CopyBidirectional(front, this->back_));
  EXPECT_THAT(this->ReadCountFrom(this->backend_, 11), IsOkAndHolds("first bytes"));
  this->SendTo(this->backend_, "answer");
  EXPECT_THAT(this->ReadCountFrom(this->client_, 9), IsOkAndHolds("OK;answer"));
  this->EndOf(this->client_);
  this->EndOf(this->backend_);
  BidirectionalCopyResult result = this->Wait(proxy);
  EXPECT_OK(result.status);
  EXPECT_EQ(result.a_to_b, 11u);
  EXPECT_EQ(result.b_to_a, 6u);
  EXPECT_THAT(this->ReadFrom(this->client_), IsOkAndHolds(""));
}

class MixedCopyTest : public SocketConformanceTest {};

TEST_F(MixedCopyTest, StreamsOfDifferentTypes) {
  auto [client, front] = ConnectedPair();
  auto [back, backend] = MakePipe(100);
  Stream any(std::move(back));
  auto proxy = Start(CopyBidirectional(front, any));
  const std::string data = Pattern(50'000);
  auto writing = Start(WriteWhole(&client, data));
  EXPECT_THAT(Run(ReadCount(&backend, data.size())), IsOkAndHolds(data));
  EXPECT_OK(Wait(writing).status);
  EXPECT_OK(Run(client.Close()));
  EXPECT_OK(Run(backend.Close()));
  EXPECT_OK(Wait(proxy).status);
}

static_assert(BufferReader<TcpStream>);
static_assert(AsyncStream<TcpStream> && AsyncStream<UnixStream> && AsyncStream<PipeStream> && AsyncStream<Stream>);
static_assert(AsyncReader<TcpReader> && AsyncWriter<TcpWriter>);
static_assert(TwoWay<Duplex<TcpReader, TcpWriter>> && BufferReader<Duplex<TcpReader, TcpWriter>>);

}  // namespace
}  // namespace tandem::testing
