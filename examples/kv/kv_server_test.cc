// SPDX-License-Identifier: Apache-2.0
//
// The server against clients that are broken, rude or many: each gets a clear answer, the server holds a bounded amount
// of memory for them, and everybody else is served. Runs in every world.

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/examples/kv/client.h"
#include "tandem/examples/kv/server.h"
#include "tandem/examples/kv/server_for_test.h"
#include "tandem/tandem.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::kv {
namespace {

// As a timeout: a slow machine must not cut clients off that a test keeps waiting.
constexpr absl::Duration kNever = absl::ZeroDuration();

// --- Clients ---

Task<absl::StatusOr<std::string>> ReadAll(TcpStream* stream) {
  std::string all;
  const Instant deadline = Now() + kPatience;
  for (;;) {
    const absl::StatusOr<Buffer> chunk = co_await stream->Receive().By(deadline);
    if (!chunk.ok()) co_return chunk.status();
    if (chunk->empty()) co_return all;
    all.append(chunk->view());
  }
}

// Sends `bytes` on a new connection and returns everything that comes back, up to the end of the stream.
Task<absl::StatusOr<std::string>> Exchange(SocketAddress address, std::string bytes) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
  if (!stream.ok()) co_return stream.status();
  const IoResult sent = co_await stream->WriteAll(bytes);
  if (!sent.ok()) co_return sent.status;
  co_return co_await ReadAll(&*stream);
}

// Waits until the clients make the server hold `bytes` or more.
Task<absl::Status> WaitUntilHeld(SocketAddress address, int64_t bytes) {
  const Instant deadline = Now() + kPatience;
  for (;;) {
    const absl::StatusOr<int64_t> held = co_await Info(address, "mem_clients_normal");
    if (!held.ok()) co_return held.status();
    if (*held >= bytes) co_return absl::OkStatus();
    if (Now() > deadline) co_return absl::DeadlineExceededError(absl::StrCat("clients hold no more than ", *held));
    const absl::Status slept = co_await Sleep(absl::Milliseconds(2));
    if (!slept.ok()) co_return slept;
  }
}

Task<absl::StatusOr<TcpStream>> ConnectAndSend(SocketAddress address, std::string bytes) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
  if (!stream.ok()) co_return stream.status();
  const IoResult sent = co_await stream->WriteAll(bytes);
  if (!sent.ok()) co_return sent.status;
  co_return stream;
}

// The server still answers.
Task<absl::Status> ExpectServes(SocketAddress address) {
  const Request request("PING");
  const absl::StatusOr<Reply> reply = co_await Ask(address, request);
  if (!reply.ok()) co_return reply.status();
  EXPECT_EQ(*reply, Reply::String("PONG"));
  co_return absl::OkStatus();
}

// Everybody but the one who asks is forgotten.
Task<absl::Status> ExpectAlone(SocketAddress address) {
  absl::Status status = co_await InfoBecomes(address, "connected_clients", 1);
  if (status.ok()) status = co_await InfoBecomes(address, "mem_clients_normal", 0);
  co_return status;
}

// --- Malformed requests ---

