// SPDX-License-Identifier: Apache-2.0
//
// The simulator has no Unix sockets, and says so in the first call, whichever that is.

#include <string>

#include "absl/status/status.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/await_descriptor.h"
#include "tandem/core/net/socket_activation.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/core/net/unix_datagram.h"
#include "tandem/core/net/unix_listener.h"
#include "tandem/core/net/unix_stream.h"
#include "tandem/testing/conformance/socket_conformance.h"

namespace tandem::testing {
namespace {

using UnixSimulatedTest = SocketConformanceTest;

TEST_F(UnixSimulatedTest, EveryCallThatMakesASocketIsUnimplemented) {
  constexpr absl::StatusCode kUnimplemented = absl::StatusCode::kUnimplemented;
  for (const SocketAddress& address : {*SocketAddress::Unix("/tmp/name"), *SocketAddress::UnixAbstract("name")}) {
    EXPECT_THAT(Run(UnixStream::Connect(address)), StatusIs(kUnimplemented));
    EXPECT_THAT(UnixListener::Listen(address), StatusIs(kUnimplemented));
    EXPECT_THAT(UnixDatagram::Bind(address), StatusIs(kUnimplemented));
  }
  EXPECT_THAT(UnixStream::Pair(), StatusIs(kUnimplemented));
  EXPECT_THAT(UnixDatagram::Open(), StatusIs(kUnimplemented));
  EXPECT_THAT(UnixDatagram::Pair(), StatusIs(kUnimplemented));
}

TEST_F(UnixSimulatedTest, ASimulatedProcessHasNoDescriptorsFromElsewhere) {
  constexpr absl::StatusCode kUnimplemented = absl::StatusCode::kUnimplemented;
  EXPECT_THAT(TcpStream::Adopt(OwnedDescriptor(0)), StatusIs(kUnimplemented));
  EXPECT_THAT(TcpListener::Adopt(OwnedDescriptor(0)), StatusIs(kUnimplemented));
  EXPECT_THAT(UdpSocket::Adopt(OwnedDescriptor(0)), StatusIs(kUnimplemented));
  EXPECT_THAT(UnixStream::Adopt(OwnedDescriptor(0)), StatusIs(kUnimplemented));
  EXPECT_THAT(UnixListener::Adopt(OwnedDescriptor(0)), StatusIs(kUnimplemented));
  EXPECT_THAT(UnixDatagram::Adopt(OwnedDescriptor(0)), StatusIs(kUnimplemented));
  EXPECT_THAT(Run(AwaitReadable(0)), StatusIs(kUnimplemented));
  EXPECT_THAT(Run(AwaitWritable(0)), StatusIs(kUnimplemented));
  // Whatever the environment of the process that simulates.
  const auto sockets = TakeActivatedSockets();
  ASSERT_OK(sockets);
  EXPECT_TRUE(sockets->empty());
}

}  // namespace
}  // namespace tandem::testing
