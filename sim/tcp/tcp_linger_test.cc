// SPDX-License-Identifier: Apache-2.0
//
// The simulated TCP, seen through the reactor: closes that wait until their bytes are acknowledged.

#include <cstdint>
#include <string>

#include "gtest/gtest.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/testing/tcp_test_world.h"
#include "tandem/sim/testing/test_programs.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {
namespace {

// Starts a close that may wait.
void StartClose(TcpWorld& world, TestOperation& close, SocketId id, bool may_block = true) {
  close.kind = OperationKind::kClose;
  close.socket = id;
  close.may_block = may_block;
  world.client.reactor().Submit(close);
  EXPECT_EQ(world.client.stack().open_descriptors(), 0u);
}

TEST(TcpLingerTest, TheCloseWaitsUntilAllIsAcknowledged) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kLinger, 30), 0);
  world.room.network.Block(world.client.stack(), world.server.stack());
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
  TestOperation close;
  StartClose(world, close, pair.client);
  world.room.RunFor(5 * kSecond);
  EXPECT_EQ(close.completions, 0);
  world.room.network.Unblock(world.client.stack(), world.server.stack());

  world.room.RunFor(10 * kSecond);
  EXPECT_EQ(close.completions, 1);
  EXPECT_EQ(close.result, 0);
  EXPECT_EQ(world.Receive(world.server, pair.server), "x|EOF");
}

TEST(TcpLingerTest, WhatIsLeftAfterTheTimeIsStillSent) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kLinger, 1), 0);
  const std::string bytes(100'000, 'x');
  EXPECT_EQ(world.Send(world.client, pair.client, bytes), 100'000);
  TestOperation close;
  const int64_t start = world.room.events.now_ns();
  StartClose(world, close, pair.client);
  world.room.RunUntil([&] { return close.completions == 1; });

  EXPECT_EQ(world.room.events.now_ns() - start, kSecond);
  EXPECT_EQ(world.Receive(world.server, pair.server, 100 * kSecond), bytes + "|EOF");
}

TEST(TcpLingerTest, AResetEndsTheWait) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kLinger, 30), 0);
  EXPECT_EQ(world.Send(world.client, pair.client, std::string(100'000, 'x')), 100'000);
  TestOperation close;
  StartClose(world, close, pair.client);
  world.Settle();
  EXPECT_EQ(close.completions, 0);
  EXPECT_EQ(world.Close(world.server, pair.server), 0);
  world.Settle();

  EXPECT_EQ(close.completions, 1);
}

TEST(TcpLingerTest, ACloseThatMayNotBlockDoesNotWait) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kLinger, 30), 0);
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
  TestOperation close;
  StartClose(world, close, pair.client, /*may_block=*/false);
  world.room.RunFor(0);
  EXPECT_EQ(close.completions, 1);
}

TEST(TcpLingerTest, ACrashWhileClosingIsSurvived) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kLinger, 30), 0);
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
  TestOperation close;
  StartClose(world, close, pair.client);
  world.client.Crash();
  EXPECT_TRUE(close.abandoned);
  world.room.RunDry();
  EXPECT_EQ(close.completions, 0);
}

TEST(TcpLingerTest, TheNextProcessHearsNothingOfACloseThatWaited) {
  TcpWorld world;
  const TcpWorld::Pair pair = world.Connected();
  EXPECT_EQ(world.client.reactor().SetOption(pair.client, SocketOption::kLinger, 30), 0);
  world.room.network.Block(world.client.stack(), world.server.stack());
  EXPECT_EQ(world.Send(world.client, pair.client, "x"), 1);
  TestOperation close;
  StartClose(world, close, pair.client);
  world.client.Kill();
  EXPECT_TRUE(close.abandoned);
  world.client.Start();

  world.room.RunFor(35 * kSecond);
  EXPECT_EQ(close.completions, 0);
  world.room.network.Unblock(world.client.stack(), world.server.stack());
  EXPECT_EQ(world.Receive(world.server, pair.server, 100 * kSecond), "x|EOF");  // The kernel still sends it.
}

}  // namespace
}  // namespace tandem::sim
