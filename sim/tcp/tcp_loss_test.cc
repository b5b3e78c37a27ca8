// SPDX-License-Identifier: Apache-2.0
//
// The simulated TCP when single packets are lost: each one of a scripted exchange, and each pair of one in either
// direction. Every byte arrives, or an error is reported; nothing hangs.

#include <cerrno>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/link.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/testing/tcp_test_world.h"

namespace tandem::sim {
namespace {

constexpr uint32_t kNone = ~uint32_t{0};

// `size` bytes that differ from place to place.
std::string Pattern(size_t size, char seed) {
  std::string bytes(size, ' ');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(seed + static_cast<char>(i * 7 + i / 256));
  return bytes;
}

// Runs `script` without a loss, and then once for each packet that may be lost to the server, to the client, and one in
// each direction. `script` says what went wrong, or nothing.
void LoseEachPacket(const std::function<std::string(TcpWorld&)>& script) {
  uint32_t runs = 0;
  // Whether some packet that is to be lost was there.
  const auto run = [&](uint32_t to_server, uint32_t to_client) {
    TcpWorld world;
    HostStack& client = world.client.stack();
    HostStack& server = world.server.stack();
    client.LinkTo(server).LosePacket(to_server);
    server.LinkTo(client).LosePacket(to_client);
    EXPECT_EQ(script(world), "") << "without the packets " << to_server << " to the server and " << to_client
                                 << " to the client";
    ++runs;
    const uint64_t wanted = (to_server == kNone ? 0 : 1) + (to_client == kNone ? 0 : 1);
    return world.room.network.statistics().packets_lost == wanted;
  };
  EXPECT_TRUE(run(kNone, kNone));
  for (uint32_t to_server = 0; run(to_server, kNone) && !testing::Test::HasFailure(); ++to_server) {
    for (uint32_t to_client = 0; run(to_server, to_client) && !testing::Test::HasFailure(); ++to_client) {
    }
  }
  for (uint32_t to_client = 0; run(kNone, to_client) && !testing::Test::HasFailure(); ++to_client) {
  }
  EXPECT_GT(runs, 30u);
}

// Everything that the two hosts still do, until nothing is left of the connections.
std::string Bury(TcpWorld& world) {
  world.room.RunDry();
  const size_t open = world.client.stack().open_descriptors() + world.server.stack().open_descriptors();
  const size_t established =
      world.client.stack().established_connections() + world.server.stack().established_connections();
  return open + established == 0 ? "" : absl::StrCat(open, " descriptors and ", established, " connections are left");
}

TEST(TcpLossTest, AnExchangeWithHalfClosesLosesNoByte) {
  const std::string request = Pattern(5000, 'a');
  const std::string response = Pattern(20'000, 'b');
  LoseEachPacket([&](TcpWorld& world) -> std::string {
    const TcpWorld::Pair pair = world.Connected();
    if (world.Send(world.client, pair.client, request) != 5000) return "a short request";
    world.client.reactor().Shutdown(pair.client, ShutdownHow::kWrite);
    if (world.Receive(world.server, pair.server, 100 * kSecond) != request + "|EOF") return "another request";
    if (world.Send(world.server, pair.server, response) != 20'000) return "a short response";
    world.Close(world.server, pair.server);
    if (world.Receive(world.client, pair.client, 100 * kSecond) != response + "|EOF") return "another response";
    world.Close(world.client, pair.client);
    return Bury(world);
  });
}

TEST(TcpLossTest, AClosedWindowOpensAgain) {
  const std::string bytes = Pattern(20'000, 'c');
  LoseEachPacket([&](TcpWorld& world) -> std::string {
    const TcpWorld::Pair pair = world.Connected();
    world.server.reactor().SetOption(pair.server, SocketOption::kReceiveBufferSize, 4096);
    if (world.Send(world.client, pair.client, bytes) != 20'000) return "a short send";
    world.Close(world.client, pair.client);
    // The reader is slower than the sender.
    std::string received;
    for (int i = 0; i < 100 && received.size() <= bytes.size(); ++i) {
      received += world.Receive(world.server, pair.server, kSecond, 1500);
      world.room.RunFor(300 * kMillisecond);
    }
    if (received != bytes + "|EOF") return absl::StrCat("other bytes, ", received.size());
    world.Close(world.server, pair.server);
    return Bury(world);
  });
}

TEST(TcpLossTest, BothMayCloseAtOnce) {
  LoseEachPacket([&](TcpWorld& world) -> std::string {
    const TcpWorld::Pair pair = world.Connected();
    if (world.Send(world.client, pair.client, "to the server") < 0) return "no send";
    if (world.Send(world.server, pair.server, "to the client") < 0) return "no send";
    world.client.reactor().Shutdown(pair.client, ShutdownHow::kWrite);
    world.server.reactor().Shutdown(pair.server, ShutdownHow::kWrite);
    if (world.Receive(world.server, pair.server, 100 * kSecond) != "to the server|EOF") return "lost to the server";
    if (world.Receive(world.client, pair.client, 100 * kSecond) != "to the client|EOF") return "lost to the client";
    world.Close(world.client, pair.client);
    world.Close(world.server, pair.server);
    return Bury(world);
  });
}

TEST(TcpLossTest, AResetIsHeardAtTheNextWriteAtTheLatest) {
  LoseEachPacket([&](TcpWorld& world) -> std::string {
    const TcpWorld::Pair pair = world.Connected();
    if (world.Send(world.client, pair.client, Pattern(5000, 'd')) != 5000) return "a short send";
    world.server.reactor().SetOption(pair.server, SocketOption::kLinger, 0);
    world.Close(world.server, pair.server);
    int64_t result = 0;
    for (int i = 0; i < 10 && result >= 0; ++i) {
      world.room.RunFor(3 * kSecond);
      result = world.Send(world.client, pair.client, "more");
    }
    if (result != -ECONNRESET && result != -EPIPE) return absl::StrCat("the last write said ", result);
    world.Close(world.client, pair.client);
    return Bury(world);
  });
}

TEST(TcpLossTest, ARestartedMachineRefusesOldConnectionsAndTakesNewOnes) {
  LoseEachPacket([&](TcpWorld& world) -> std::string {
    const SocketId listener = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort));
    SocketId id = TcpWorld::Open(world.client);
    if (world.Connect(world.client, id, world.server.Address(kPort)) != 0) return "no connection";
    const SocketId old = world.Accept(world.server, listener);
    const SocketAddress before = TcpWorld::Local(world.client, id);
    world.client.Crash();
    world.client.Start();
    // The same addresses as before, which the server believes to be connected.
    id = TcpWorld::Open(world.client);
    if (world.client.reactor().Bind(id, before) != 0) return "no bind";
    if (world.Connect(world.client, id, world.server.Address(kPort)) != 0) return "no new connection";
    if (world.Receive(world.server, old, 10 * kSecond) != "|ECONNRESET") return "the old one lives";
    if (world.Send(world.client, id, "anew") != 4) return "no send";
    if (world.Receive(world.server, world.Accept(world.server, listener), 10 * kSecond, 4) != "anew") return "no bytes";
    return "";
  });
}

TEST(TcpLossTest, ABacklogOfZeroServesOneAfterTheOther) {
  LoseEachPacket([&](TcpWorld& world) -> std::string {
    const SocketId listener = TcpWorld::Listen(world.server, SocketAddress::AnyIpv4(kPort), /*backlog=*/0);
    for (int i = 0; i < 3; ++i) {
      const SocketId id = TcpWorld::Open(world.client);
      if (world.Connect(world.client, id, world.server.Address(kPort)) != 0) return "no connection";
      if (world.Send(world.client, id, "hello") != 5) return "no send";
      const SocketId accepted = world.Accept(world.server, listener);
      if (world.Receive(world.server, accepted, 10 * kSecond, 5) != "hello") return "other bytes";
      world.Close(world.server, accepted);
      if (world.Receive(world.client, id, 10 * kSecond) != "|EOF") return "no end";
      world.Close(world.client, id);
    }
    world.Close(world.server, listener);
    return Bury(world);
  });
}

}  // namespace
}  // namespace tandem::sim
