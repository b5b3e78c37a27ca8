// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/kv/store.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tandem/examples/kv/value.h"

namespace tandem::kv {
namespace {

constexpr int64_t kNow = 1'000;

void Put(Store& store, std::string_view key, std::string value, int64_t expires_at_ms = kNoExpiry) {
  store.Set(key, Value(std::move(value)), expires_at_ms, 0);
}

std::optional<std::string> Get(Store& store, std::string_view key, int64_t now_ms = kNow) {
  const Store::Entry* const entry = store.Find(key, now_ms);
  if (entry == nullptr) return std::nullopt;
  return std::string(entry->value.view());
}

std::vector<std::string> KeysInOrder(const Store& store, int64_t now_ms = kNow) {
  std::vector<std::string> keys;
  store.ForEach(now_ms, [&](const Store::Entry& entry) {
    keys.push_back(entry.key);
    return true;
  });
  return keys;
}

// One call of Scan(): appends the keys it visits and moves the cursor.
void ScanOnce(const Store& store, uint64_t& cursor, size_t count, std::vector<std::string>& keys,
              int64_t now_ms = kNow) {
  cursor = store.Scan(cursor, count, now_ms, [&](const Store::Entry& entry) { keys.push_back(entry.key); });
}

std::vector<std::string> ScanAll(const Store& store, size_t count) {
  std::vector<std::string> keys;
  uint64_t cursor = 0;
  do {
    ScanOnce(store, cursor, count, keys);
  } while (cursor != 0);
  return keys;
}

// The tests' own source of numbers that look random: the same in each run.
class Lcg {
 public:
  explicit Lcg(uint64_t seed) : state_(seed) {}
  uint64_t Below(uint64_t bound) {
    state_ = state_ * 6'364'136'223'846'793'005u + 1'442'695'040'888'963'407u;
    return (state_ >> 33) % bound;
  }

