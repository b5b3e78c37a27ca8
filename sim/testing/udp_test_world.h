// SPDX-License-Identifier: Apache-2.0
//
// Three hosts with UDP, for tests below coroutines, and calls that run the world until they have an answer.

#ifndef TANDEM_SIM_TESTING_UDP_TEST_WORLD_H_
#define TANDEM_SIM_TESTING_UDP_TEST_WORLD_H_

#include <array>
#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/testing/test_programs.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {

inline constexpr int64_t kMillisecond = 1'000'000;
inline constexpr int64_t kSecond = 1'000'000'000;
inline constexpr uint16_t kPort = 53;

inline const SocketAddress kEverybody = SocketAddress::Ipv4({255, 255, 255, 255}, kPort);
inline const SocketAddress kGroup = SocketAddress::Ipv4({239, 1, 2, 3}, kPort);

inline SocketAddress GroupIpv6(uint16_t port) {
  return SocketAddress::Ipv6({0xff, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}, port);
}

class UdpWorld {
 public:
  explicit UdpWorld(uint64_t seed = 1, const SimReactorOptions& options = SimReactorOptions())
      : room(seed),
        a(room.events, room.network, "a", SocketAddress::Ipv4({10, 0, 0, 1}, 0), options),
        b(room.events, room.network, "b", SocketAddress::Ipv4({10, 0, 0, 2}, 0), options),
        c(room.events, room.network, "c", SocketAddress::Ipv4({10, 0, 0, 3}, 0), options) {}
  ~UdpWorld() {
    for (TestHost* host : hosts()) host->Crash();
  }
  std::array<TestHost*, 3> hosts() { return {&a, &b, &c}; }

  static SocketId Open(TestHost& host, AddressFamily family = AddressFamily::kIpv4) {
    const int64_t id = host.reactor().OpenSocket(family, SocketType::kDatagram);
    EXPECT_GE(id, 0);
    return static_cast<SocketId>(id);
  }
  static SocketId Bound(TestHost& host, const SocketAddress& address) {
    const SocketId id = Open(host, address.family());
    EXPECT_EQ(host.reactor().Bind(id, address), 0) << address.ToString();
    return id;
  }
  static SocketAddress Local(TestHost& host, SocketId id) {
    SocketAddress address;
    EXPECT_EQ(host.reactor().LocalAddress(id, &address), 0);
    return address;
  }
  static int Option(TestHost& host, SocketId id, SocketOption option) {
    int value = 0;
    EXPECT_EQ(host.reactor().GetOption(id, option, &value), 0);
    return value;
  }
  static void Set(TestHost& host, SocketId id, SocketOption option, int value) {
    EXPECT_EQ(host.reactor().SetOption(id, option, value), 0);
  }

  int64_t SendAll(TestHost& host, SocketId id, absl::Span<const OutgoingDatagram> datagrams) {
    TestOperation operation;
    operation.kind = OperationKind::kSendDatagrams;
    operation.socket = id;
    operation.datagrams = datagrams;
    host.reactor().Submit(operation);
    room.RunUntil([&] { return operation.completions == 1; });
    return operation.result;
  }
  // 1, or -errno.
  int64_t Send(TestHost& host, SocketId id, absl::string_view data,
               const SocketAddress& destination = SocketAddress()) {
    const OutgoingDatagram datagram(data, destination);
    return SendAll(host, id, absl::MakeConstSpan(&datagram, 1));
  }
  static int64_t TrySend(TestHost& host, SocketId id, absl::string_view data,
                         const SocketAddress& destination = SocketAddress()) {
    const OutgoingDatagram datagram(data, destination);
    return host.reactor().TrySendDatagrams(id, absl::MakeConstSpan(&datagram, 1));
  }
  // Everything that is there: "one,two", and "-errno" in place of an error.
  static std::string Received(TestHost& host, SocketId id) {
    std::string text;
    for (;;) {
      std::vector<Datagram> datagrams;
      const int64_t result = host.reactor().TryReceiveDatagrams(id, &datagrams);
      if (result == -EAGAIN) return text;
      absl::StrAppend(&text, text.empty() ? "" : ",",
                      result == 1 ? std::string(datagrams.front().data.view()) : absl::StrCat(result));
    }
  }
  // The next one. An empty one, and a failure of the test, when there is none.
  static Datagram ReceiveOne(TestHost& host, SocketId id) {
    std::vector<Datagram> datagrams;
    const int64_t result = host.reactor().TryReceiveDatagrams(id, &datagrams);
    EXPECT_EQ(result, 1);
    return result == 1 ? std::move(datagrams.front()) : Datagram();
  }
  void Settle() { room.RunFor(10 * kMillisecond); }

  MachineRoom room;
  TestHost a;
  TestHost b;
  TestHost c;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TESTING_UDP_TEST_WORLD_H_
