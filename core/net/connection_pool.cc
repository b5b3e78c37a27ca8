// SPDX-License-Identifier: Apache-2.0
//
// Checks, and destructors of connections, are the program's code and may call the pool: they run when its lists are in
// order, and nothing that was looked up before is used after them but a host that has a slot or a waiter.

#include "tandem/core/net/connection_pool.h"

#include "absl/strings/str_cat.h"
#include "tandem/core/async/executor.h"

namespace tandem::internal {

void PoolState::Slot::Free() {
  if (!valid()) return;
  connection_.reset();
  std::exchange(pool_, {})->FreeSlot(*host_);
}

void PoolState::Slot::KeepIdle() {
  CHECK(valid() && connection_ != nullptr) << "a connection was returned twice";
  std::exchange(pool_, {})->KeepIdle(*host_, std::move(connection_));
}

PoolState::TakeSlotOperation::~TakeSlotOperation() {
  if (ListLink<WaitListTag>::linked())
    ListLink<WaitListTag>::Unlink();  // Only when a simulated crash destroys the frame.
}

std::string PoolState::TakeSlotOperation::Describe() const { return absl::StrCat("a pooled connection to ", name_); }

bool PoolState::TakeSlotOperation::Start() {
  CHECK(!pool_.closed_) << "a connection was asked for from a pool that is gone";
  Host& host = pool_.HostNamed(name_);
  // Those who wait are waiting for what this call would take.
  if (host.waiters.empty()) slot_ = pool_.TryTake(host);
  if (slot_.has_value()) return true;
  if (pool_.statistics_.waiting >= pool_.options_.max_waiting()) {
    refused_ = true;
    pool_.ForgetIfUnused(host);
    return true;
  }
  host_ = &host;
  arrival_ = pool_.arrivals_++;
  ++pool_.statistics_.waiting;
  host.waiters.PushBack(*this);
  pool_.UpdateReady(host);
  return false;
}

void PoolState::TakeSlotOperation::OnStop() {
  if (slot_.has_value()) return;
  ListLink<WaitListTag>::Unlink();
  --pool_.statistics_.waiting;
  pool_.UpdateReady(*host_);
  pool_.ForgetIfUnused(*host_);
  Finish();
}

absl::StatusOr<PoolState::Slot> PoolState::TakeSlotOperation::TakeResult() {
  if (slot_.has_value()) return *std::move(slot_);
  if (!refused_) return StopStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("acquire a connection to ", name_, ": ", pool_.options_.max_waiting(), " calls wait already"));
}

PoolState::~PoolState() {
  for (auto& [name, host] : hosts_) {
    CHECK(host.waiters.empty() || Executor::Current().dead());
    while (!host.waiters.empty()) host.waiters.PopFront();
  }
}

PoolState::Host& PoolState::HostNamed(const std::string& name) {
  const auto [it, is_new] = hosts_.try_emplace(name);
  if (is_new) it->second.name = name;
  return it->second;
}

void PoolState::ForgetIfUnused(Host& host) {
  if (host.total == 0 && host.waiters.empty()) hosts_.erase(hosts_.find(host.name));
}

std::optional<PoolState::Slot> PoolState::TryTake(Host& host) {
  ++steps_;
  while (!host.idle.empty()) {
    std::unique_ptr<AnyConnection> connection = TakeIdle(host.idle.front());
    if (connection->IsHealthy()) {
      ++statistics_.in_use;
      ++statistics_.reused;
      return Slot(Ref<PoolState>::Share(*this), host, std::move(connection));
    }
    connection.reset();
    DropSlot(host);
  }
  const bool full = total_ >= options_.max_total();
  if (host.total >= options_.max_per_host() || (full && idle_.empty())) return std::nullopt;
  ++host.total;
  ++total_;
  ++statistics_.in_use;
  UpdateReady(host);
  if (full) EvictIdle();
  return Slot(Ref<PoolState>::Share(*this), host, nullptr);
}

void PoolState::UpdateReady(Host& host) {
  std::optional<uint64_t> key;
  if (!host.waiters.empty() && (!host.idle.empty() || host.total < options_.max_per_host())) {
    key = host.waiters.front().arrival_;
  }
  if (key == host.ready_as) return;
  if (host.ready_as.has_value()) ready_.erase(*host.ready_as);
  if (key.has_value()) ready_.emplace(*key, &host);
  host.ready_as = key;
}

// A waiter that got a slot is resumed later; until then it holds it.
void PoolState::Serve() {
  if (closed_ || Executor::Current().dead()) return;
  while (!ready_.empty()) {
    Host& host = *ready_.begin()->second;
    std::optional<Slot> slot = TryTake(host);
    if (!slot.has_value()) {
      UpdateReady(host);
      ForgetIfUnused(host);
      if (total_ >= options_.max_total() && idle_.empty()) return;
      continue;
    }
    if (host.waiters.empty()) continue;  // A check has cancelled them; the slot is given back.
    TakeSlotOperation& waiter = host.waiters.PopFront();
    UpdateReady(host);
    waiter.slot_ = std::move(slot);
    --statistics_.waiting;
    waiter.Finish();
  }
}

std::unique_ptr<PoolState::AnyConnection> PoolState::TakeIdle(AnyConnection& connection) {
  connection.ListLink<HostIdleTag>::Unlink();
  connection.ListLink<IdleTag>::Unlink();
  --statistics_.idle;
  UpdateReady(*connection.host_);
  return std::unique_ptr<AnyConnection>(&connection);
}

void PoolState::DropSlot(Host& host) {
  --host.total;
  --total_;
  UpdateReady(host);
}

bool PoolState::EvictIdle() {
  if (idle_.empty()) return false;
  ++steps_;
  Host& host = *idle_.front().host_;
  std::unique_ptr<AnyConnection> connection = TakeIdle(idle_.front());
  DropSlot(host);
  ForgetIfUnused(host);
  return true;
}

void PoolState::FreeSlot(Host& host) {
  --statistics_.in_use;
  DropSlot(host);
  ForgetIfUnused(host);
  Serve();
}

void PoolState::KeepIdle(Host& host, std::unique_ptr<AnyConnection> connection) {
  if (closed_ || Executor::Current().dead() || !connection->IsHealthy()) {
    connection.reset();
    FreeSlot(host);
    return;
  }
  AnyConnection& idle = *connection.release();
  idle.host_ = &host;
  idle.idle_until_ = Now() + options_.idle_timeout();
  host.idle.PushFront(idle);
  idle_.PushBack(idle);
  --statistics_.in_use;
  ++statistics_.idle;
  ArmTimer();
  UpdateReady(host);
  Serve();
}

// For the one that is idle for the longest time, or for one that was before it: then the timer looks again.
void PoolState::ArmTimer() {
  if (!armed() && !idle_.empty()) Executor::Current().timers().Arm(*this, idle_.front().idle_until_);
}

void PoolState::OnTimer() {
  while (!idle_.empty() && idle_.front().idle_until_ <= Now()) EvictIdle();
  ArmTimer();
  Serve();
}

void PoolState::CloseIdle() {
  while (EvictIdle()) {
  }
  Serve();
}

void PoolState::Close() {
  CHECK(statistics_.waiting == 0 || Executor::Current().dead())
      << "a pool was destroyed while somebody waits for a connection";
  closed_ = true;
  Executor::Current().timers().Disarm(*this);
  CloseIdle();
}

}  // namespace tandem::internal
