// SPDX-License-Identifier: Apache-2.0
//
// In the steady state of the simulated network, a UDP echo server and its client allocate nothing for a datagram.

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "tandem/testing/conformance/udp_conformance.h"
#include "tandem/testing/malloc_count.h"

namespace tandem::testing {
namespace {

// Long enough for a receive to use up its budget and be armed again.
constexpr int kWarmUp = 5000;
constexpr int kMessages = 10'000;

class UdpEchoMallocTest : public UdpConformanceTest {};

Task<void> Echo(UdpSocket socket) {
  std::array<char, 64> message;
  for (;;) {
    const auto received = co_await socket.ReceiveFrom(absl::MakeSpan(message));
    if (!received.ok()) co_return;
    const absl::Status sent = co_await socket.SendTo({message.data(), received->size}, received->source);
    if (!sent.ok()) co_return;
  }
}

Task<absl::StatusOr<uint64_t>> CountAllocations(UdpSocket* socket, SocketAddress server) {
  std::array<char, 64> message = {};
  uint64_t before = 0;
  for (int i = 0; i < kWarmUp + kMessages; ++i) {
    if (i == kWarmUp) before = MallocCount::ThisThread();
    const absl::Status sent = co_await socket->SendTo({message.data(), message.size()}, server);
    if (!sent.ok()) co_return sent;
    const auto received = co_await socket->ReceiveFrom(absl::MakeSpan(message));
    if (!received.ok()) co_return received.status();
  }
  co_return MallocCount::ThisThread() - before;
}

TEST_F(UdpEchoMallocTest, AllocatesNothing) {
  UdpSocket server = Bind();
  const SocketAddress address = AddressOf(server);
  Spawn(Echo, std::move(server));
  UdpSocket client = Open();
  EXPECT_THAT(Run(CountAllocations(&client, address)), IsOkAndHolds(0u));
}

}  // namespace
}  // namespace tandem::testing
