// SPDX-License-Identifier: Apache-2.0
//
// Shard::Post() at the moments between its steps.

#include <atomic>
#include <memory>
#include <thread>
#include <utility>

#include "gtest/gtest.h"
#include "tandem/core/async/task.h"
#include "tandem/core/runtime/fake_reactor_for_test.h"
#include "tandem/core/runtime/shard.h"

namespace tandem {
namespace {

// A thread that has put its letter into the mailbox and is held up before it wakes the shard must not hold up the
// letters of others: they found the mailbox not empty, and left the waking to it.
TEST(PostTest, EachPostWakes) {
  FakeShard shard;
  int wakes_of_second = -1;
  bool held_up = false;
  shard.reactor().set_in_wake([&] {
    if (std::exchange(held_up, true)) return;
    shard.shard().Post([] {});  // As if by another thread.
    wakes_of_second = shard.reactor().wakes();
  });
  shard.shard().Post([] {});
  EXPECT_EQ(wakes_of_second, 1);
}

// The letter may be what ends the runtime while the call that has posted it is still to wake the reactor.
TEST(PostTest, TheShardWaitsForCallsThatAreUnderWay) {
  auto shard = std::make_unique<FakeShard>();
  std::atomic<bool> in_wake = false;
  std::atomic<bool> destroyed = false;
  bool destroyed_in_wake = true;
  shard->reactor().set_in_wake([&] {
    in_wake = true;
    // Time for the destructor, which must not come to its end.
    for (int i = 0; i < 20'000 && !destroyed; ++i) std::this_thread::yield();
    destroyed_in_wake = destroyed;
  });
  std::thread poster([&] { shard->shard().Post([] {}); });
  while (!in_wake) std::this_thread::yield();
  shard.reset();
  destroyed = true;
  poster.join();
  EXPECT_FALSE(destroyed_in_wake);
}

TEST(PostTest, AClosedMailboxRunsWhatItHadAndRefusesTheRest) {
  FakeShard shard;
  int ran = 0;
  EXPECT_TRUE(shard.shard().Post([&] { ++ran; }));
  shard.shard().CloseMailbox();
  EXPECT_EQ(ran, 1);
  EXPECT_FALSE(shard.shard().has_work());
  auto owned = std::make_shared<int>(0);
  EXPECT_FALSE(shard.shard().Post([&ran, owned] { ++ran; }));
  EXPECT_EQ(owned.use_count(), 1);
  EXPECT_EQ(ran, 1);
}

}  // namespace
}  // namespace tandem
