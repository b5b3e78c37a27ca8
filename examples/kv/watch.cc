// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/kv/watch.h"

#include "absl/log/check.h"

namespace tandem::kv {
namespace {

// What a watched key costs besides its bytes: a node of the table with its allocator header, and an iterator.
constexpr size_t kWatchOverheadBytes = 112;

}  // namespace

void WatchTable::TouchWatched(std::string_view key) {
  for (auto at = watches_.lower_bound(Probe{key, 0}); at != watches_.end() && at->key == key; ++at) {
    at->watcher->touched_ = true;
  }
}

void WatchTable::TouchAll(absl::FunctionRef<bool(std::string_view key)> was_changed) {
  for (const Watch& watch : watches_) {
    if (!watch.watcher->touched_ && was_changed(watch.key)) watch.watcher->touched_ = true;
  }
}

void Watcher::Add(const std::shared_ptr<WatchTable>& table, std::string_view key) {
  if (table_ == nullptr) {
    table_ = table;
    id_ = table_->next_watcher_id_++;
  }
  CHECK(table_ == table) << "a watcher belongs to one table";
  const auto [at, is_new] = table_->watches_.insert({std::string(key), id_, this});
  if (!is_new) return;
  watches_.push_back(at);
  held_bytes_ += key.size() + kWatchOverheadBytes;
}

void Watcher::Clear() {
  for (const auto at : watches_) table_->watches_.erase(at);
  std::vector<WatchTable::Watches::const_iterator>().swap(watches_);
  table_ = nullptr;
  held_bytes_ = 0;
  touched_ = false;
}

void Watcher::ForEachKey(absl::FunctionRef<void(std::string_view key)> visit) const {
  for (const auto at : watches_) visit(at->key);
}

}  // namespace tandem::kv
