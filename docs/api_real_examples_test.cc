// SPDX-License-Identifier: Apache-2.0
//
// The examples of docs/api.md that only a real machine can run: Unix sockets, files, signals.
//
// What is between a name in brackets and the next end is in the document word for word: doc_examples_test holds the two
// against each other.

#include <sys/eventfd.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tandem/tandem.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/status_matchers.h"

namespace tandem {
namespace {

using testing::IsOkAndHolds;

class RealApiExamples : public testing::SocketConformanceTest {};

// [SendFile]
Task<IoResult> SendWholeFile(TcpStream* stream, int descriptor, uint64_t bytes) {
  IoResult result = co_await stream->SendFile(descriptor, 0, bytes);  // sendfile(2): no copy through this program.
  co_return result;
}
// [end]

TEST_F(RealApiExamples, SendFile) {
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(std::fputs("contents", file), 1);
  ASSERT_EQ(std::fflush(file), 0);
  auto [client, server] = ConnectedPair();
  EXPECT_OK(Run(SendWholeFile(&client, fileno(file), 8)).status);
  EXPECT_THAT(Read(server), IsOkAndHolds("contents"));
  std::fclose(file);
}

// [UnixStream]
Task<absl::StatusOr<uint32_t>> WhoIsThere(UnixListener* listener) {
  absl::StatusOr<UnixStream> stream = co_await listener->Accept();
  if (!stream.ok()) co_return stream.status();
  absl::StatusOr<PeerCredentials> peer = stream->PeerCredentials();  // Told by the kernel.
  if (!peer.ok()) co_return peer.status();
  co_return peer->user_id;
}
// [end]

TEST_F(RealApiExamples, UnixStream) {
  const SocketAddress address = *SocketAddress::UnixAbstract("tandem-api-" + std::to_string(getpid()));
  auto listener = UnixListener::Listen(address);
  ASSERT_OK(listener.status());
  auto who = Start(WhoIsThere(&*listener));
  auto client = Run(UnixStream::Connect(address));
  ASSERT_OK(client.status());
  EXPECT_THAT(Wait(who), IsOkAndHolds(getuid()));
}

// [Descriptors]
Task<absl::Status> HandOver(UnixStream* stream, int descriptor) {
  IoResult sent = co_await stream->WriteAllWithDescriptors("take this", absl::MakeConstSpan(&descriptor, 1));
  co_return sent.status;
}

Task<absl::StatusOr<OwnedDescriptor>> TakeOver(UnixStream* stream) {
  stream->set_receive_descriptors(true);
  char text[100];
  absl::StatusOr<BytesAndDescriptors> got = co_await stream->ReadWithDescriptors(absl::MakeSpan(text));
  if (!got.ok()) co_return got.status();
  if (got->descriptors.empty()) co_return absl::NotFoundError("no descriptor came");
  co_return std::move(got->descriptors.front());
}
// [end]

TEST_F(RealApiExamples, Descriptors) {
  auto pair = UnixStream::Pair();
  ASSERT_OK(pair.status());
  EXPECT_OK(Run(HandOver(&pair->first, 1)));
  auto descriptor = Run(TakeOver(&pair->second));
  ASSERT_OK(descriptor.status());
  EXPECT_TRUE(descriptor->valid());
  EXPECT_NE(descriptor->get(), 1);
}

// [Adopt]
absl::StatusOr<TcpListener> ListenOrTakeOver(const SocketAddress& address) {
  absl::StatusOr<std::vector<ActivatedSocket>> sockets = TakeActivatedSockets();  // LISTEN_FDS; none without systemd.
  if (!sockets.ok()) return sockets.status();
  for (ActivatedSocket& socket : *sockets) {
    if (socket.name == "http") return TcpListener::Adopt(std::move(socket.descriptor));
  }
  return TcpListener::Listen(address);
}
// [end]

TEST_F(RealApiExamples, Adopt) {
  absl::StatusOr<TcpListener> listener = ListenOrTakeOver(SocketAddress::LoopbackIpv4(0));
  ASSERT_OK(listener.status());
  TcpStream client = Connect(listener->LocalAddress());
  EXPECT_OK(Run(listener->Accept()).status());
}

// [AwaitReadable]
Task<absl::StatusOr<uint64_t>> NextCount(int event_descriptor) {
  for (;;) {
    absl::Status ready = co_await AwaitReadable(event_descriptor);
    if (!ready.ok()) co_return ready;
    uint64_t count = 0;
    // Somebody else may have been faster, so the descriptor had better be non-blocking.
    if (read(event_descriptor, &count, sizeof(count)) == sizeof(count)) co_return count;
  }
}
// [end]

TEST_F(RealApiExamples, AwaitReadable) {
  const int counter = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  ASSERT_GE(counter, 0);
  auto next = Start(NextCount(counter));
  Settle();
  const uint64_t three = 3;
  ASSERT_EQ(write(counter, &three, sizeof(three)), static_cast<ssize_t>(sizeof(three)));
  EXPECT_THAT(Wait(next), IsOkAndHolds(3u));
  close(counter);
}

// [UnixDatagram]
Task<absl::StatusOr<size_t>> Exchange(UnixDatagram* from, UnixDatagram* to, absl::Span<char> target) {
  absl::Status sent = co_await from->Send("note");
  if (!sent.ok()) co_return sent;
  absl::StatusOr<ReceivedDatagram> received = co_await to->Receive(target);
  if (!received.ok()) co_return received.status();
  co_return received->size;
}
// [end]

TEST_F(RealApiExamples, UnixDatagram) {
  auto pair = UnixDatagram::Pair();
  ASSERT_OK(pair.status());
  char target[10];
  EXPECT_THAT(Run(Exchange(&pair->first, &pair->second, absl::MakeSpan(target))), IsOkAndHolds(4u));
}

// [SignalListener]
Task<absl::StatusOr<int>> CountReloads(SignalListener* reload, int wanted) {
  for (int count = 0; count < wanted; ++count) {
    absl::StatusOr<int> signal = co_await reload->Next();
    if (!signal.ok()) co_return signal.status();
  }
  co_return wanted;
}
// [end]

TEST_F(RealApiExamples, SignalListener) {
  auto reload = SignalListener::Listen({SIGHUP});
  ASSERT_OK(reload.status());
  auto counting = Start(CountReloads(&*reload, 1));
  raise(SIGHUP);
  EXPECT_THAT(Wait(counting), IsOkAndHolds(1));
}

}  // namespace
}  // namespace tandem
