// SPDX-License-Identifier: Apache-2.0
//
// In the steady state an echo server allocates nothing for a message, and neither does its client.

#include <string>
#include <utility>

#include "tandem/core/io/buffer.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/malloc_count.h"

namespace tandem::testing {
namespace {

// Long enough for a receive to use up its byte budget and be armed again.
constexpr int kWarmUp = 5000;
constexpr int kMessages = 10'000;

class EchoMallocTest : public SocketConformanceTest {};

Task<void> EchoByReceive(TcpListener listener) {
  absl::StatusOr<TcpStream> stream = co_await listener.Accept();
  while (stream.ok()) {
    absl::StatusOr<Buffer> buffer = co_await stream->Receive();
    if (!buffer.ok() || buffer->empty()) co_return;
    const IoResult written = co_await stream->WriteAll(*std::move(buffer));
    if (!written.ok()) co_return;
  }
}

// One frame for each message, as a server has that is written in functions.
Task<absl::StatusOr<size_t>> EchoOne(TcpStream* stream) {
  char data[256];
  absl::StatusOr<size_t> count = co_await stream->Read(absl::MakeSpan(data));
  if (!count.ok() || *count == 0) co_return count;
  const IoResult written = co_await stream->WriteAll(absl::string_view(data, *count));
  if (!written.ok()) co_return written.status;
  co_return written.bytes;
}

Task<void> EchoByRead(TcpListener listener) {
  absl::StatusOr<TcpStream> stream = co_await listener.Accept();
  while (stream.ok()) {
    absl::StatusOr<size_t> count = co_await WithTimeout(absl::Minutes(1), EchoOne(&*stream));
    if (!count.ok() || *count == 0) co_return;
  }
}

Task<absl::StatusOr<uint64_t>> CountAllocations(SocketAddress address) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
  if (!stream.ok()) co_return stream.status();
  const std::string message(64, 'm');
  std::string reply(64, '\0');
  uint64_t before = 0;
  for (int i = 0; i < kWarmUp + kMessages; ++i) {
    if (i == kWarmUp) before = MallocCount::ThisThread();
    const IoResult written = co_await stream->WriteAll(message);
    if (!written.ok()) co_return written.status;
    const IoResult read = co_await stream->ReadExactly(absl::MakeSpan(reply));
    if (!read.ok()) co_return read.status;
  }
  co_return MallocCount::ThisThread() - before;
}

TEST_F(EchoMallocTest, EchoByReceiveAllocatesNothing) {
  TcpListener listener = Listen();
  const SocketAddress address = listener.LocalAddress();
  Spawn(EchoByReceive, std::move(listener));
  EXPECT_THAT(Run(CountAllocations(address)), IsOkAndHolds(0u));
}

TEST_F(EchoMallocTest, EchoByReadWithATimeoutAllocatesNothing) {
  TcpListener listener = Listen();
  const SocketAddress address = listener.LocalAddress();
  Spawn(EchoByRead, std::move(listener));
  EXPECT_THAT(Run(CountAllocations(address)), IsOkAndHolds(0u));
}

}  // namespace
}  // namespace tandem::testing
