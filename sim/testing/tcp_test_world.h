// SPDX-License-Identifier: Apache-2.0
//
// Two hosts with TCP, for tests below coroutines, and calls that run the world until they have an answer.

#ifndef TANDEM_SIM_TESTING_TCP_TEST_WORLD_H_
#define TANDEM_SIM_TESTING_TCP_TEST_WORLD_H_

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/tcp/tcp_socket.h"
#include "tandem/sim/testing/test_programs.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {

inline constexpr int64_t kMillisecond = 1'000'000;
inline constexpr int64_t kSecond = 1'000'000'000;
inline constexpr uint16_t kPort = 80;

class TcpWorld {
 public:
  explicit TcpWorld(uint64_t seed = 1, const SimReactorOptions& options = SimReactorOptions())
      : room(seed),
        client(room.events, room.network, "client", SocketAddress::Ipv4({10, 0, 0, 1}, 0), options),
        server(room.events, room.network, "server", SocketAddress::Ipv4({10, 0, 0, 2}, 0), options) {}
  ~TcpWorld() {
    client.Crash();
    server.Crash();
  }

  static SocketId Open(TestHost& host, AddressFamily family = AddressFamily::kIpv4) {
    const int64_t id = host.reactor().OpenSocket(family, SocketType::kStream);
    EXPECT_GE(id, 0);
    return static_cast<SocketId>(id);
  }
  static SocketId Listen(TestHost& host, const SocketAddress& address, int backlog = 128) {
    const SocketId id = Open(host, address.family());
    EXPECT_EQ(host.reactor().Bind(id, address), 0);
    EXPECT_EQ(host.reactor().Listen(id, backlog), 0);
    return id;
  }
  static SocketAddress Local(TestHost& host, SocketId id) {
    SocketAddress address;
    EXPECT_EQ(host.reactor().LocalAddress(id, &address), 0);
    return address;
  }
  static int Peer(TestHost& host, SocketId id) {
    SocketAddress address;
    return host.reactor().PeerAddress(id, &address);
  }
  static int Option(TestHost& host, SocketId id, SocketOption option) {
    int value = 0;
    EXPECT_EQ(host.reactor().GetOption(id, option, &value), 0);
    return value;
  }
  static TcpState State(TestHost& host, SocketId id) { return host.stack().Find(id)->state(); }

  void StartConnect(TestHost& host, TestOperation& operation, SocketId id, const SocketAddress& address) {
    operation.kind = OperationKind::kConnect;
    operation.socket = id;
    operation.address = address;
    host.reactor().Submit(operation);
  }
  int64_t Connect(TestHost& host, SocketId id, const SocketAddress& address) {
    TestOperation operation;
    StartConnect(host, operation, id, address);
    room.RunUntil([&] { return operation.completions == 1; });
    return operation.result;
  }
  int64_t Send(TestHost& host, SocketId id, absl::string_view bytes) {
    TestOperation operation;
    const IoSlice slice{bytes.data(), bytes.size()};
    operation.socket = id;
    operation.slices = absl::MakeConstSpan(&slice, 1);
    host.reactor().Submit(operation);
    room.RunUntil([&] { return operation.completions == 1; });
    return operation.result;
  }
  int64_t Close(TestHost& host, SocketId id) {
    TestOperation operation;
    operation.kind = OperationKind::kClose;
    operation.socket = id;
    host.reactor().Submit(operation);
    room.RunUntil([&] { return operation.completions == 1; });
    return operation.result;
  }
  SocketId Accept(TestHost& host, SocketId listener) {
    TestSource source(Source::Kind::kAccept);
    source.socket = listener;
    host.reactor().Arm(source);
    room.RunUntil([&] { return !source.accepted.empty() || source.ends > 0; });
    if (source.armed()) host.reactor().Disarm(source);
    room.RunUntil([&] { return !source.armed(); });
    if (source.accepted.empty()) return -source.error;
    EXPECT_EQ(source.accepted.size(), 1u);
    return source.accepted.front();
  }
  // What is there now and within `wait_ns`, then why it ended: "data", "data|EOF", "|ECONNRESET", "data|...".
  std::string Receive(TestHost& host, SocketId id, int64_t wait_ns = kSecond, size_t budget = 1 << 20) {
    TestSource source(Source::Kind::kReceive);
    source.socket = id;
    source.budget = budget;
    host.reactor().Arm(source);
    room.RunUntil([&] { return source.ends == 1; }, wait_ns);
    if (source.armed()) host.reactor().Disarm(source);
    room.RunUntil([&] { return !source.armed(); });
    std::string text = source.bytes;
    switch (source.end) {
      case SourceEnd::kEndOfStream:
        return text + "|EOF";
      case SourceEnd::kError:
        return text + (source.error == ECONNRESET ? "|ECONNRESET" : "|" + std::to_string(source.error));
      default:
        return text;
    }
  }

  // A connection from the client to the server.
  struct Pair {
    SocketId client;
    SocketId server;
  };
  Pair Connected(uint16_t port = kPort) {
    const SocketId listener = Listen(server, SocketAddress::AnyIpv4(port));
    Pair pair;
    pair.client = Open(client);
    EXPECT_EQ(Connect(client, pair.client, server.Address(port)), 0);
    pair.server = Accept(server, listener);
    EXPECT_GE(pair.server, 0);
    EXPECT_EQ(Close(server, listener), 0);
    return pair;
  }
  void Settle() { room.RunFor(10 * kMillisecond); }

  MachineRoom room;
  TestHost client;
  TestHost server;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TESTING_TCP_TEST_WORLD_H_
