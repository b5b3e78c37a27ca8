// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/kv/store.h"

#include <bit>
#include <iterator>
#include <utility>

#include "absl/log/check.h"

namespace tandem::kv {
namespace {

// What an entry costs besides its bytes: the entry itself, its slots in both indexes, allocator headers.
constexpr size_t kEntryOverheadBytes = 144;

// One call of Scan() replies with no more than this many key bytes (and the key that crosses the line).
constexpr size_t kMaxScanKeyBytes = size_t{1} << 20;

constexpr int kHashBits = 52;

// How far FindRandom() walks.
constexpr uint64_t kMaxRandomSteps = 64;

uint64_t LoadLittleEndian(const char* bytes, size_t count) {
  uint64_t word = 0;
  for (size_t i = 0; i < count; ++i) word |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  return word;
}

// SipHash-1-3 (Aumasson and Bernstein), as hash tables of Rust and Ruby use it: keyed, so collisions cannot be made
// without the key, and defined on bytes, so the same on every machine.
struct SipState {
  uint64_t v0, v1, v2, v3;

  void Round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }

  void Absorb(uint64_t word) {
    v3 ^= word;
    Round();
    v0 ^= word;
  }
};

uint64_t SipHash13(uint64_t seed, std::string_view key) {
  const uint64_t k0 = seed;
  const uint64_t k1 = std::rotl(seed, 32) ^ 0x9e3779b97f4a7c15;
  SipState state{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573};

  const size_t whole = key.size() - key.size() % 8;
  for (size_t at = 0; at < whole; at += 8) state.Absorb(LoadLittleEndian(key.data() + at, 8));
  const uint64_t length_byte = static_cast<uint64_t>(key.size()) << 56;
  state.Absorb(length_byte | LoadLittleEndian(key.data() + whole, key.size() % 8));

  state.v2 ^= 0xff;
  for (int i = 0; i < 3; ++i) state.Round();
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

uint32_t SecondOf(int64_t now_ms) { return static_cast<uint32_t>(now_ms / 1000); }

bool IsExpired(const Store::Entry& entry, int64_t now_ms) { return entry.expires_at_ms <= now_ms; }

}  // namespace

Store::Store(uint64_t hash_seed) : Store(hash_seed, SipHash13) {}

uint64_t Store::HashOf(std::string_view key) const { return hash_(hash_seed_, key) >> (64 - kHashBits); }

const Store::Entry* Store::Find(std::string_view key, int64_t now_ms) {
  const auto at = FindLive(key, now_ms);
  if (at == entries_.end()) return nullptr;
  at->entry->used_at_s = SecondOf(now_ms);
  return at->entry.get();
}

const Store::Entry* Store::Peek(std::string_view key, int64_t now_ms) {
  const auto at = FindLive(key, now_ms);
  return at == entries_.end() ? nullptr : at->entry.get();
}

// SplitMix64.
uint64_t Store::NextRandom() {
  random_state_ += 0x9e3779b97f4a7c15;
  uint64_t z = random_state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// A random hash, and from there a few entries on: the hash alone would prefer entries behind a gap.
const Store::Entry* Store::FindRandom(int64_t now_ms) {
  while (!entries_.empty()) {
    auto at = entries_.lower_bound(Probe{NextRandom() >> (64 - kHashBits), {}});
    for (uint64_t steps = NextRandom() % kMaxRandomSteps;; --steps) {
      if (at == entries_.end()) at = entries_.begin();
      if (steps == 0) break;
      ++at;
    }
    if (!IsExpired(*at->entry, now_ms)) return at->entry.get();
    ++expired_total_;
    Remove(at);
  }
  return nullptr;
}

Store::Entries::iterator Store::FindLive(std::string_view key, int64_t now_ms) {
  const auto at = entries_.find(ProbeFor(key));
  if (at == entries_.end() || !IsExpired(*at->entry, now_ms)) return at;
  ++expired_total_;
  Remove(at);
  return entries_.end();
}

const Store::Entry& Store::Set(std::string_view key, Value value, int64_t expires_at_ms, int64_t now_ms) {
  const Probe probe = ProbeFor(key);
  auto at = entries_.lower_bound(probe);
  if (at == entries_.end() || at->hash != probe.hash || at->entry->key != key) {
    at = entries_.insert(at, Slot{probe.hash, std::make_unique<Entry>(std::string(key), probe.hash)});
    key_bytes_ += key.size();
  }
  Entry& entry = *at->entry;
  entry.used_at_s = SecondOf(now_ms);
  Replace(entry, std::move(value));
  SetExpiry(entry, expires_at_ms);
  return entry;
}

bool Store::Erase(std::string_view key, int64_t now_ms) {
  const auto at = FindLive(key, now_ms);
  if (at == entries_.end()) return false;
  Remove(at);
  return true;
}

Store::Entry& Store::Mutable(const Entry& entry) { return const_cast<Entry&>(entry); }

void Store::Replace(const Entry& entry, Value value) {
  const bool shrinks = value.size() < entry.value.size();
  if (shrinks) trimmer_.NoteSize(data_bytes(), entries_.size());
  value_bytes_ -= entry.value.size();
  value_bytes_ += value.size();
  Entry& changed = Mutable(entry);
  changed.value.Release(released_bytes_);
  changed.value = std::move(value);
  changed.form = ValueForm::kWhole;
  watches_->Touch(entry.key);
  if (shrinks) trimmer_.NoteSize(data_bytes(), entries_.size());
}

void Store::Append(const Entry& entry, std::string_view tail) {
  value_bytes_ += tail.size();
  Entry& changed = Mutable(entry);
  changed.value.Append(tail, released_bytes_);
  changed.form = ValueForm::kEdited;
  watches_->Touch(entry.key);
}

std::span<char> Store::Edit(const Entry& entry, size_t size) {
  CHECK_GE(size, entry.value.size()) << "Edit() does not shorten a value";
  value_bytes_ += size - entry.value.size();
  Entry& changed = Mutable(entry);
  changed.form = ValueForm::kEdited;
  watches_->Touch(entry.key);
  return changed.value.GrowTo(size, released_bytes_);
}

void Store::SetExpiry(const Entry& entry, int64_t expires_at_ms) {
  watches_->Touch(entry.key);
  if (entry.expires_at_ms == expires_at_ms) return;
  Entry& changed = Mutable(entry);
  if (changed.expires_at_ms != kNoExpiry) expiring_.erase({changed.expires_at_ms, &changed});
  changed.expires_at_ms = expires_at_ms;
  if (expires_at_ms != kNoExpiry) expiring_.insert({expires_at_ms, &changed});
}

void Store::Rename(const Entry& entry, std::string_view new_key, int64_t now_ms) {
  const auto at = entries_.find(Probe{entry.hash, entry.key});
  CHECK(at != entries_.end()) << "Rename() of an entry that the store does not have";
  const int64_t expires_at_ms = entry.expires_at_ms;
  const ValueForm form = entry.form;
  value_bytes_ -= entry.value.size();
  Value value = std::exchange(Mutable(entry).value, Value());
  Remove(at);
  SetForm(Set(new_key, std::move(value), expires_at_ms, now_ms), form);
}

void Store::Copy(const Entry& entry, std::string_view new_key, int64_t now_ms) {
  const ValueForm form = entry.form;
  SetForm(Set(new_key, entry.value.Copy(), entry.expires_at_ms, now_ms), form);
}

void Store::Watch(std::string_view key, int64_t now_ms, Watcher& watcher) {
  // What has expired by now must not count as a change later.
  Peek(key, now_ms);
  watcher.Add(watches_, key);
}

void Store::Remove(Entries::iterator at) {
  trimmer_.NoteSize(data_bytes(), entries_.size());
  Entry& entry = *at->entry;
  watches_->Touch(entry.key);
  if (entry.expires_at_ms != kNoExpiry) expiring_.erase({entry.expires_at_ms, &entry});
  key_bytes_ -= entry.key.size();
  value_bytes_ -= entry.value.size();
  entry.value.Release(released_bytes_);
  entries_.erase(at);
  trimmer_.NoteSize(data_bytes(), entries_.size());
}

void Store::Clear() {
  trimmer_.NoteSize(data_bytes(), entries_.size());
  watches_->TouchAll([this](std::string_view key) { return entries_.contains(ProbeFor(key)); });
  expiring_.clear();
  for (const Slot& slot : entries_) slot.entry->value.Release(released_bytes_);
  entries_.clear();
  key_bytes_ = 0;
  value_bytes_ = 0;
  trimmer_.NoteSize(0, 0);
}

size_t Store::ExpireDue(int64_t now_ms, size_t max_entries) {
  size_t removed = 0;
  while (removed < max_entries && !expiring_.empty() && expiring_.begin()->expires_at_ms <= now_ms) {
    const Entry& entry = *expiring_.begin()->entry;
    const auto at = entries_.find(Probe{entry.hash, entry.key});
    CHECK(at != entries_.end());  // Both indexes hold the same entries.
    Remove(at);
    ++removed;
  }
  expired_total_ += removed;
  return removed;
}

std::optional<int64_t> Store::next_expiry_ms() const {
  if (expiring_.empty()) return std::nullopt;
  return expiring_.begin()->expires_at_ms;
}

uint64_t Store::Scan(uint64_t cursor, size_t count, int64_t now_ms, absl::FunctionRef<void(const Entry&)> visit) const {
  size_t visited = 0;
  size_t key_bytes = 0;
  uint64_t last_hash = 0;
  for (auto at = entries_.lower_bound(Probe{cursor, {}}); at != entries_.end(); ++at) {
    // The cursor can name a hash only as a whole, so a run of equal hashes is never split.
    const bool is_full = visited >= count || key_bytes >= kMaxScanKeyBytes;
    if (visited > 0 && is_full && at->hash != last_hash) return at->hash;
    last_hash = at->hash;
    ++visited;
    key_bytes += at->entry->key.size();
    if (!IsExpired(*at->entry, now_ms)) visit(*at->entry);
  }
  return 0;
}

void Store::ForEach(int64_t now_ms, absl::FunctionRef<bool(const Entry&)> visit) const {
  for (const Slot& slot : entries_) {
    if (!IsExpired(*slot.entry, now_ms) && !visit(*slot.entry)) return;
  }
}

size_t Store::data_bytes() const { return key_bytes_ + value_bytes_ + entries_.size() * kEntryOverheadBytes; }

Store::MemoryStatistics Store::memory() const {
  MemoryStatistics memory;
  memory.key_bytes = key_bytes_;
  memory.value_bytes = value_bytes_;
  memory.released_bytes = *released_bytes_;
  memory.total_bytes = data_bytes();
  return memory;
}

}  // namespace tandem::kv