 private:
  uint64_t state_;
};

TEST(StoreTest, FindsWhatWasSet) {
  Store store;

  Put(store, "a", "1");
  Put(store, "b", "2");
  Put(store, "a", "3");

  EXPECT_EQ(Get(store, "a"), "3");
  EXPECT_EQ(Get(store, "b"), "2");
  EXPECT_EQ(Get(store, "c"), std::nullopt);
  EXPECT_EQ(store.size(), 2u);
}

TEST(StoreTest, KeysAreBytesAndMayBeEmpty) {
  Store store;
  const std::string with_zero("a\0b", 3);

  Put(store, "", "empty");
  Put(store, with_zero, "zero");
  Put(store, "a", "prefix");

  EXPECT_EQ(Get(store, ""), "empty");
  EXPECT_EQ(Get(store, with_zero), "zero");
  EXPECT_EQ(Get(store, "a"), "prefix");
}

TEST(StoreTest, EraseTellsWhetherTheKeyWasThere) {
  Store store;
  Put(store, "a", "1");

  EXPECT_TRUE(store.Erase("a", kNow));
  EXPECT_FALSE(store.Erase("a", kNow));
  EXPECT_EQ(store.size(), 0u);
}

TEST(StoreTest, OrderFollowsFromContentsAndSeedAlone) {
  Store forwards(7);
  Store backwards(7);
  for (int i = 0; i < 1000; ++i) Put(forwards, absl::StrCat("key", i), "");
  for (int i = 999; i >= 0; --i) Put(backwards, absl::StrCat("key", i), "");

  EXPECT_EQ(KeysInOrder(forwards), KeysInOrder(backwards));
}

TEST(StoreTest, OrderIsTheSameOnEveryMachine) {
  Store store(0);
  for (const char* key : {"alpha", "beta", "gamma", "delta", "epsilon", "a key longer than eight bytes"}) {
    Put(store, key, "");
  }

  // By SipHash-1-3 with the key of seed 0, computed apart from this program.
  EXPECT_EQ(KeysInOrder(store),
            (std::vector<std::string>{"delta", "epsilon", "a key longer than eight bytes", "beta", "alpha", "gamma"}));
}

TEST(StoreTest, AnotherSeedGivesAnotherOrder) {
  Store a(1);
  Store b(2);
  for (int i = 0; i < 100; ++i) {
    Put(a, absl::StrCat("key", i), "");
    Put(b, absl::StrCat("key", i), "");
  }

  EXPECT_NE(KeysInOrder(a), KeysInOrder(b));
}

TEST(StoreTest, BehavesLikeAMapUnderMixedOperations) {
  // Few hash values, so that equal hashes are ordered by key.
  Store store = Store::WithHashForTest([](uint64_t, std::string_view key) { return key.size() << 60; });
  std::map<std::string, std::pair<std::string, int64_t>> model;
  Lcg numbers(42);

  for (int64_t now = 0; now < 20'000; ++now) {
    const std::string key(numbers.Below(6), static_cast<char>('a' + numbers.Below(3)));
    std::erase_if(model, [&](const auto& item) { return item.second.second <= now; });
    const auto in_model = model.find(key);
    switch (numbers.Below(5)) {
      case 0: {
        const int64_t expires = numbers.Below(2) == 0 ? kNoExpiry : now + static_cast<int64_t>(numbers.Below(50));
        Put(store, key, absl::StrCat(now), expires);
        model[key] = {absl::StrCat(now), expires};
        break;
      }
      case 1:
        ASSERT_EQ(store.Erase(key, now), in_model != model.end());
        model.erase(key);
        break;
      case 2:
        if (const Store::Entry* entry = store.Find(key, now); entry != nullptr) {
          store.SetExpiry(*entry, now + 20);
          model[key].second = now + 20;
        }
        break;
      case 3:
        store.ExpireDue(now, numbers.Below(3));
        break;
      default:
        ASSERT_EQ(Get(store, key, now), in_model == model.end() ? std::nullopt : std::optional(in_model->second.first));
    }
  }
  const int64_t end = 20'000;
  std::erase_if(model, [&](const auto& item) { return item.second.second <= end; });
  store.ExpireDue(end, 1'000);
  EXPECT_EQ(store.size(), model.size());
}

TEST(StoreExpiryTest, EntryIsGoneFromItsTimeOn) {
  Store store;
  Put(store, "a", "1", 500);

  EXPECT_EQ(Get(store, "a", 499), "1");
  EXPECT_EQ(Get(store, "a", 500), std::nullopt);
  EXPECT_EQ(store.size(), 0u);
  EXPECT_EQ(store.expired_total(), 1u);
}

TEST(StoreExpiryTest, ScansDoNotShowExpiredEntries) {
  Store store;
  Put(store, "a", "1", 500);
  Put(store, "b", "1");

  std::vector<std::string> keys;
  uint64_t cursor = 0;
  ScanOnce(store, cursor, 10, keys, 500);

  EXPECT_EQ(keys, std::vector<std::string>{"b"});
  EXPECT_EQ(KeysInOrder(store, 500), std::vector<std::string>{"b"});
}

TEST(StoreExpiryTest, ExpiredEntryCannotBeErased) {
  Store store;
  Put(store, "a", "1", 500);

  EXPECT_FALSE(store.Erase("a", 500));
}

TEST(StoreExpiryTest, ExpireDueRemovesTheEarliestFirstAndNoMoreThanAsked) {
  Store store;
  Put(store, "late", "", 30);
  Put(store, "early", "", 10);
  Put(store, "middle", "", 20);

  EXPECT_EQ(store.ExpireDue(100, 2), 2u);
  EXPECT_EQ(KeysInOrder(store, 0), std::vector<std::string>{"late"});
  EXPECT_EQ(store.ExpireDue(29, 2), 0u);
  EXPECT_EQ(store.ExpireDue(30, 2), 1u);
  EXPECT_EQ(store.expired_total(), 3u);
}

TEST(StoreExpiryTest, NextExpiryFollowsEveryChange) {
  Store store;
  EXPECT_EQ(store.next_expiry_ms(), std::nullopt);
  Put(store, "a", "", 30);
  Put(store, "b", "", 20);
  EXPECT_EQ(store.next_expiry_ms(), 20);
  Put(store, "b", "", kNoExpiry);
  EXPECT_EQ(store.next_expiry_ms(), 30);
  store.SetExpiry(*store.Find("a", 0), 40);
  EXPECT_EQ(store.next_expiry_ms(), 40);
  EXPECT_EQ(store.expiring_count(), 1u);
  store.Erase("a", 0);
  EXPECT_EQ(store.next_expiry_ms(), std::nullopt);
}

TEST(StoreExpiryTest, ReplaceAndAppendKeepTheExpiry) {
  Store store;
  Put(store, "a", "1", 500);

  store.Replace(*store.Find("a", 0), Value("2"));
  store.Append(*store.Find("a", 0), "3");

  EXPECT_EQ(Get(store, "a", 499), "23");
  EXPECT_EQ(Get(store, "a", 500), std::nullopt);
}

TEST(StoreScanTest, VisitsEachKeyOnceForEveryCount) {
  Store store;
  std::vector<std::string> expected;
  for (int i = 0; i < 500; ++i) {
    Put(store, absl::StrCat("key", i), "");
    expected.push_back(absl::StrCat("key", i));
  }
  std::sort(expected.begin(), expected.end());

  for (const size_t count : {1, 2, 7, 10, 499, 500, 1000}) {
    std::vector<std::string> keys = ScanAll(store, count);
    std::sort(keys.begin(), keys.end());
    EXPECT_EQ(keys, expected) << "count " << count;
  }
}

TEST(StoreScanTest, OneCallVisitsNoMoreThanAsked) {
  Store store;
  for (int i = 0; i < 500; ++i) Put(store, absl::StrCat("key", i), "");

  std::vector<std::string> keys;
  uint64_t cursor = 0;
  ScanOnce(store, cursor, 10, keys);

  EXPECT_EQ(keys.size(), 10u);
  EXPECT_NE(cursor, 0u);
}

TEST(StoreScanTest, KeyPresentThroughoutIsVisitedOnceWhateverElseChanges) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Store store(seed);
    Lcg numbers(seed);
    for (int i = 0; i < 300; ++i) Put(store, absl::StrCat("stays", i), "");
    for (int i = 0; i < 300; ++i) Put(store, absl::StrCat("goes", i), "");

    std::vector<std::string> keys;
    uint64_t cursor = 0;
    do {
      ScanOnce(store, cursor, 1 + numbers.Below(20), keys);
      for (int i = 0; i < 10; ++i) {
        store.Erase(absl::StrCat("goes", numbers.Below(300)), kNow);
        Put(store, absl::StrCat("comes", numbers.Below(1000)), "", kNow + static_cast<int64_t>(numbers.Below(2)));
        Put(store, absl::StrCat("stays", numbers.Below(300)), "changed");
      }
    } while (cursor != 0);

    std::map<std::string, int> visits;
    for (const std::string& key : keys) ++visits[key];
    for (int i = 0; i < 300; ++i) EXPECT_EQ(visits[absl::StrCat("stays", i)], 1) << i << " with seed " << seed;
  }
}

TEST(StoreScanTest, EqualHashesAreNeverSplit) {
  Store store = Store::WithHashForTest([](uint64_t, std::string_view key) { return (key.size() % 3) << 60; });
  for (size_t length = 0; length < 90; ++length) Put(store, std::string(length, 'k'), "");

  std::vector<std::string> keys;
  uint64_t cursor = 0;
  ScanOnce(store, cursor, 1, keys);

  EXPECT_EQ(keys.size(), 30u);
  EXPECT_EQ(ScanAll(store, 1).size(), 90u);
}

TEST(StoreScanTest, CursorFitsADouble) {
  Store store;
  for (int i = 0; i < 1000; ++i) Put(store, absl::StrCat("key", i), "");

  std::vector<std::string> keys;
  uint64_t cursor = 0;
  do {
    ScanOnce(store, cursor, 1, keys);
    EXPECT_LT(cursor, uint64_t{1} << 53);
  } while (cursor != 0);
}

TEST(StoreScanTest, LongKeysEndACallEarly) {
  Store store;
  for (int i = 0; i < 10; ++i) Put(store, std::string(700'000, static_cast<char>('a' + i)), "");

  std::vector<std::string> keys;
  uint64_t cursor = 0;
  ScanOnce(store, cursor, 10, keys);

  EXPECT_EQ(keys.size(), 2u);
  EXPECT_EQ(ScanAll(store, 10).size(), 10u);
}

TEST(StoreScanTest, CursorBeyondAllKeysEndsTheScan) {
  Store store;
  Put(store, "a", "");

  std::vector<std::string> keys;
  uint64_t cursor = UINT64_MAX;
  ScanOnce(store, cursor, 10, keys);

  EXPECT_EQ(cursor, 0u);
  EXPECT_TRUE(keys.empty());
}

TEST(StoreMemoryTest, CountsKeysAndValuesThroughEveryChange) {
  Store store;
  Put(store, "key", std::string(100, 'v'));
  EXPECT_EQ(store.memory().key_bytes, 3u);
  EXPECT_EQ(store.memory().value_bytes, 100u);
  EXPECT_GT(store.memory().total_bytes, 103u);

  Put(store, "key", std::string(50, 'v'));
  store.Append(*store.Find("key", kNow), "12345");
  EXPECT_EQ(store.memory().value_bytes, 55u);

  Put(store, "other", "x", 10);
  store.Erase("key", 0);
  store.ExpireDue(kNow, 10);
  EXPECT_EQ(store.memory().total_bytes, 0u);

  Put(store, "key", "value");
  store.Clear();
  EXPECT_EQ(store.memory().total_bytes, 0u);
  EXPECT_EQ(store.size(), 0u);
}

TEST(StoreMemoryTest, WhatIsReplacedOrRemovedCountsAsLongAsItIsHeld) {
  Store store;
  const std::string large(100'000, 'v');
  const auto store_and_hold = [&](int64_t expires_at_ms) {
    store.Set("key", Value(large), expires_at_ms, 0);
    return store.Find("key", kNow)->value.shared();
  };
  std::vector<std::shared_ptr<const std::string>> held;

  held.push_back(store_and_hold(kNoExpiry));
  EXPECT_EQ(store.memory().released_bytes, 0u);
  held.push_back(store_and_hold(kNoExpiry));  // Replaces the first.
  EXPECT_EQ(store.memory().released_bytes, 100'000u);
  store.Append(*store.Find("key", kNow), "more");
  EXPECT_EQ(store.memory().released_bytes, 200'000u);
  held.push_back(store_and_hold(kNoExpiry));  // Replaces what nobody holds.
  EXPECT_EQ(store.memory().released_bytes, 200'000u);
  store.Erase("key", kNow);
  held.push_back(store_and_hold(kNoExpiry));
  store.Clear();
  held.push_back(store_and_hold(kNow + 1));
  store.ExpireDue(kNow + 1, 1);
  EXPECT_EQ(store.memory().released_bytes, 500'000u);
  EXPECT_EQ(store.memory().total_bytes, 0u);
  for (const auto& bytes : held) EXPECT_EQ(*bytes, large);
  held.pop_back();
  EXPECT_EQ(store.memory().released_bytes, 400'000u);
  held.clear();
  EXPECT_EQ(store.memory().released_bytes, 0u);
}

TEST(ValueTest, SharedBytesNeverChangeUnderAHolder) {
  Value value(std::string(kSharedValueBytes, 'a'));
  const std::shared_ptr<const std::string> held = value.shared();
  ASSERT_NE(held, nullptr);

  value.Append("b", std::make_shared<size_t>(0));

  EXPECT_EQ(*held, std::string(kSharedValueBytes, 'a'));
  EXPECT_EQ(value.view(), std::string(kSharedValueBytes, 'a') + "b");
}

TEST(ValueTest, AppendGrowsASmallValueIntoASharedOne) {
  Value value(std::string(kSharedValueBytes - 1, 'a'));
  ASSERT_EQ(value.shared(), nullptr);

  value.Append("b", std::make_shared<size_t>(0));

  EXPECT_NE(value.shared(), nullptr);
  EXPECT_EQ(value.view(), std::string(kSharedValueBytes - 1, 'a') + "b");
}

}  // namespace
}  // namespace tandem::kv