Task<absl::Status> SendMalformedRequests(SocketAddress address) {
  const std::string malformed[] = {"*x\r\n",
                                   "*1\r\n+PING\r\n",
                                   "*2\r\n$4\r\nECHO\r\n:1\r\n",
                                   "*1\r\n$-7\r\n",
                                   "*1\r\n$4\r\nPINGxx",
                                   "SET key \"unbalanced\r\n",
                                   std::string(100'000, 'a'),
                                   absl::StrCat("*", std::string(100, '1'))};
  for (const std::string& bytes : malformed) {
    const absl::StatusOr<std::string> reply = co_await Exchange(address, bytes);
    if (!reply.ok()) co_return reply.status();
    EXPECT_TRUE(absl::StartsWith(*reply, "-ERR Protocol error: ") && absl::EndsWith(*reply, "\r\n"))
        << bytes.substr(0, 40) << " got " << *reply;
    const absl::Status served = co_await ExpectServes(address);
    if (!served.ok()) co_return served;
  }
  const absl::StatusOr<int64_t> errors = co_await Info(address, "protocol_errors");
  if (!errors.ok()) co_return errors.status();
  EXPECT_EQ(*errors, static_cast<int64_t>(std::size(malformed)));
  co_return co_await ExpectAlone(address);
}

TEST(KvServerTest, MalformedRequestsGetAnErrorAndTheEnd) { EXPECT_OK(WithServer(Options(), SendMalformedRequests)); }

Task<absl::Status> SendRequestsBeforeAMalformedOne(SocketAddress address) {
  const absl::StatusOr<std::string> reply = co_await Exchange(address, "PING\r\n*1\r\n$4\r\nPING\r\n*x\r\nPING\r\n");
  if (!reply.ok()) co_return reply.status();
  EXPECT_TRUE(absl::StartsWith(*reply, "+PONG\r\n+PONG\r\n-ERR Protocol error: ")) << *reply;
  EXPECT_EQ(std::count(reply->begin(), reply->end(), '\n'), 3) << *reply;
  co_return absl::OkStatus();
}

TEST(KvServerTest, RequestsBeforeAMalformedOneAreAnswered) {
  EXPECT_OK(WithServer(Options(), SendRequestsBeforeAMalformedOne));
}

// --- Giant lengths ---

Task<absl::Status> SendGiantLengths(SocketAddress address) {
  for (const absl::string_view giant : {"*2147483648\r\n", "*1\r\n$99999999999\r\n", "*1\r\n$600000000\r\n",
                                        "*2\r\n$4\r\nECHO\r\n$18446744073709551615\r\n"}) {
    // The error comes through although the client goes on sending.
    const absl::StatusOr<std::string> reply =
        co_await Exchange(address, absl::StrCat(giant, std::string(size_t{4} << 20, 'x')));
    if (!reply.ok()) co_return reply.status();
    EXPECT_TRUE(absl::StartsWith(*reply, "-ERR Protocol error: ")) << giant << " got " << *reply;
    const absl::Status served = co_await ExpectServes(address);
    if (!served.ok()) co_return served;
  }
  co_return co_await ExpectAlone(address);
}

TEST(KvServerTest, GiantLengthsAreRefusedWhileTheClientSends) {
  EXPECT_OK(WithServer(Options().set_max_request_bytes(size_t{1} << 20), SendGiantLengths));
}

Task<absl::Status> AnnounceMuch(SocketAddress address) {
  constexpr int kClients = 30;
  constexpr size_t kSent = 1000;
  const std::string begun = absl::StrCat("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$30000000\r\n", std::string(kSent, 'x'));
  std::vector<TcpStream> streams;
  for (int i = 0; i < kClients; ++i) {
    absl::StatusOr<TcpStream> stream = co_await ConnectAndSend(address, begun);
    if (!stream.ok()) co_return stream.status();
    streams.push_back(*std::move(stream));
  }
  const absl::Status all_there = co_await WaitUntilHeld(address, kClients * kSent);
  if (!all_there.ok()) co_return all_there;
  const absl::StatusOr<int64_t> bytes = co_await Info(address, "mem_clients_normal");
  if (!bytes.ok()) co_return bytes.status();
  EXPECT_LT(*bytes, 1 << 20);
  co_return co_await ExpectServes(address);
}

TEST(KvServerTest, MemoryFollowsWhatWasSentNotWhatWasAnnounced) { EXPECT_OK(WithServer(Options(), AnnounceMuch)); }

// Whether the connection was cut: the replies that came before do not matter.
Task<absl::Status> ExpectReset(TcpStream* stream) {
  const absl::StatusOr<std::string> rest = co_await ReadAll(stream);
  EXPECT_EQ(ErrnoOf(rest.status()), ECONNRESET) << rest.status();
  co_return absl::OkStatus();
}

Task<absl::Status> SendUnfinishedRequests(SocketAddress address) {
  const std::string begun = absl::StrCat("*2\r\n$4\r\nECHO\r\n$200100\r\n", std::string(200'000, 'x'));
  absl::StatusOr<TcpStream> largest = co_await ConnectAndSend(address, begun);
  if (!largest.ok()) co_return largest.status();
  absl::Status status = co_await WaitUntilHeld(address, 200'000);  // Until the server has got it.
  if (!status.ok()) co_return status;
  // Not one byte of the second request is lost by what becomes of the first.
  const std::string second = absl::StrCat("*2\r\n$4\r\nECHO\r\n$150000\r\n", std::string(150'000, 'y'), "\r\nQUIT\r\n");
  const absl::StatusOr<std::string> reply = co_await Exchange(address, second);
  if (!reply.ok()) co_return reply.status();
  EXPECT_TRUE(*reply == absl::StrCat("$150000\r\n", std::string(150'000, 'y'), "\r\n+OK\r\n")) << reply->size();
  status = co_await ExpectReset(&*largest);
  if (status.ok()) status = co_await InfoBecomes(address, "evicted_clients", 1);
  if (status.ok()) status = co_await ExpectAlone(address);
  co_return status;
}

TEST(KvServerTest, TheLargestUnfinishedRequestIsCutWhenAllTogetherAreTooLarge) {
  EXPECT_OK(WithServer(Options().set_max_client_buffer_bytes(300'000), SendUnfinishedRequests));
}

// --- Connections that say nothing ---

Task<absl::Status> SayNothing(SocketAddress address) {
  absl::StatusOr<TcpStream> silent = co_await TcpStream::Connect(address);
  if (!silent.ok()) co_return silent.status();
  absl::StatusOr<TcpStream> unfinished = co_await TcpStream::Connect(address);
  if (!unfinished.ok()) co_return unfinished.status();
  const IoResult sent = co_await unfinished->WriteAll("*2\r\n$4\r\nECHO\r\n$5\r\nhal");
  if (!sent.ok()) co_return sent.status;
  absl::Status status = co_await InfoBecomes(address, "timed_out_connections", 2);
  if (status.ok()) status = co_await ExpectAlone(address);
  if (!status.ok()) co_return status;
  for (TcpStream* stream : {&*silent, &*unfinished}) {
    const absl::StatusOr<std::string> rest = co_await ReadAll(stream);
    if (!rest.ok()) co_return rest.status();
    EXPECT_EQ(*rest, "");  // A client would take a line for the reply to what it sends just then.
  }
  co_return absl::OkStatus();
}

// A half-open connection, whose peer is gone without a word, looks the same to the server.
TEST(KvServerTest, SilentConnectionsAreClosedAfterTheIdleTimeout) {
  EXPECT_OK(WithServer(Options().set_idle_timeout(absl::Milliseconds(200)), SayNothing));
}

constexpr int kSilentClients = 10'000;
// What a test process may have open: both ends of each connection are here.
int ConnectionsThatFit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kSilentClients;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t fit = (std::min<rlim_t>(limit.rlim_max, 1'000'000) - 200) / 2;
  return static_cast<int>(std::min<rlim_t>(fit, kSilentClients));
}

Task<absl::Status> SayNothingManyTimes(SocketAddress address) {
  std::vector<TcpStream> streams;
  const int count = ConnectionsThatFit();
  for (int i = 0; i < count; ++i) {
    absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
    if (!stream.ok()) co_return stream.status();
    streams.push_back(*std::move(stream));
  }
  absl::Status status = co_await InfoBecomes(address, "connected_clients", count + 1);
  if (status.ok()) status = co_await ExpectServes(address);
  if (status.ok()) status = co_await InfoBecomes(address, "mem_clients_normal", 0);
  streams.clear();
  if (status.ok()) status = co_await ExpectAlone(address);
  co_return status;
}

TEST(KvServerTest, TenThousandSilentConnectionsDisturbNobody) {
  EXPECT_OK(WithServer(Options().set_max_clients(kSilentClients + 10), SayNothingManyTimes));
}

// --- A client that sends without reading ---

// Requests whose replies are as long as they are: `count` of a kibibyte, then a QUIT.
std::string ManyEchoes(int count) {
  std::string wire;
  for (int i = 0; i < count; ++i) {
    std::string text = absl::StrCat(i);
    text.resize(1024, '.');
    absl::StrAppend(&wire, "*2\r\n$4\r\nECHO\r\n$1024\r\n", text, "\r\n");
  }
  return absl::StrCat(wire, "QUIT\r\n");
}
std::string RepliesToManyEchoes(int count) {
  std::string replies;
  for (int i = 0; i < count; ++i) {
    std::string text = absl::StrCat(i);
    text.resize(1024, '.');
    absl::StrAppend(&replies, "$1024\r\n", text, "\r\n");
  }
  return absl::StrCat(replies, "+OK\r\n");
}

// Both ways more than the sockets hold.
constexpr int kManyEchoes = 16'000;

Task<absl::Status> SendEverythingThenRead(SocketAddress address) {
  // A server that does not read while its replies are stuck never lets this return.
  absl::StatusOr<TcpStream> stream = co_await ConnectAndSend(address, ManyEchoes(kManyEchoes));
  if (!stream.ok()) co_return stream.status();
  // What waits is shown, everybody else is served, and no byte is lost.
  const absl::Status held = co_await WaitUntilHeld(address, 1'000'000);
  if (!held.ok()) co_return held;
  const absl::Status served = co_await ExpectServes(address);
  if (!served.ok()) co_return served;
  const absl::StatusOr<std::string> all = co_await ReadAll(&*stream);
  if (!all.ok()) co_return all.status();
  EXPECT_TRUE(*all == RepliesToManyEchoes(kManyEchoes)) << all->size() << " bytes";
  co_return co_await ExpectAlone(address);
}

TEST(KvServerTest, AClientMaySendAllRequestsBeforeItReadsTheFirstReply) {
  EXPECT_OK(WithServer(Options().set_write_timeout(kNever), SendEverythingThenRead));
}

Task<absl::Status> SendBeyondTheLimit(SocketAddress address) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
  if (!stream.ok()) co_return stream.status();
  // It is cut in the middle.
  const IoResult sent = co_await stream->WriteAll(ManyEchoes(kManyEchoes));
  if (sent.ok()) {
    const absl::Status reset = co_await ExpectReset(&*stream);
    if (!reset.ok()) co_return reset;
  }
  absl::Status status = co_await InfoBecomes(address, "client_output_buffer_limit_disconnections", 1);
  if (status.ok()) status = co_await ExpectAlone(address);
  co_return status;
}

TEST(KvServerTest, AClientBeyondItsOutputBufferLimitIsCut) {
  EXPECT_OK(WithServer(Options().set_client_output_buffer_limit(1'000'000), SendBeyondTheLimit));
}

Task<absl::Status> SendTogetherBeyondTheLimit(SocketAddress address) {
  constexpr int64_t kLimit = 8'000'000;
  std::vector<TcpStream> streams;
  for (int i = 0; i < 10; ++i) {
    absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
    if (!stream.ok()) co_return stream.status();
    streams.push_back(*std::move(stream));
    // What is not cut goes on.
    const IoResult sent = co_await streams.back().WriteAll(ManyEchoes(kManyEchoes)).By(Now() + absl::Seconds(1));
    streams.back().AcceptPartial();
    if (!sent.ok() && !absl::IsUnavailable(sent.status) && !absl::IsDeadlineExceeded(sent.status))
      co_return sent.status;
    const absl::StatusOr<int64_t> held = co_await Info(address, "mem_clients_normal");
    if (!held.ok()) co_return held.status();
    EXPECT_LE(*held, 2 * kLimit);  // Those that are cut may not be gone yet.
    const absl::Status served = co_await ExpectServes(address);
    if (!served.ok()) co_return served;
  }
  const absl::StatusOr<int64_t> cut = co_await Info(address, "evicted_clients");
  if (!cut.ok()) co_return cut.status();
  EXPECT_GT(*cut, 0);
  streams.clear();
  co_return co_await ExpectAlone(address);
}

TEST(KvServerTest, ManyClientsThatDoNotReadAreBoundedTogether) {
  EXPECT_OK(WithServer(Options().set_max_client_buffer_bytes(8'000'000), SendTogetherBeyondTheLimit));
}

// The reply of an ECHO is the argument itself: memory that no key accounts for.
Task<absl::Status> LeaveALargeEchoUnread(SocketAddress address) {
  std::string argument;
  argument.resize(30'000'000, 'e');
  const Request echo("ECHO", argument);
  absl::StatusOr<TcpStream> rude = co_await ConnectAndSend(address, echo.wire());
  if (!rude.ok()) co_return rude.status();
  absl::Status status = co_await WaitUntilHeld(address, 30'000'000);  // Until the server has executed it.
  if (!status.ok()) co_return status;
  const Request large("ECHO", std::string(2'000'000, 'x'));
  const absl::StatusOr<Reply> reply = co_await Ask(address, large);
  if (!reply.ok()) co_return reply.status();
  EXPECT_EQ(reply->text.size(), 2'000'000u);
  status = co_await ExpectReset(&*rude);
  if (status.ok()) status = co_await InfoBecomes(address, "evicted_clients", 1);
  if (status.ok()) status = co_await ExpectAlone(address);
  co_return status;
}

TEST(KvServerTest, UnreadRepliesCountTowardsTheLimitOfAllClients) {
  EXPECT_OK(
      WithServer(Options().set_max_client_buffer_bytes(31'000'000).set_write_timeout(kNever), LeaveALargeEchoUnread));
}

Task<absl::Status> LeaveALargeEchoUnreadProtected(SocketAddress address) {
  std::string wire = "CLIENT NO-EVICT on\r\n*2\r\n$4\r\nECHO\r\n$30000000\r\n";
  wire.append(30'000'000, 'e');
  absl::StatusOr<TcpStream> spared = co_await ConnectAndSend(address, wire + "\r\nQUIT\r\n");
  if (!spared.ok()) co_return spared.status();
  const absl::Status held = co_await WaitUntilHeld(address, 30'000'000);
  if (!held.ok()) co_return held;
  // The next largest goes.
  absl::StatusOr<TcpStream> other =
      co_await ConnectAndSend(address, Request("ECHO", std::string(2'000'000, 'x')).wire());
  if (other.ok()) {
    const absl::Status reset = co_await ExpectReset(&*other);
    if (!reset.ok()) co_return reset;
  }
  const absl::StatusOr<std::string> all = co_await ReadAll(&*spared);
  if (!all.ok()) co_return all.status();
  EXPECT_TRUE(absl::EndsWith(*all, "eee\r\n+OK\r\n")) << all->size();
  co_return co_await ExpectAlone(address);
}

TEST(KvServerTest, AClientThatSaysNoEvictIsSpared) {
  EXPECT_OK(WithServer(Options().set_max_client_buffer_bytes(31'000'000).set_write_timeout(kNever),
                       LeaveALargeEchoUnreadProtected));
}

// A short request whose reply is long, and is copied because the value is small: the cheapest way to the server's
// memory. More than the sockets hold.
Task<absl::Status> LeaveLongRepliesUnread(SocketAddress address) {
  const std::string value(10'000, 'v');
  const Request set("SET", "k", value);
  const absl::StatusOr<Reply> stored = co_await Ask(address, set);
  if (!stored.ok()) co_return stored.status();
  std::string mget = "MGET";
  std::string expected = "*2000\r\n";
  for (int i = 0; i < 2000; ++i) {
    mget.append(" k");
    absl::StrAppend(&expected, "$10000\r\n", value, "\r\n");
  }
  std::vector<TcpStream> rude;
  for (int i = 0; i < 3; ++i) {
    absl::StatusOr<TcpStream> stream = co_await ConnectAndSend(address, absl::StrCat(mget, "\r\nQUIT\r\n"));
    if (!stream.ok()) co_return stream.status();
    rude.push_back(*std::move(stream));
    const absl::Status held = co_await WaitUntilHeld(address, std::min(i + 1, 2) * int64_t{20'000'000});
    if (!held.ok()) co_return held;
  }
  // Two fit.
  const absl::Status evicted = co_await InfoBecomes(address, "evicted_clients", 1);
  if (!evicted.ok()) co_return evicted;
  int cut = 0;
  for (TcpStream& stream : rude) {
    const absl::StatusOr<std::string> all = co_await ReadAll(&stream);
    if (ErrnoOf(all.status()) == ECONNRESET) {
      ++cut;
      continue;
    }
    if (!all.ok()) co_return all.status();
    EXPECT_TRUE(*all == absl::StrCat(expected, "+OK\r\n")) << all->size() << " bytes";
  }
  EXPECT_EQ(cut, 1);
  co_return co_await ExpectAlone(address);
}

TEST(KvServerTest, UnreadRepliesOfAllClientsAreLimited) {
  EXPECT_OK(
      WithServer(Options().set_max_client_buffer_bytes(45'000'000).set_write_timeout(kNever), LeaveLongRepliesUnread));
}

// A large value is sent from the store's own memory. Replaced meanwhile, it is nobody's but the reply's.
Task<absl::Status> ReplaceValuesThatAreBeingSent(SocketAddress address) {
  std::string value;
  value.resize(20'000'000, 'v');
  const Request set("SET", "k", value);
  std::vector<TcpStream> rude;
  for (int i = 0; i < 2; ++i) {
    const absl::StatusOr<Reply> stored = co_await Ask(address, set);
    if (!stored.ok()) co_return stored.status();
    EXPECT_EQ(*stored, Reply::String("OK"));
    absl::StatusOr<TcpStream> stream = co_await ConnectAndSend(address, "GET k\r\n");
    if (!stream.ok()) co_return stream.status();
    // So that the server has executed it.
    const absl::StatusOr<Buffer> first = co_await stream->Receive();
    if (!first.ok()) co_return first.status();
    rude.push_back(*std::move(stream));
  }
  const absl::Status held = co_await WaitUntilHeld(address, 20'000'000);
  if (!held.ok()) co_return held;
  // A third one does not fit together with both. That is told, and the third one passes.
  for (int i = 0; i < 2; ++i) {
    const absl::StatusOr<Reply> stored = co_await Ask(address, set);
    if (!stored.ok()) co_return stored.status();
    EXPECT_EQ(*stored, Reply::String("OK"));
  }
  absl::Status status = co_await InfoBecomes(address, "evicted_clients", 1);
  if (!status.ok()) co_return status;
  rude.clear();
  co_return co_await ExpectAlone(address);
}

TEST(KvServerTest, ReplacedValuesThatAreStillSentCountTowardsTheLimitOfAllClients) {
  EXPECT_OK(WithServer(Options().set_max_client_buffer_bytes(45'000'000).set_write_timeout(kNever),
                       ReplaceValuesThatAreBeingSent));
}

Task<absl::Status> NeverRead(SocketAddress address) {
  constexpr int kRude = 20;
  constexpr int kRequests = 600;
  const Request set("SET", "large", std::string(10'000, 'l'));
  const absl::StatusOr<Reply> stored = co_await Ask(address, set);
  if (!stored.ok()) co_return stored.status();
  const Request get("GET", "large");
  std::string wire;
  for (int i = 0; i < kRequests; ++i) wire.append(get.wire());
  std::vector<TcpStream> streams;
  for (int i = 0; i < kRude; ++i) {
    absl::StatusOr<TcpStream> stream = co_await ConnectAndSend(address, wire);
    if (!stream.ok()) co_return stream.status();
    streams.push_back(*std::move(stream));
  }
  absl::Status status = co_await InfoBecomes(address, "timed_out_connections", kRude);
  if (status.ok()) status = co_await ExpectAlone(address);
  co_return status;
}

TEST(KvServerTest, ClientsThatNeverReadAreCutOff) {
  EXPECT_OK(WithServer(Options().set_write_timeout(absl::Milliseconds(500)), NeverRead));
}

// The bytes of a reply count as they go, not when the last one has gone.
Task<absl::Status> AskForMuchAndReadLittle(SocketAddress address) {
  constexpr int64_t kLargestInfo = 4000;  // The replies to the questions below count as well.
  const Request set("SET", "large", std::string(size_t{16} << 20, 'l'));
  const absl::StatusOr<Reply> stored = co_await Ask(address, set);
  if (!stored.ok()) co_return stored.status();
  const absl::StatusOr<TcpStream> stream = co_await ConnectAndSend(address, "GET large\r\n");
  if (!stream.ok()) co_return stream.status();
  const Instant deadline = Now() + kPatience;
  for (int64_t questions = 0;; ++questions) {
    const absl::StatusOr<int64_t> sent = co_await Info(address, "total_net_output_bytes");
    if (!sent.ok()) co_return sent.status();
    if (*sent > 60'000 + questions * kLargestInfo) co_return absl::OkStatus();
    if (Now() > deadline) co_return absl::DeadlineExceededError(absl::StrCat(*sent, " bytes"));
    const absl::Status slept = co_await Sleep(absl::Milliseconds(5));
    if (!slept.ok()) co_return slept;
  }
}

TEST(KvServerTest, SentBytesCountWhileAReplyIsBeingSent) {
  EXPECT_OK(WithServer(Options().set_write_timeout(kNever), AskForMuchAndReadLittle));
}

Task<absl::Status> ReadTooLate(SocketAddress address) {
  const Request set("SET", "large", std::string(size_t{8} << 20, 'l'));
  const absl::StatusOr<Reply> stored = co_await Ask(address, set);
  if (!stored.ok()) co_return stored.status();
  std::string wire;
  for (int i = 0; i < 4; ++i) wire.append("GET large\r\n");
  absl::StatusOr<TcpStream> late = co_await ConnectAndSend(address, wire);
  if (!late.ok()) co_return late.status();
  absl::Status status = co_await InfoBecomes(address, "timed_out_connections", 1);
  if (status.ok()) status = co_await ExpectAlone(address);
  if (!status.ok()) co_return status;
  const absl::StatusOr<std::string> rest = co_await ReadAll(&*late);
  EXPECT_EQ(ErrnoOf(rest.status()), ECONNRESET) << rest.status();
  co_return absl::OkStatus();
}

// The kernel would go on holding megabytes for it otherwise, and the end would look like a whole reply's.
TEST(KvServerTest, AClientThatTakesNothingIsReset) {
  EXPECT_OK(WithServer(Options().set_write_timeout(absl::Milliseconds(500)), ReadTooLate));
}

Task<absl::Status> ReadSlowly(SocketAddress address) {
  const std::string large(size_t{8} << 20, 'l');
  const Request set("SET", "large", large);
  const absl::StatusOr<Reply> stored = co_await Ask(address, set);
  if (!stored.ok()) co_return stored.status();
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
  if (!stream.ok()) co_return stream.status();
  const IoResult sent = co_await stream->WriteAll("GET large\r\nPING\r\n");
  if (!sent.ok()) co_return sent.status;
  const std::string expected = absl::StrCat("$", large.size(), "\r\n", large, "\r\n+PONG\r\n");
  std::string all;
  while (all.size() < expected.size()) {
    const absl::StatusOr<Buffer> chunk = co_await stream->Receive();
    if (!chunk.ok()) co_return chunk.status();
    if (chunk->empty()) break;
    const size_t before = all.size();
    all.append(chunk->view());
    // A pause after each megabyte.
    if ((before >> 20) == (all.size() >> 20)) continue;
    const absl::Status slept = co_await Sleep(absl::Milliseconds(60));
    if (!slept.ok()) co_return slept;
  }
  EXPECT_TRUE(all == expected) << all.size() << " bytes of " << expected.size();
  co_return absl::OkStatus();
}

// Each pause is shorter than the timeout, all together are longer.
TEST(KvServerTest, AClientThatReadsSlowlyGetsEverything) {
  EXPECT_OK(WithServer(Options().set_write_timeout(absl::Milliseconds(300)), ReadSlowly));
}

// --- What one client says about others ---

Task<absl::Status> KillOthers(SocketAddress address) {
  absl::StatusOr<Client> client = co_await Client::Connect(address, kPatience);
  if (!client.ok()) co_return client.status();
  absl::StatusOr<TcpStream> silent = co_await ConnectAndSend(address, "CLIENT ID\r\n");
  if (!silent.ok()) co_return silent.status();
  absl::StatusOr<Buffer> id = co_await silent->Receive();
  if (!id.ok()) co_return id.status();
  std::string large;
  large.resize(30'000'000, 'l');
  const Request get("SET", "large", large);
  const absl::StatusOr<Reply> stored = co_await client->Command(get, kPatience);
  if (!stored.ok()) co_return stored.status();
  absl::StatusOr<TcpStream> busy = co_await ConnectAndSend(address, "CLIENT SETNAME busy\r\nGET large\r\n");
  if (!busy.ok()) co_return busy.status();
  const absl::StatusOr<Buffer> first = co_await busy->Receive();
  if (!first.ok()) co_return first.status();

  const Request list("CLIENT", "LIST");
  const absl::StatusOr<Reply> listed = co_await client->Command(list, kPatience);
  if (!listed.ok()) co_return listed.status();
  EXPECT_EQ(std::count(listed->text.begin(), listed->text.end(), '\n'), 3) << listed->text;
  EXPECT_TRUE(absl::StrContains(listed->text, absl::StrCat("addr=", silent->LocalAddress()->ToString(),
                                                           " laddr=", address.ToString(), " name= ")))
      << listed->text;
  EXPECT_TRUE(absl::StrContains(listed->text, " name=busy ")) << listed->text;

  const Request kill_silent("CLIENT", "KILL", silent->LocalAddress()->ToString());
  const Request kill_others("CLIENT", "KILL", "TYPE", "normal");
  absl::StatusOr<Reply> killed = co_await client->Command(kill_silent, kPatience);
  if (!killed.ok()) co_return killed.status();
  EXPECT_EQ(*killed, Reply::String("OK"));
  const absl::StatusOr<std::string> rest = co_await ReadAll(&*silent);
  if (!rest.ok()) co_return rest.status();
  EXPECT_EQ(*rest, "");
  killed = co_await client->Command(kill_others, kPatience);
  if (!killed.ok()) co_return killed.status();
  EXPECT_GE(killed->integer, 1);
  absl::Status status = co_await ExpectReset(&*busy);
  if (!status.ok()) co_return status;

  const Request kill_me("CLIENT", "KILL", "USER", "default", "SKIPME", "no");
  killed = co_await client->Command(kill_me, kPatience);
  if (!killed.ok()) co_return killed.status();
  EXPECT_GE(killed->integer, 1);
  const absl::StatusOr<std::string> end = co_await ReadAll(&client->stream());
  if (!end.ok()) co_return end.status();
  EXPECT_EQ(*end, "");
  co_return co_await ExpectAlone(address);
}

TEST(KvServerTest, ClientKillEndsConnectionsWhateverTheyDo) {
  EXPECT_OK(WithServer(Options().set_write_timeout(kNever).set_idle_timeout(kNever), KillOthers));
}

Task<absl::Status> ShortenTheIdleTimeout(SocketAddress address) {
  absl::StatusOr<TcpStream> silent = co_await ConnectAndSend(address, "PING\r\n");
  if (!silent.ok()) co_return silent.status();
  const absl::StatusOr<Buffer> pong = co_await silent->Receive();
  if (!pong.ok()) co_return pong.status();
  const Request shorten("CONFIG", "SET", "timeout", "1");
  const absl::StatusOr<Reply> set = co_await Ask(address, shorten);
  if (!set.ok()) co_return set.status();
  EXPECT_EQ(*set, Reply::String("OK"));
  const absl::StatusOr<std::string> rest = co_await ReadAll(&*silent);
  if (!rest.ok()) co_return rest.status();
  EXPECT_EQ(*rest, "");
  co_return absl::OkStatus();
}

TEST(KvServerTest, AnIdleTimeoutThatIsSetLaterHoldsForThoseWhoWait) {
  EXPECT_OK(WithServer(Options().set_idle_timeout(kNever), ShortenTheIdleTimeout));
}

Task<absl::Status> SpeakResp3(SocketAddress address) {
  const absl::StatusOr<std::string> all =
      co_await Exchange(address, "GET k\r\nHELLO 3\r\nGET k\r\nMGET k k\r\nRESET\r\nGET k\r\nQUIT\r\n");
  if (!all.ok()) co_return all.status();
  EXPECT_TRUE(absl::StartsWith(*all, "$-1\r\n%7\r\n$6\r\nserver\r\n")) << *all;
  EXPECT_TRUE(absl::EndsWith(*all, "*0\r\n_\r\n*2\r\n_\r\n_\r\n+RESET\r\n$-1\r\n+OK\r\n")) << *all;
  co_return absl::OkStatus();
}

TEST(KvServerTest, HelloSwitchesToResp3) { EXPECT_OK(WithServer(Options(), SpeakResp3)); }

// --- Too many clients ---

Task<absl::Status> ComeInGreatNumber(SocketAddress address) {
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) {
    absl::StatusOr<Client> client = co_await Client::Connect(address, kPatience);
    if (!client.ok()) co_return client.status();
    clients.push_back(*std::move(client));
  }
  const Request ping("PING");
  for (Client& client : clients) {
    const absl::StatusOr<Reply> reply = co_await client.Command(ping, kPatience);
    if (!reply.ok()) co_return reply.status();
    EXPECT_EQ(*reply, Reply::String("PONG"));
  }
  const absl::StatusOr<std::string> refused = co_await Exchange(address, "PING\r\n");
  if (!refused.ok()) co_return refused.status();
  EXPECT_EQ(*refused, "-ERR max number of clients reached\r\n");
  clients.pop_back();
  // There is room again as soon as the server has noticed.
  for (;;) {
    const absl::StatusOr<Reply> reply = co_await Ask(address, ping);
    if (!reply.ok()) co_return reply.status();
    if (!reply->is_error()) break;
  }
  co_return absl::OkStatus();
}

TEST(KvServerTest, ClientsBeyondTheLimitGetAnError) {
  EXPECT_OK(WithServer(Options().set_max_clients(3), ComeInGreatNumber));
}

// --- What good clients do ---

Task<absl::Status> SendLargeValue(SocketAddress address) {
  std::string large(size_t{16} << 20, '\0');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 7 + i / 251);
  absl::StatusOr<Client> client = co_await Client::Connect(address, kPatience);
  if (!client.ok()) co_return client.status();
  std::vector<Request> requests;
  requests.push_back(Request("SET", "large", large));
  requests.push_back(Request("GET", "large"));
  requests.push_back(Request("STRLEN", "large"));
  requests.push_back(Request("MGET", "large", "none", "large"));
  const absl::StatusOr<std::vector<Reply>> replies = co_await client->Pipeline(std::move(requests), kPatience);
  if (!replies.ok()) co_return replies.status();
  EXPECT_EQ((*replies)[0], Reply::String("OK"));
  EXPECT_TRUE((*replies)[1].text == large);
  EXPECT_EQ((*replies)[2], Reply::Integer(static_cast<int64_t>(large.size())));
  EXPECT_TRUE((*replies)[3].elements[0].text == large && (*replies)[3].elements[2].text == large);
  EXPECT_TRUE((*replies)[3].elements[1].is_null());
  co_return absl::OkStatus();
}

TEST(KvServerTest, LargeValuesComeBackWhole) { EXPECT_OK(WithServer(Options(), SendLargeValue)); }

Task<absl::Status> SendThenEnd(SocketAddress address) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
  if (!stream.ok()) co_return stream.status();
  std::string wire;
  std::string expected;
  for (int i = 0; i < 5000; ++i) {
    absl::StrAppend(&wire, "ECHO ", i, "\r\n");
    const std::string text = absl::StrCat(i);
    absl::StrAppend(&expected, "$", text.size(), "\r\n", text, "\r\n");
  }
  const IoResult sent = co_await stream->WriteAll(wire);
  if (!sent.ok()) co_return sent.status;
  const absl::Status ended = co_await stream->ShutdownWrite();
  if (!ended.ok()) co_return ended;
  const absl::StatusOr<std::string> all = co_await ReadAll(&*stream);
  if (!all.ok()) co_return all.status();
  EXPECT_TRUE(*all == expected);
  co_return absl::OkStatus();
}

TEST(KvServerTest, APipelineIsAnsweredInOrderAfterItsSenderHasEnded) { EXPECT_OK(WithServer(Options(), SendThenEnd)); }

Task<absl::Status> Quit(SocketAddress address) {
  const absl::StatusOr<std::string> all = co_await Exchange(address, "PING\r\nQUIT\r\nPING\r\n");
  if (!all.ok()) co_return all.status();
  EXPECT_EQ(*all, "+PONG\r\n+OK\r\n");
  co_return co_await ExpectAlone(address);
}

TEST(KvServerTest, QuitAnswersAndCloses) { EXPECT_OK(WithServer(Options(), Quit)); }

Task<absl::Status> LetKeysExpire(SocketAddress address) {
  absl::StatusOr<Client> client = co_await Client::Connect(address, kPatience);
  if (!client.ok()) co_return client.status();
  std::vector<Request> requests;
  for (int i = 0; i < 5000; ++i) requests.push_back(Request("SET", absl::StrCat("key", i), "v", "PX", "50"));
  requests.push_back(Request("SET", "stays", "v", "EX", "10000"));
  const absl::StatusOr<std::vector<Reply>> replies = co_await client->Pipeline(std::move(requests), kPatience);
  if (!replies.ok()) co_return replies.status();
  const Request count("DBSIZE");  // Looks no key up.
  for (;;) {
    const absl::StatusOr<Reply> size = co_await client->Command(count, kPatience);
    if (!size.ok()) co_return size.status();
    if (size->integer == 1) break;
    const absl::Status slept = co_await Sleep(absl::Milliseconds(20));
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

TEST(KvServerTest, KeysThatNobodyLooksUpExpire) { EXPECT_OK(WithServer(Options(), LetKeysExpire)); }

// --- The end ---

Task<absl::Status> Shutdown(SocketAddress address) {
  const absl::StatusOr<std::string> all = co_await Exchange(address, "PING\r\nSHUTDOWN NOSAVE\r\nPING\r\n");
  if (!all.ok()) co_return all.status();
  EXPECT_EQ(*all, "+PONG\r\n");
  // Nobody listens any more, or will in a moment.
  for (;;) {
    const absl::Status status = co_await ExpectServes(address);
    if (!status.ok()) co_return absl::OkStatus();
  }
}

TEST(KvServerTest, ShutdownEndsTheServerWell) { EXPECT_OK(WithServer(Options(), Shutdown)); }

Task<absl::Status> ServeIn(CancelScope* scope, TcpListener listener) {
  const Options options;
  const absl::Status status = co_await scope->Run(Serve(std::move(listener), options));
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  co_return absl::OkStatus();
}

Task<absl::Status> StopWhileReplying(CancelScope* scope, SocketAddress address) {
  const std::string large(size_t{16} << 20, 'l');
  const Request set("SET", "large", large);
  const absl::StatusOr<Reply> stored = co_await Ask(address, set);
  if (!stored.ok()) co_return stored.status();
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
  if (!stream.ok()) co_return stream.status();
  // More than the sockets hold, and requests that follow.
  std::string wire = "GET large\r\n";
  for (int i = 0; i < 10'000; ++i) wire.append("PING\r\n");
  const IoResult sent = co_await stream->WriteAll(wire);
  if (!sent.ok()) co_return sent.status;
  absl::StatusOr<Buffer> first = co_await stream->Receive();
  if (!first.ok()) co_return first.status();
  scope->Cancel();
  std::string all(first->view());
  first->Reset();
  const absl::StatusOr<std::string> rest = co_await ReadAll(&*stream);
  if (!rest.ok()) co_return rest.status();
  all.append(*rest);
  const std::string reply = absl::StrCat("$", large.size(), "\r\n", large, "\r\n");
  EXPECT_TRUE(absl::StartsWith(all, reply)) << all.size() << " bytes of " << reply.size();
  co_return absl::OkStatus();
}

// Keeps sending until the connection ends: nobody reads it.
Task<absl::Status> GoOnSending(TcpStream* stream) {
  const std::string pings = "PING\r\nPING\r\nPING\r\nPING\r\n";
  for (;;) {
    const IoResult sent = co_await stream->WriteAll(pings);
    if (!sent.ok()) co_return absl::OkStatus();
    const absl::Status slept = co_await Sleep(absl::Milliseconds(1));
    if (!slept.ok()) co_return slept;
  }
}

// As the reply arrives, slowly: in the end most of it is in the kernel's hands, and the server has nothing to send.
Task<absl::Status> ReadSlowlyToTheEnd(CancelScope* scope, TcpStream* stream, size_t size) {
  std::string all;
  while (all.size() < size) {
    const absl::StatusOr<Buffer> chunk = co_await stream->Receive();
    if (!chunk.ok()) {
      ADD_FAILURE() << "after " << all.size() << " bytes of " << size << ": " << chunk.status();
      break;
    }
    if (all.empty()) scope->Cancel();
    if (chunk->empty()) break;
    const bool pause = all.size() / 300'000 != (all.size() + chunk->size()) / 300'000;
    all.append(chunk->view());
    if (!pause) continue;
    const absl::Status slept = co_await Sleep(absl::Milliseconds(10));
    if (!slept.ok()) co_return slept;
  }
  EXPECT_GE(all.size(), size);
  stream->Abort();  // Ends GoOnSending().
  co_return absl::OkStatus();
}

Task<absl::Status> StopWhileTheClientKeepsSending(CancelScope* scope, SocketAddress address) {
  const std::string large(3'000'000, 'l');
  const Request set("SET", "large", large);
  const absl::StatusOr<Reply> stored = co_await Ask(address, set);
  if (!stored.ok()) co_return stored.status();
  absl::StatusOr<TcpStream> stream = co_await ConnectAndSend(address, "GET large\r\n");
  if (!stream.ok()) co_return stream.status();
  const std::tuple<absl::Status, absl::Status> done =
      co_await WhenAll(GoOnSending(&*stream), ReadSlowlyToTheEnd(scope, &*stream, large.size() + 12));
  co_return std::get<1>(done);
}

using StopBody = Task<absl::Status> (*)(CancelScope* scope, SocketAddress address);

Task<absl::Status> StopUnderLoad(StopBody stop_body) {
  Options options;
  options.set_address(SocketAddress::LoopbackIpv4(0));
  absl::StatusOr<TcpListener> listener = Listen(options);
  if (!listener.ok()) co_return listener.status();
  CancelScope scope;
  auto body = [&scope, &listener, stop_body](TaskGroup& group) {
    const SocketAddress address = listener->LocalAddress();
    group.Spawn(ServeIn, &scope, *std::move(listener));
    return stop_body(&scope, address);
  };
  co_return co_await WithTaskGroup(body);
}

TEST(KvServerTest, AServerThatIsStoppedSendsTheRepliesOfWhatItExecuted) {
  Runtime runtime;
  EXPECT_OK(runtime.BlockOn(StopUnderLoad(StopWhileReplying)));
}

TEST(KvServerTest, AServerThatIsStoppedSendsThemToAClientThatKeepsSending) {
  Runtime runtime;
  EXPECT_OK(runtime.BlockOn(StopUnderLoad(StopWhileTheClientKeepsSending)));
}

}  // namespace
}  // namespace tandem::kv
