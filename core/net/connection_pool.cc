// SPDX-License-Identifier: Apache-2.0

#include "core/net/connection_pool.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "core/async/executor.h"

namespace tandem {

bool IsIdle(TcpStream& stream) {
  char byte;
  const absl::StatusOr<std::optional<size_t>> read = stream.TryRead(absl::MakeSpan(&byte, 1));
  return read.ok() && !read->has_value();
}

namespace internal {

void PoolState::Slot::Free() {
  if (!valid()) return;
  connection_.reset();
  std::exchange(pool_, {})->FreeSlot(host_);
}

void PoolState::Slot::KeepIdle() {
  CHECK(valid() && connection_ != nullptr) << "a connection was returned twice";
  std::exchange(pool_, {})->KeepIdle(host_, std::move(connection_));
}

PoolState::TakeSlotOperation::~TakeSlotOperation() {
  if (ListLink<WaitListTag>::linked())
    ListLink<WaitListTag>::Unlink();  // Only when a simulated crash destroys the frame.
}

std::string PoolState::TakeSlotOperation::Describe() const { return absl::StrCat("a pooled connection to ", host_); }

bool PoolState::TakeSlotOperation::Start() {
  CHECK(!pool_.closed_) << "a connection was asked for from a pool that is gone";
  ++pool_.statistics_.waiting;
  pool_.waiters_.PushBack(*this);
  pool_.Serve();
  return slot_.has_value();
}

void PoolState::TakeSlotOperation::OnStop() {
  if (slot_.has_value()) return;
  ListLink<WaitListTag>::Unlink();
  --pool_.statistics_.waiting;
  Finish();
}

absl::StatusOr<PoolState::Slot> PoolState::TakeSlotOperation::TakeResult() {
  if (!slot_.has_value()) return StopStatus();
  return *std::move(slot_);
}

PoolState::~PoolState() {
  CHECK(waiters_.empty() || Executor::Current().dead());
  while (!waiters_.empty()) waiters_.PopFront();
}

// A waiter that got a slot is resumed later; until then it holds it.
void PoolState::Serve() {
  if (closed_ || Executor::Current().dead()) return;
  IntrusiveList<TakeSlotOperation, WaitListTag> left;
  while (!waiters_.empty()) {
    TakeSlotOperation& waiter = waiters_.PopFront();
    waiter.slot_ = TryTake(waiter.host_);
    if (!waiter.slot_.has_value()) {
      left.PushBack(waiter);
      continue;
    }
    --statistics_.waiting;
    if (waiter.suspended()) waiter.Finish();
  }
  waiters_.Splice(left);
}

std::optional<PoolState::Slot> PoolState::TryTake(const std::string& name) {
  Host& host = hosts_[name];
  while (!host.idle.empty()) {
    std::unique_ptr<AnyConnection> connection = std::move(host.idle.back().connection);
    host.idle.pop_back();
    --statistics_.idle;
    if (connection->IsHealthy()) {
      ++statistics_.in_use;
      ++statistics_.reused;
      return Slot(Ref<PoolState>::Share(*this), name, std::move(connection));
    }
    --host.total;
    --total_;
  }
  if (host.total < options_.max_per_host() && (total_ < options_.max_total() || EvictIdle())) {
    ++host.total;
    ++total_;
    ++statistics_.in_use;
    return Slot(Ref<PoolState>::Share(*this), name, nullptr);
  }
  if (host.total == 0) hosts_.erase(name);
  return std::nullopt;
}

// Closes the connection that is idle for the longest time. Returns false when none is.
bool PoolState::EvictIdle() {
  auto oldest = hosts_.end();
  for (auto it = hosts_.begin(); it != hosts_.end(); ++it) {
    if (it->second.idle.empty()) continue;
    if (oldest == hosts_.end() || it->second.idle.front().until < oldest->second.idle.front().until) oldest = it;
  }
  if (oldest == hosts_.end()) return false;
  DropIdle(oldest->second);
  if (oldest->second.total == 0) hosts_.erase(oldest);
  return true;
}

void PoolState::DropIdle(Host& host) {
  host.idle.pop_front();
  --host.total;
  --total_;
  --statistics_.idle;
}

void PoolState::FreeSlot(const std::string& name) {
  const auto it = hosts_.find(name);
  CHECK(it != hosts_.end());
  --statistics_.in_use;
  --total_;
  if (--it->second.total == 0) hosts_.erase(it);
  Serve();
}

void PoolState::KeepIdle(const std::string& name, std::unique_ptr<AnyConnection> connection) {
  if (closed_ || Executor::Current().dead() || !connection->IsHealthy()) {
    connection.reset();
    FreeSlot(name);
    return;
  }
  Host& host = hosts_[name];
  host.idle.push_back(Idle{std::move(connection), Now() + options_.idle_timeout()});
  --statistics_.in_use;
  ++statistics_.idle;
  ArmTimer();
  Serve();
}

void PoolState::ArmTimer() {
  if (armed()) return;  // For one that was idle before, or for nothing: then it looks again.
  Instant next = Instant::InfiniteFuture();
  for (const auto& [name, host] : hosts_) {
    if (!host.idle.empty()) next = std::min(next, host.idle.front().until);
  }
  if (next != Instant::InfiniteFuture()) Executor::Current().timers().Arm(*this, next);
}

void PoolState::OnTimer() {
  for (auto it = hosts_.begin(); it != hosts_.end();) {
    Host& host = it->second;
    while (!host.idle.empty() && host.idle.front().until <= Now()) DropIdle(host);
    it = host.total == 0 ? hosts_.erase(it) : std::next(it);
  }
  ArmTimer();
  Serve();
}

void PoolState::CloseIdle() {
  for (auto it = hosts_.begin(); it != hosts_.end();) {
    Host& host = it->second;
    while (!host.idle.empty()) DropIdle(host);
    it = host.total == 0 ? hosts_.erase(it) : std::next(it);
  }
  Serve();
}

void PoolState::Close() {
  const bool dead = Executor::Current().dead();
  CHECK(waiters_.empty() || dead) << "a pool was destroyed while somebody waits for a connection";
  closed_ = true;
  Executor::Current().timers().Disarm(*this);
  CloseIdle();
}

}  // namespace internal
}  // namespace tandem
