// SPDX-License-Identifier: Apache-2.0
//
// Writes to a peer that takes little or nothing: the stall timeout, and the writes that are done with some.

#include <string>
#include <utility>

#include "tandem/testing/conformance/tcp_conformance.h"

namespace tandem::testing {
namespace {

class StallTest : public TcpConformanceTest {
 protected:
  // More than the kernel's buffers hold.
  static constexpr size_t kBytes = 32 << 20;

  Instant Clock() { return loop_.shard().reactor().ReadClock(); }
};

// Reads `bytes` bytes.
Task<IoResult> Swallow(TcpStream* stream, size_t bytes) {
  std::string target(bytes, '\0');
  IoResult result = co_await stream->ReadExactly(absl::MakeSpan(target));
  co_return result;
}

Task<absl::Status> SwallowSlowly(TcpStream* stream, size_t bytes, size_t piece, absl::Duration pause) {
  std::string target(piece, '\0');
  for (size_t read = 0; read < bytes; read += piece) {
    const IoResult result = co_await stream->ReadExactly(absl::MakeSpan(target));
    if (!result.ok()) co_return result.status;
    const absl::Status slept = co_await Sleep(pause);
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

TEST_F(StallTest, EndsTheWritesToAPeerThatTakesNothing) {
  auto [client, server] = ConnectedPair();
  client.set_stall_timeout(absl::Milliseconds(100));
  EXPECT_EQ(client.stall_timeout(), absl::Milliseconds(100));
  const Instant start = Clock();
  auto first = Start(WriteAllOf(&client, std::string(kBytes, 'a')));
  auto second = Start(WriteAllOf(&client, "b"));
  const IoResult cut = Wait(first);
  EXPECT_EQ(cut.status.code(), absl::StatusCode::kDeadlineExceeded) << cut.status;
  EXPECT_GT(cut.bytes, 0u);
  EXPECT_LT(cut.bytes, kBytes);
  EXPECT_GE(Clock() - start, absl::Milliseconds(100));
  const IoResult behind = Wait(second);
  EXPECT_EQ(behind.status.code(), absl::StatusCode::kDeadlineExceeded) << behind.status;
  EXPECT_EQ(behind.bytes, 0u);
  // As after any WriteAll that was cut short.
  EXPECT_EQ(Run(client.WriteAll("c")).status.code(), absl::StatusCode::kFailedPrecondition);
  client.Abort();
}

TEST_F(StallTest, IsMeasuredFromTheLastByteThatWasTaken) {
  constexpr absl::Duration kTimeout = absl::Seconds(1);
  auto [client, server] = ConnectedPair();
  client.set_stall_timeout(kTimeout);
  auto write = Start(WriteAllOf(&client, std::string(kBytes, 'a')));
  EXPECT_OK(Run(Sleep(absl::Milliseconds(600))));
  ASSERT_FALSE(write->done());
  const Instant before = Clock();
  EXPECT_OK(Run(Swallow(&server, 8 << 20)).status);
  const IoResult cut = Wait(write);
  EXPECT_EQ(cut.status.code(), absl::StatusCode::kDeadlineExceeded) << cut.status;
  EXPECT_GE(Clock() - before, kTimeout);
  client.Abort();
}

TEST_F(StallTest, ASlowPeerIsNoStall) {
  auto [client, server] = ConnectedPair();
  client.set_stall_timeout(absl::Seconds(1));
  auto read = Start(SwallowSlowly(&server, kBytes, 2 << 20, absl::Milliseconds(80)));
  const Instant start = Clock();
  const IoResult written = Wait(Start(WriteAllOf(&client, std::string(kBytes, 'a'))));
  EXPECT_OK(written.status);
  EXPECT_OK(Wait(read));
  EXPECT_GE(Clock() - start, absl::Seconds(1));
}

TEST_F(StallTest, AStalledWriteThatWantsSomeHasSentNothing) {
  auto [client, server] = ConnectedPair();
  client.set_stall_timeout(absl::Milliseconds(50));
  absl::StatusOr<size_t> count = size_t{1};
  size_t sent = 0;
  const std::string data(kBytes, 'a');
  while (count.ok()) {
    count = Run(client.WriteSome(data));
    if (count.ok()) {
      EXPECT_GT(*count, 0u);
      sent += *count;
    }
  }
  EXPECT_EQ(count.status().code(), absl::StatusCode::kDeadlineExceeded) << count.status();
  // Nothing is torn: writing goes on when there is room.
  client.set_stall_timeout(absl::InfiniteDuration());
  auto rest = Start(WriteSome(&client, "b"));
  EXPECT_OK(Run(Swallow(&server, sent)).status);
  EXPECT_THAT(Wait(rest), IsOkAndHolds(1u));
  client.Abort();
}

// The bytes that need not wait are enough.
TEST_F(StallTest, AWriteThatWantsSomeDoesNotWaitForThePeer) {
  auto [client, server] = ConnectedPair();
  const absl::StatusOr<size_t> count = Run(WriteSome(&client, std::string(kBytes, 'a')));
  ASSERT_OK(count.status());
  EXPECT_GT(*count, 0u);
  EXPECT_LT(*count, kBytes);
  client.Abort();
}

}  // namespace
}  // namespace tandem::testing
