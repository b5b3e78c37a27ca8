// SPDX-License-Identifier: Apache-2.0
//
// When the server's timeouts pass, by the clock of a simulated world: no machine is too slow for it.

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/examples/kv/client.h"
#include "tandem/examples/kv/server.h"
#include "tandem/examples/kv/server_for_test.h"
#include "tandem/tandem.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::kv {
namespace {

// How often a test looks, and so how exactly it knows.
constexpr absl::Duration kStep = absl::Milliseconds(10);

// Connects and asks for `count` times 8 MiB.
Task<absl::StatusOr<TcpStream>> AskForLargeReplies(SocketAddress address, int count) {
  const Request set("SET", "large", std::string(size_t{8} << 20, 'l'));
  const absl::StatusOr<Reply> stored = co_await Ask(address, set);
  if (!stored.ok()) co_return stored.status();
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
  if (!stream.ok()) co_return stream.status();
  std::string wire;
  for (int i = 0; i < count; ++i) wire.append("GET large\r\n");
  const IoResult sent = co_await stream->WriteAll(wire);
  if (!sent.ok()) co_return sent.status;
  co_return stream;
}

// Looks at the server until it has closed a connection for a timeout. Returns how long before that its kernel took the
// last byte. Nobody reads, so that is soon: a server that tells of it later would deceive this clock.
Task<absl::StatusOr<absl::Duration>> TimeFromLastByteToCut(SocketAddress address) {
  absl::StatusOr<Client> client = co_await Client::Connect(address, kPatience);
  if (!client.ok()) co_return client.status();
  int64_t sent_before = -1;
  const Instant begin = Now();
  Instant last_byte = begin;
  for (;;) {
    const absl::StatusOr<int64_t> sent = co_await InfoOn(&*client, "total_net_output_bytes");
    const absl::StatusOr<int64_t> cut = co_await InfoOn(&*client, "timed_out_connections");
    if (!sent.ok()) co_return sent.status();
    if (!cut.ok()) co_return cut.status();
    // Some hundred bytes a look are the replies to these questions.
    if (*sent > sent_before + 5000) last_byte = Now();
    if (*cut > 0) {
      EXPECT_LE(last_byte - begin, 3 * kStep);
      co_return Now() - last_byte;
    }
    sent_before = *sent;
    const absl::Status slept = co_await Sleep(kStep);
    if (!slept.ok()) co_return slept;
  }
}

constexpr absl::Duration kWriteTimeout = absl::Seconds(3);

Task<absl::Status> TakeNothing(SocketAddress address) {
  const absl::StatusOr<TcpStream> stream = co_await AskForLargeReplies(address, 4);
  if (!stream.ok()) co_return stream.status();
  const absl::StatusOr<absl::Duration> time = co_await TimeFromLastByteToCut(address);
  if (!time.ok()) co_return time.status();
  EXPECT_GE(*time, kWriteTimeout - 3 * kStep);
  EXPECT_LE(*time, kWriteTimeout + 3 * kStep);
  co_return absl::OkStatus();
}

TEST(ServerTimeTest, TheWriteTimeoutCountsFromTheLastByteThatTheKernelTook) {
  EXPECT_OK(WithServer(Options().set_write_timeout(kWriteTimeout), TakeNothing));
}

// Reads `size` bytes, with a pause after each `step` of them but the last.
Task<absl::Status> ReadWithPauses(TcpStream* stream, size_t size, size_t step, absl::Duration pause) {
  size_t got = 0;
  while (got < size) {
    const absl::StatusOr<Buffer> chunk = co_await stream->Receive();
    if (!chunk.ok()) co_return chunk.status();
    if (chunk->empty()) co_return absl::UnavailableError(absl::StrCat("the end after ", got, " bytes"));
    const bool at_step = got / step != (got + chunk->size()) / step;
    got += chunk->size();
    if (!at_step || got >= size) continue;
    const absl::Status slept = co_await Sleep(pause);
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> TakeALittleThenNothing(SocketAddress address) {
  absl::StatusOr<TcpStream> stream = co_await AskForLargeReplies(address, 4);
  if (!stream.ok()) co_return stream.status();
  // Each pause is shorter than the timeout, all together are longer.
  const absl::Status read = co_await ReadWithPauses(&*stream, size_t{8} << 20, size_t{2} << 20, kWriteTimeout * 2 / 3);
  if (!read.ok()) co_return read;
  const absl::StatusOr<absl::Duration> time = co_await TimeFromLastByteToCut(address);
  if (!time.ok()) co_return time.status();
  EXPECT_GE(*time, kWriteTimeout - 3 * kStep);
  EXPECT_LE(*time, kWriteTimeout + 3 * kStep);
  co_return absl::OkStatus();
}

TEST(ServerTimeTest, AByteNowAndThenStartsTheWriteTimeoutAnew) {
  EXPECT_OK(WithServer(Options().set_write_timeout(kWriteTimeout), TakeALittleThenNothing));
}

constexpr absl::Duration kIdleTimeout = absl::Seconds(2);

Task<absl::Status> BeSilent(SocketAddress address) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
  if (!stream.ok()) co_return stream.status();
  for (int i = 0; i < 3; ++i) {
    const IoResult sent = co_await stream->WriteAll("PING\r\n");
    if (!sent.ok()) co_return sent.status;
    const absl::StatusOr<Buffer> pong = co_await stream->Receive();
    if (!pong.ok()) co_return pong.status();
    EXPECT_EQ(pong->view(), "+PONG\r\n");
    if (i == 2) break;
    const absl::Status slept = co_await Sleep(kIdleTimeout - kStep);
    if (!slept.ok()) co_return slept;
  }
  const Instant last = Now();
  const absl::StatusOr<Buffer> end = co_await stream->Receive();
  if (!end.ok()) co_return end.status();
  EXPECT_EQ(end->view(), "");
  EXPECT_GE(Now() - last, kIdleTimeout - kStep);
  EXPECT_LE(Now() - last, kIdleTimeout + kStep);
  co_return absl::OkStatus();
}

TEST(ServerTimeTest, TheIdleTimeoutCountsFromTheLastRequest) {
  EXPECT_OK(WithServer(Options().set_idle_timeout(kIdleTimeout), BeSilent));
}

Task<absl::Status> ReadForLong(SocketAddress address) {
  absl::StatusOr<TcpStream> stream = co_await AskForLargeReplies(address, 8);
  if (!stream.ok()) co_return stream.status();
  const Instant begin = Now();
  // In steps that make room in the kernel's buffers each time.
  const absl::Status read = co_await ReadWithPauses(&*stream, size_t{64} << 20, size_t{2} << 20, kIdleTimeout / 5);
  EXPECT_GT(Now() - begin, 3 * kIdleTimeout);
  co_return read;
}

TEST(ServerTimeTest, AClientThatTakesItsRepliesIsNotIdle) {
  EXPECT_OK(WithServer(Options().set_idle_timeout(kIdleTimeout), ReadForLong));
}

Task<absl::Status> ServeUntilCancelled(CancelScope* scope, TcpListener listener, Options options) {
  const absl::Status status = co_await scope->Run(Serve(std::move(listener), options));
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  co_return absl::OkStatus();
}

Task<absl::Status> AskAndStop(CancelScope* scope, SocketAddress address, Instant* stopped) {
  const absl::StatusOr<TcpStream> stream = co_await AskForLargeReplies(address, 4);
  if (!stream.ok()) co_return stream.status();
  const absl::Status slept = co_await Sleep(absl::Seconds(1));
  if (!slept.ok()) co_return slept;
  *stopped = Now();
  scope->Cancel();
  // It stays connected for longer than the server waits.
  co_return co_await Sleep(absl::Minutes(1));
}

Task<absl::Status> ServeAndNoteTheEnd(CancelScope* scope, TcpListener listener, Options options, Instant* ended) {
  const absl::Status status = co_await ServeUntilCancelled(scope, std::move(listener), options);
  *ended = Now();
  co_return status;
}

Task<absl::StatusOr<absl::Duration>> TimeToStop(Options options) {
  options.set_address(SocketAddress::LoopbackIpv4(0));
  absl::StatusOr<TcpListener> listener = Listen(options);
  if (!listener.ok()) co_return listener.status();
  CancelScope scope;
  Instant stopped;
  Instant ended;
  auto body = [&](TaskGroup& group) {
    const SocketAddress address = listener->LocalAddress();
    group.Spawn(ServeAndNoteTheEnd, &scope, *std::move(listener), options, &ended);
    return AskAndStop(&scope, address, &stopped);
  };
  const absl::Status status = co_await WithTaskGroup(body);
  if (!status.ok()) co_return status;
  co_return ended - stopped;
}

// A client that reads nothing holds up the end of the server, but for no longer than it was told.
TEST(ServerTimeTest, TheShutdownTimeoutEndsWhatIsNotTaken) {
  Runtime runtime;
  Options options;
  options.set_shutdown_timeout(absl::Seconds(4));
  const absl::StatusOr<absl::Duration> time = runtime.BlockOn(TimeToStop(options));
  ASSERT_OK(time.status());
  EXPECT_GE(*time, absl::Seconds(4));
  EXPECT_LE(*time, absl::Seconds(5));
}

}  // namespace
}  // namespace tandem::kv
