// SPDX-License-Identifier: Apache-2.0
//
// What the tests of UDP share: sockets on loopback, and calls as tasks.

#ifndef TANDEM_TESTING_CONFORMANCE_UDP_CONFORMANCE_H_
#define TANDEM_TESTING_CONFORMANCE_UDP_CONFORMANCE_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tandem/core/async/task.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/net/datagram_operations.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/testing/conformance/socket_conformance.h"

namespace tandem::testing {

// The index of the loopback interface.
inline constexpr uint32_t kLoopbackInterface = 1;

// The sockets stay where they are until the task has ended.

inline Task<absl::StatusOr<std::string>> ReceiveString(DatagramHandle* socket) {
  absl::StatusOr<Datagram> datagram = co_await socket->ReceiveDatagram();
  if (!datagram.ok()) co_return datagram.status();
  co_return std::string(datagram->data.view());
}

inline Task<absl::Status> SendString(DatagramHandle* socket, std::string data, SocketAddress destination) {
  absl::Status status = co_await socket->SendTo(data, destination);
  co_return status;
}

class UdpConformanceTest : public SocketConformanceTest {
 protected:
  UdpSocket Bind(const SocketAddress& address = SocketAddress::LoopbackIpv4(0),
                 const UdpOptions& options = UdpOptions()) {
    auto socket = UdpSocket::Bind(address, options);
    CHECK(socket.ok()) << socket.status();
    return *std::move(socket);
  }
  UdpSocket Open(AddressFamily family = AddressFamily::kIpv4) {
    auto socket = UdpSocket::Open(family);
    CHECK(socket.ok()) << socket.status();
    return *std::move(socket);
  }
  static SocketAddress AddressOf(const DatagramHandle& socket) {
    auto address = socket.LocalAddress();
    CHECK(address.ok()) << address.status();
    return *std::move(address);
  }
  // A loopback address with a port where nobody is, nor will be: other tests that run meanwhile use 127.0.0.1.
  SocketAddress ClosedAddress() {
    UdpSocket socket = Bind(SocketAddress::Ipv4({127, 0, 77, 1}, 0));
    SocketAddress address = AddressOf(socket);
    EXPECT_OK(Run(socket.Close()));
    return address;
  }
  // Two sockets that are connected to each other.
  std::pair<UdpSocket, UdpSocket> ConnectedSockets() {
    UdpSocket first = Bind();
    UdpSocket second = Bind();
    EXPECT_OK(first.Connect(AddressOf(second)));
    EXPECT_OK(second.Connect(AddressOf(first)));
    return {std::move(first), std::move(second)};
  }

  void SendTo(DatagramHandle& socket, absl::string_view data, const SocketAddress& destination) {
    EXPECT_OK(Run(socket.SendTo(data, destination)));
  }
  absl::StatusOr<std::string> ReceiveText(DatagramHandle& socket) { return Run(ReceiveString(&socket)); }
  // That nothing comes while everything has time to happen.
  void ExpectNothing(DatagramHandle& socket) {
    const auto datagram = Run(socket.ReceiveDatagram().By(Now() + absl::Milliseconds(20)));
    EXPECT_THAT(datagram, StatusIs(kDeadlineExceeded));
  }
  // Receives until nothing comes any more.
  std::vector<std::string> ReceiveAll(DatagramHandle& socket) {
    std::vector<std::string> all;
    for (;;) {
      auto datagrams = Run(socket.ReceiveMany(64).By(Now() + absl::Milliseconds(50)));
      if (!datagrams.ok()) {
        EXPECT_THAT(datagrams, StatusIs(kDeadlineExceeded));
        return all;
      }
      for (const Datagram& datagram : *datagrams) all.emplace_back(datagram.data.view());
    }
  }
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_CONFORMANCE_UDP_CONFORMANCE_H_
