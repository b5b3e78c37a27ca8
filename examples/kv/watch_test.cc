// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/kv/watch.h"

#include <memory>
#include <string_view>

#include "gtest/gtest.h"

namespace tandem::kv {
namespace {

TEST(WatchTest, TouchReachesEveryWatcherOfTheKeyAndNobodyElse) {
  const auto table = std::make_shared<WatchTable>();
  Watcher a, b, other;
  a.Add(table, "k");
  b.Add(table, "k");
  b.Add(table, "l");
  other.Add(table, "kk");

  table->Touch("k");

  EXPECT_TRUE(a.touched());
  EXPECT_TRUE(b.touched());
  EXPECT_FALSE(other.touched());
}

TEST(WatchTest, AWatcherThatIsClearedOrGoneIsNotTouched) {
  const auto table = std::make_shared<WatchTable>();
  Watcher cleared;
  cleared.Add(table, "k");
  cleared.Clear();
  {
    Watcher gone;
    gone.Add(table, "k");
  }

  table->Touch("k");

  EXPECT_FALSE(cleared.touched());
  EXPECT_EQ(cleared.held_bytes(), 0u);
}

TEST(WatchTest, TouchAllReachesWhatWasChanged) {
  const auto table = std::make_shared<WatchTable>();
  Watcher a, b;
  a.Add(table, "k");
  b.Add(table, "l");

  table->TouchAll([](std::string_view key) { return key == "l"; });

  EXPECT_FALSE(a.touched());
  EXPECT_TRUE(b.touched());
}

TEST(WatchTest, TheEmptyKeyIsAKey) {
  const auto table = std::make_shared<WatchTable>();
  Watcher a;
  a.Add(table, "");

  table->Touch("");

  EXPECT_TRUE(a.touched());
}

TEST(WatchDeathTest, AWatcherBelongsToOneTable) {
  const auto table = std::make_shared<WatchTable>();
  const auto other = std::make_shared<WatchTable>();
  Watcher a;
  a.Add(table, "k");

  EXPECT_DEATH(a.Add(other, "k"), "a watcher belongs to one table");
}

}  // namespace
}  // namespace tandem::kv
