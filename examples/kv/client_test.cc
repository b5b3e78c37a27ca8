// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/kv/client.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/tandem.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::kv {
namespace {

using testing::StatusIs;

// --- Requests and replies as bytes ---

TEST(RequestTest, IsAnArrayOfBulkStrings) {
  EXPECT_EQ(Request("SET", "k", std::string("v\r\n")).wire(), "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nv\r\n\r\n");
  EXPECT_EQ(Request::Of({"PING"}).wire(), Request("PING").wire());
}

// Parses everything, fed in pieces of `piece` bytes.
std::vector<std::string> Parse(absl::string_view bytes, size_t piece) {
  ReplyParser parser;
  std::vector<std::string> replies;
  while (!bytes.empty()) {
    parser.Feed(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
    absl::StatusOr<Reply> reply = parser.Next();
    for (; reply.ok(); reply = parser.Next()) replies.push_back(reply->ToString());
    if (!absl::IsUnavailable(reply.status())) {
      replies.push_back(std::string(reply.status().message()));
      break;
    }
  }
  return replies;
}

TEST(ReplyParserTest, ParsesEveryKindHoweverTheBytesAreCut) {
  constexpr absl::string_view kBytes =
      "+OK\r\n-ERR "
      "no\r\n:-7\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n*3\r\n:1\r\n*1\r\n$1\r\nx\r\n+y\r\n+end\r\n";
  const std::vector<std::string> expected = {"OK",
                                             "(error) ERR no",
                                             "(integer) -7",
                                             "\"a\\r\\nbc\"",
                                             "\"\"",
                                             "(nil)",
                                             "(nil)",
                                             "[]",
                                             "[(integer) 1, [\"x\"], y]",
                                             "end"};
  for (size_t piece = 1; piece <= kBytes.size(); ++piece) EXPECT_EQ(Parse(kBytes, piece), expected) << piece;
}

TEST(ReplyParserTest, GarbageIsAnError) {
  for (const absl::string_view bytes : {"?\r\n", "\r\n", ":x\r\n", "$-2\r\n", "$1\r\nabc", "*999999999999\r\n"}) {
    const std::vector<std::string> parsed = Parse(bytes, 100);
    ASSERT_EQ(parsed.size(), 1u) << bytes;
    EXPECT_TRUE(parsed[0].starts_with("not a RESP2 reply: ")) << parsed[0];
  }
}

// --- The client against a server that is not as it should be ---

// Accepts one connection, sends `bytes`, waits for the client to send something, and closes.
Task<absl::Status> SendAndClose(TcpListener* listener, std::string bytes) {
  absl::StatusOr<TcpStream> stream = co_await listener->Accept();
  if (!stream.ok()) co_return stream.status();
  const absl::StatusOr<Buffer> request = co_await stream->Receive();
  if (!request.ok()) co_return request.status();
  const IoResult sent = co_await stream->WriteAll(bytes);
  co_return sent.status;
}

Task<absl::StatusOr<Reply>> AskOnce(SocketAddress address, Client* kept) {
  absl::StatusOr<Client> client = co_await Client::Connect(address, absl::Seconds(10));
  if (!client.ok()) co_return client.status();
  const Request request("PING");
  absl::StatusOr<Reply> reply = co_await client->Command(request, absl::Seconds(10));
  *kept = *std::move(client);
  co_return reply;
}

Task<absl::Status> AskServerThatSays(std::string bytes) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::LoopbackIpv4(0));
  if (!listener.ok()) co_return listener.status();
  Client client{TcpStream()};
  auto [served, reply] =
      co_await WhenAll(SendAndClose(&*listener, std::move(bytes)), AskOnce(listener->LocalAddress(), &client));
  EXPECT_OK(served);
  if (reply.ok()) co_return absl::OkStatus();
  const Request request("PING");
  const absl::StatusOr<Reply> again = co_await client.Command(request, absl::Seconds(10));
  EXPECT_THAT(again, StatusIs(absl::StatusCode::kFailedPrecondition));
  co_return reply.status();
}

absl::Status AskAfter(std::string bytes) {
  Runtime runtime;
  return runtime.BlockOn(AskServerThatSays(std::move(bytes)));
}

TEST(ClientTest, AReplyIsReturned) { EXPECT_OK(AskAfter("+PONG\r\n")); }

TEST(ClientTest, TheEndBeforeTheReplyIsAnErrorAndBreaksTheClient) {
  EXPECT_THAT(AskAfter("$10\r\nhalf"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(ClientTest, GarbageIsAnErrorAndBreaksTheClient) {
  EXPECT_THAT(AskAfter("hello\r\n"), StatusIs(absl::StatusCode::kInvalidArgument));
}

Task<absl::Status> AskServerThatIsSilent() {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::LoopbackIpv4(0));
  if (!listener.ok()) co_return listener.status();
  absl::StatusOr<Client> client = co_await Client::Connect(listener->LocalAddress(), absl::Seconds(10));
  if (!client.ok()) co_return client.status();
  const Request request("PING");
  const absl::StatusOr<Reply> reply = co_await client->Command(request, absl::Milliseconds(20));
  co_return reply.status();
}

TEST(ClientTest, NoReplyWithinTheTimeoutIsDeadlineExceeded) {
  Runtime runtime;
  EXPECT_THAT(runtime.BlockOn(AskServerThatIsSilent()), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

}  // namespace
}  // namespace tandem::kv
