// SPDX-License-Identifier: Apache-2.0
//
// The key-value store: strings with an optional expiry, in a defined order.
//
// Entries are ordered by a keyed 52-bit hash of the key, then by the key. One ordered index thus serves lookups, KEYS
// and SCAN: a scan's cursor is the hash at which it goes on, so inserts and deletes elsewhere cannot move it, and an
// entry that exists during a whole scan is passed exactly once. 52 bits, because clients read a cursor into a double as
// well. A second index orders the entries that expire by time, then by hash and key. So every order the store shows
// follows from its contents and its seed alone.
//
// The store has no clock. Each call takes the present as milliseconds of a monotonic clock, which must not run
// backwards from call to call. An entry whose expiry is not later than that is gone: lookups and scans do not show it,
// and the first lookup or ExpireDue() that meets it removes it.
//
// Every change of an entry, its removal included, marks those who watch its key (watch.h).
//
// Thread-compatible.

#ifndef TANDEM_EXAMPLES_KV_STORE_H_
#define TANDEM_EXAMPLES_KV_STORE_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/container/btree_set.h"
#include "absl/functional/function_ref.h"
#include "absl/types/compare.h"
#include "tandem/examples/kv/memory_trimmer.h"
#include "tandem/examples/kv/value.h"
#include "tandem/examples/kv/watch.h"

namespace tandem::kv {

// The expiry of an entry that has none.
inline constexpr int64_t kNoExpiry = std::numeric_limits<int64_t>::max();

// How a value has come about, on which it depends how Redis would keep it.
enum class ValueForm : uint8_t {
  kWhole,   // Was set as a whole.
  kText,    // The same, and is text even if it reads as an integer.
  kEdited,  // Was appended to, or changed in place, since.
};

class Store {
 public:
  // A stored key. References stay valid until the store removes the entry.
  struct Entry {
    const std::string key;
    const uint64_t hash;
    Value value;
    int64_t expires_at_ms = kNoExpiry;
    // The second of the last lookup that counts as a use.
    uint32_t used_at_s = 0;
    ValueForm form = ValueForm::kWhole;
  };

  struct MemoryStatistics {
    // The sizes of keys and values plus a fixed estimate per entry: the same number for the same contents, whatever
    // the compiler and the allocator.
    size_t total_bytes = 0;
    size_t key_bytes = 0;
    size_t value_bytes = 0;
    // Beside all that: values that were replaced or removed, but that replies still hold.
    size_t released_bytes = 0;
  };

  using HashFunction = uint64_t (*)(uint64_t seed, std::string_view key);

  // `hash_seed` makes the order unpredictable for clients: without it, a client could choose keys of one hash, which a
  // scan returns in one call.
  explicit Store(uint64_t hash_seed = 0);
  // A store with another hash function, to provoke collisions.
  static Store WithHashForTest(HashFunction hash) { return Store(0, hash); }

  Store(Store&&) = default;
  Store& operator=(Store&&) = default;

  // Returns the entry of `key`, or null. The caller must not change it but through the store.
  const Entry* Find(std::string_view key, int64_t now_ms);
  // The same for a lookup that does not count as a use of the entry.
  const Entry* Peek(std::string_view key, int64_t now_ms);
  // Returns some entry, by the store's own random numbers, or null if there is none. Where the entries are few, each is
  // as likely as any other; among many, one behind a gap in the order is somewhat more likely.
  const Entry* FindRandom(int64_t now_ms);

  // Stores `value` under `key`, whatever was there. `expires_at_ms` is kNoExpiry or a time; one that is not in the
  // future makes the entry gone at once. Returns the entry.
  const Entry& Set(std::string_view key, Value value, int64_t expires_at_ms, int64_t now_ms);

  // Removes `key`. Returns whether it was there.
  bool Erase(std::string_view key, int64_t now_ms);

  // Replaces the value of an entry that Find() returned, and keeps its expiry.
  void Replace(const Entry& entry, Value value);
  // Appends to the value of an entry that Find() returned, and keeps its expiry.
  void Append(const Entry& entry, std::string_view tail);
  // Makes the value of an entry that Find() returned `size` bytes long, which must not be less than now, by zeros at
  // its end, and returns its bytes, to be changed before the next call. Keeps the expiry.
  std::span<char> Edit(const Entry& entry, size_t size);
  // Says how the value of an entry has come about: kWhole after Set() and Replace(), kEdited after Append() and Edit().
  void SetForm(const Entry& entry, ValueForm form) { Mutable(entry).form = form; }
  // Sets the expiry of an entry that Find() returned.
  void SetExpiry(const Entry& entry, int64_t expires_at_ms);
  // Moves an entry that Find() returned, with its expiry, to another key, whatever was there.
  void Rename(const Entry& entry, std::string_view new_key, int64_t now_ms);
  // Stores the same value with the same expiry under another key as well, whatever was there.
  void Copy(const Entry& entry, std::string_view new_key, int64_t now_ms);

