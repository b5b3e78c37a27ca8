// SPDX-License-Identifier: Apache-2.0
//
// The simulator has no Unix sockets, and says so in the first call, whichever that is.

#include <string>

#include "absl/status/status.h"
#include "core/io/address.h"
#include "core/net/unix_datagram.h"
#include "core/net/unix_listener.h"
#include "core/net/unix_stream.h"
#include "testing/conformance/socket_conformance.h"

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

}  // namespace
}  // namespace tandem::testing
