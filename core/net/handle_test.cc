// SPDX-License-Identifier: Apache-2.0
//
// Handles that have nothing: a call on one ends the process with a message that names the type. No call gets as far as
// to a reactor, so there is none here.

#include "tandem/core/net/handle.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/task.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/net/connection_pool.h"
#include "tandem/core/net/pipe.h"
#include "tandem/core/net/stream.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_socket.h"
#include "tandem/core/net/tcp_split.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/core/net/unix_datagram.h"
#include "tandem/core/net/unix_listener.h"
#include "tandem/core/net/unix_stream.h"
#include "tandem/core/runtime/fake_reactor_for_test.h"

namespace tandem {
namespace {

#define EXPECT_DIES_AS(type, call) EXPECT_DEATH(static_cast<void>(call), "an empty [A-Za-z ]*" type)

char byte = 0;
const absl::Span<char> target(&byte, 1);

// What may be done with a handle that has nothing.
template <typename T>
void ExpectEmptyHandleMayBeMovedAndDestroyed() {
  T handle;
  EXPECT_FALSE(handle.valid());
  T moved = std::move(handle);
  EXPECT_FALSE(moved.valid());
  handle = std::move(moved);
  EXPECT_FALSE(handle.valid());
}

TEST(HandleTest, EmptyHandlesMayBeMovedAndDestroyed) {
  ExpectEmptyHandleMayBeMovedAndDestroyed<TcpStream>();
  ExpectEmptyHandleMayBeMovedAndDestroyed<TcpListener>();
  ExpectEmptyHandleMayBeMovedAndDestroyed<TcpSocket>();
  ExpectEmptyHandleMayBeMovedAndDestroyed<TcpReader>();
  ExpectEmptyHandleMayBeMovedAndDestroyed<TcpWriter>();
  ExpectEmptyHandleMayBeMovedAndDestroyed<UdpSocket>();
  ExpectEmptyHandleMayBeMovedAndDestroyed<UnixStream>();
  ExpectEmptyHandleMayBeMovedAndDestroyed<UnixListener>();
  ExpectEmptyHandleMayBeMovedAndDestroyed<UnixDatagram>();
  ExpectEmptyHandleMayBeMovedAndDestroyed<PipeStream>();
  ExpectEmptyHandleMayBeMovedAndDestroyed<Stream>();
}

TEST(HandleDeathTest, TcpStream) {
  TcpStream stream;
  EXPECT_DIES_AS("TcpStream", stream.Read(target));
  EXPECT_DIES_AS("TcpStream", stream.Receive());
  EXPECT_DIES_AS("TcpStream", stream.ReadExactly(target));
  EXPECT_DIES_AS("TcpStream", stream.Peek(target));
  EXPECT_DIES_AS("TcpStream", stream.TryRead(target));
  EXPECT_DIES_AS("TcpStream", stream.ShutdownRead());
  EXPECT_DIES_AS("TcpStream", stream.set_high_water_mark(1));
  EXPECT_DIES_AS("TcpStream", stream.unread_bytes());
  EXPECT_DIES_AS("TcpStream", stream.WriteSome("x"));
  EXPECT_DIES_AS("TcpStream", stream.WriteAll("x"));
  EXPECT_DIES_AS("TcpStream", stream.WriteAll(Buffer()));
  EXPECT_DIES_AS("TcpStream", stream.TryWrite(""));
  EXPECT_DIES_AS("TcpStream", stream.SendFile(0, 0, 0));
  EXPECT_DIES_AS("TcpStream", stream.set_stall_timeout(absl::Seconds(1)));
  EXPECT_DIES_AS("TcpStream", stream.stall_timeout());
  EXPECT_DIES_AS("TcpStream", stream.AcceptPartial());
  EXPECT_DIES_AS("TcpStream", stream.Flush());
  EXPECT_DIES_AS("TcpStream", stream.ShutdownWrite());
  EXPECT_DIES_AS("TcpStream", stream.Close());
  EXPECT_DIES_AS("TcpStream", stream.Abort());
  EXPECT_DIES_AS("TcpStream", stream.LocalAddress());
  EXPECT_DIES_AS("TcpStream", stream.PeerAddress());
  EXPECT_DIES_AS("TcpStream", stream.no_delay());
  EXPECT_DIES_AS("TcpStream", stream.set_linger(std::nullopt));
  EXPECT_DIES_AS("TcpStream", stream.receive_buffer_size());
  EXPECT_DIES_AS("TcpStream", std::move(stream).Split());
}

TEST(HandleDeathTest, TcpListener) {
  TcpListener listener;
  EXPECT_DIES_AS("TcpListener", listener.Accept());
  EXPECT_DIES_AS("TcpListener", listener.TryAccept());
  EXPECT_DIES_AS("TcpListener", listener.LocalAddress());
  EXPECT_DIES_AS("TcpListener", listener.Close());
}

TEST(HandleDeathTest, TcpSocket) {
  TcpSocket socket;
  EXPECT_DIES_AS("TcpSocket", socket.Bind(SocketAddress::LoopbackIpv4(0)));
  EXPECT_DIES_AS("TcpSocket", socket.LocalAddress());
  EXPECT_DIES_AS("TcpSocket", socket.set_reuse_address(true));
  EXPECT_DIES_AS("TcpSocket", socket.no_delay());
  EXPECT_DIES_AS("TcpSocket", socket.set_send_buffer_size(1));
  EXPECT_DIES_AS("TcpSocket", std::move(socket).Listen());
  EXPECT_DIES_AS("TcpSocket", std::move(socket).Connect(SocketAddress::LoopbackIpv4(1)));
}

TEST(HandleDeathTest, HalvesOfATcpStream) {
  TcpReader reader;
  EXPECT_DIES_AS("TcpReader", reader.Read(target));
  EXPECT_DIES_AS("TcpReader", reader.unread_bytes());
  EXPECT_DIES_AS("TcpReader", reader.PeerAddress());
  TcpWriter writer;
  EXPECT_DIES_AS("TcpWriter", writer.WriteSome("x"));
  EXPECT_DIES_AS("TcpWriter", writer.Close());
  EXPECT_DIES_AS("TcpWriter", writer.Abort());
  EXPECT_DIES_AS("TcpWriter", writer.PeerAddress());
  EXPECT_DIES_AS("TcpReader", TcpStream::Join(std::move(reader), std::move(writer)));
}

TEST(HandleDeathTest, UdpSocket) {
  UdpSocket socket;
  EXPECT_DIES_AS("UdpSocket", socket.BindTo(SocketAddress::LoopbackIpv4(0)));
  EXPECT_DIES_AS("UdpSocket", socket.Connect(SocketAddress::LoopbackIpv4(1)));
  EXPECT_DIES_AS("UdpSocket", socket.Disconnect());
  EXPECT_DIES_AS("UdpSocket", socket.SendTo("x", SocketAddress::LoopbackIpv4(1)));
  EXPECT_DIES_AS("UdpSocket", socket.Send("x"));
  EXPECT_DIES_AS("UdpSocket", socket.SendMany({}));
  EXPECT_DIES_AS("UdpSocket", socket.TrySendTo("x", SocketAddress::LoopbackIpv4(1)));
  EXPECT_DIES_AS("UdpSocket", socket.ReceiveFrom(target));
  EXPECT_DIES_AS("UdpSocket", socket.ReceiveDatagram());
  EXPECT_DIES_AS("UdpSocket", socket.ReceiveMany(1));
  EXPECT_DIES_AS("UdpSocket", socket.TryReceiveFrom(target));
  EXPECT_DIES_AS("UdpSocket", socket.queued());
  EXPECT_DIES_AS("UdpSocket", socket.LocalAddress());
  EXPECT_DIES_AS("UdpSocket", socket.PeerAddress());
  EXPECT_DIES_AS("UdpSocket", socket.broadcast());
  EXPECT_DIES_AS("UdpSocket", socket.JoinGroup(MulticastGroup()));
  EXPECT_DIES_AS("UdpSocket", socket.Close());
}

TEST(HandleDeathTest, UnixSockets) {
  UnixStream stream;
  EXPECT_DIES_AS("UnixStream", stream.Read(target));
  EXPECT_DIES_AS("UnixStream", stream.WriteAllWithDescriptors("x", {}));
  EXPECT_DIES_AS("UnixStream", stream.ReadWithDescriptors(target));
  EXPECT_DIES_AS("UnixStream", stream.set_receive_descriptors(true));
  EXPECT_DIES_AS("UnixStream", stream.PeerCredentials());
  UnixListener listener;
  EXPECT_DIES_AS("UnixListener", listener.Accept());
  UnixDatagram datagram;
  EXPECT_DIES_AS("UnixDatagram", datagram.Send("x"));
  EXPECT_DIES_AS("UnixDatagram", datagram.SendWithDescriptors("x", {}));
}

TEST(HandleDeathTest, PipeStream) {
  auto [left, right] = MakePipe(1);
  PipeStream stream = std::move(left);
  // NOLINTNEXTLINE(bugprone-use-after-move): what the test is about.
  EXPECT_DIES_AS("PipeStream", left.Read(target));
  EXPECT_DIES_AS("PipeStream", left.WriteSome("x"));
  EXPECT_DIES_AS("PipeStream", left.WriteAll("x"));
  EXPECT_DIES_AS("PipeStream", left.AcceptPartial());
  EXPECT_DIES_AS("PipeStream", left.Flush());
  EXPECT_DIES_AS("PipeStream", left.ShutdownWrite());
  EXPECT_DIES_AS("PipeStream", left.Close());
  EXPECT_DIES_AS("PipeStream", left.Abort());
}

TEST(HandleDeathTest, Stream) {
  Stream stream;
  EXPECT_DIES_AS("Stream", stream.Read(target));
  EXPECT_DIES_AS("Stream", stream.WriteSome("x"));
  EXPECT_DIES_AS("Stream", stream.WriteAll("x"));
  EXPECT_DIES_AS("Stream", stream.AcceptPartial());
  EXPECT_DIES_AS("Stream", stream.Flush());
  EXPECT_DIES_AS("Stream", stream.ShutdownWrite());
  EXPECT_DIES_AS("Stream", stream.Close());
  EXPECT_DIES_AS("Stream", stream.Abort());
}

Task<absl::StatusOr<int>> MakeNumber(std::string) { co_return 7; }

Task<void> UseReturnedLease() {
  ConnectionPool<int> pool(&MakeNumber);
  absl::StatusOr<ConnectionPool<int>::Lease> lease = co_await pool.Acquire("host");
  EXPECT_EQ(**lease, 7);
  ConnectionPool<int>::Lease moved = *std::move(lease);
  // NOLINTNEXTLINE(bugprone-use-after-move): what the test is about.
  EXPECT_DIES_AS("Lease", **lease);
  moved.ReturnToPool();
  EXPECT_DIES_AS("Lease", *moved);
}

TEST(HandleDeathTest, Lease) { FakeShard().Run(UseReturnedLease()); }

}  // namespace
}  // namespace tandem