  void Clear();

  // Lets `watcher` know when `key` changes, be it there or not.
  void Watch(std::string_view key, int64_t now_ms, Watcher& watcher);

  // Removes at most `max_entries` entries whose time has come, earliest first. Returns how many it removed.
  size_t ExpireDue(int64_t now_ms, size_t max_entries);
  // When the next entry expires: when ExpireDue() is worth calling again.
  std::optional<int64_t> next_expiry_ms() const;

  // Visits about `count` entries in order from `cursor` on (0 is the start), and returns the cursor to go on with, 0 at
  // the end. More than `count` are visited if their hashes are equal, fewer once the visited keys add up to 1 MiB.
  //
  // An entry that is there from a scan's first call to its last is visited once. One that is added or removed
  // meanwhile is visited once or never. `visit` must not change the store.
  uint64_t Scan(uint64_t cursor, size_t count, int64_t now_ms, absl::FunctionRef<void(const Entry&)> visit) const;

  // Visits all entries in order until `visit` returns false. `visit` must not change the store.
  void ForEach(int64_t now_ms, absl::FunctionRef<bool(const Entry&)> visit) const;

  // The number of entries, expired ones that were not yet removed included.
  size_t size() const { return entries_.size(); }
  // The number of those that have an expiry.
  size_t expiring_count() const { return expiring_.size(); }
  // How many entries have been removed because their time had come.
  uint64_t expired_total() const { return expired_total_; }
  MemoryStatistics memory() const;

 private:
  struct Slot {
    uint64_t hash;
    std::unique_ptr<Entry> entry;
  };
  // What a lookup compares with slots, without building an entry.
  struct Probe {
    uint64_t hash;
    std::string_view key;
  };
  struct Order {
    using is_transparent = void;
    static std::string_view KeyOf(const Slot& slot) { return slot.entry->key; }
    static std::string_view KeyOf(const Probe& probe) { return probe.key; }
    template <typename A, typename B>
    absl::weak_ordering operator()(const A& a, const B& b) const {
      if (a.hash != b.hash) return a.hash < b.hash ? absl::weak_ordering::less : absl::weak_ordering::greater;
      const int order = KeyOf(a).compare(KeyOf(b));
      if (order == 0) return absl::weak_ordering::equivalent;
      return order < 0 ? absl::weak_ordering::less : absl::weak_ordering::greater;
    }
  };
  struct Expiring {
    int64_t expires_at_ms;
    Entry* entry;
  };
  struct ExpiryOrder {
    bool operator()(const Expiring& a, const Expiring& b) const {
      if (a.expires_at_ms != b.expires_at_ms) return a.expires_at_ms < b.expires_at_ms;
      if (a.entry->hash != b.entry->hash) return a.entry->hash < b.entry->hash;
      return a.entry->key < b.entry->key;
    }
  };
  using Entries = absl::btree_set<Slot, Order>;

  Store(uint64_t hash_seed, HashFunction hash) : hash_seed_(hash_seed), hash_(hash), random_state_(hash_seed) {}

  uint64_t HashOf(std::string_view key) const;
  Probe ProbeFor(std::string_view key) const { return {HashOf(key), key}; }
  Entries::iterator FindLive(std::string_view key, int64_t now_ms);
  void Remove(Entries::iterator at);
  uint64_t NextRandom();
  size_t data_bytes() const;
  // The store's own, changeable view of an entry that it handed out as const.
  Entry& Mutable(const Entry& entry);

  uint64_t hash_seed_;
  HashFunction hash_;
  uint64_t random_state_;
  Entries entries_;
  absl::btree_set<Expiring, ExpiryOrder> expiring_;
  size_t key_bytes_ = 0;
  size_t value_bytes_ = 0;
  ReleasedBytes released_bytes_ = std::make_shared<size_t>(0);
  // Shared with the watchers, which may outlive the store.
  std::shared_ptr<WatchTable> watches_ = std::make_shared<WatchTable>();
  uint64_t expired_total_ = 0;
  MemoryTrimmer trimmer_;
};

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_STORE_H_
