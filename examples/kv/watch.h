// SPDX-License-Identifier: Apache-2.0
//
// Who wants to know that a key has changed: what WATCH asks for.
//
// A Watcher is one client's side: the keys it watches, and whether one of them was touched since. A WatchTable is the
// store's side. Touching a key that nobody watches costs one comparison while nobody watches anything.
//
// Thread-compatible: a table and its watchers belong to one thread.

#ifndef TANDEM_EXAMPLES_KV_WATCH_H_
#define TANDEM_EXAMPLES_KV_WATCH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"

namespace tandem::kv {

class Watcher;

class WatchTable {
 public:
  WatchTable() = default;
  WatchTable(const WatchTable&) = delete;
  WatchTable& operator=(const WatchTable&) = delete;

  // Marks everybody who watches `key`.
  void Touch(std::string_view key) {
    if (!watches_.empty()) TouchWatched(key);
  }
  // Marks everybody who watches a key for which `was_changed` returns true.
  void TouchAll(absl::FunctionRef<bool(std::string_view key)> was_changed);

 private:
  friend class Watcher;

  struct Watch {
    std::string key;
    uint64_t watcher_id;
    Watcher* watcher;
  };
  struct Probe {
    std::string_view key;
    uint64_t watcher_id;
  };
  // By key, so that those who watch one key lie together; then by watcher, so that one of many is found at once.
  struct Order {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      const int order = std::string_view(a.key).compare(std::string_view(b.key));
      return order != 0 ? order < 0 : a.watcher_id < b.watcher_id;
    }
  };
  using Watches = std::set<Watch, Order>;  // Its iterators stay valid, which the watchers rely on.

  void TouchWatched(std::string_view key);

  Watches watches_;
  uint64_t next_watcher_id_ = 1;
};

class Watcher {
 public:
  Watcher() = default;
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;
  ~Watcher() { Clear(); }

  // Watches `key` of `table` as well. All keys of a watcher belong to one table, until it is cleared.
  void Add(const std::shared_ptr<WatchTable>& table, std::string_view key);
  // Watches nothing any more; nothing counts as touched.
  void Clear();

  // Whether one of the keys was touched since it was added.
  bool touched() const { return touched_; }
  // Calls `visit` with each key.
  void ForEachKey(absl::FunctionRef<void(std::string_view key)> visit) const;
  size_t key_count() const { return watches_.size(); }
  // The memory that the keys take.
  size_t held_bytes() const { return held_bytes_; }

 private:
  friend class WatchTable;

  std::shared_ptr<WatchTable> table_;
  uint64_t id_ = 0;  // Of this watcher in table_.
  std::vector<WatchTable::Watches::const_iterator> watches_;
  size_t held_bytes_ = 0;
  bool touched_ = false;
};

}  // namespace tandem::kv

#endif  // TANDEM_EXAMPLES_KV_WATCH_H_
