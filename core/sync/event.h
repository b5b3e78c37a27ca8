// SPDX-License-Identifier: Apache-2.0
//
// Event: a flag that coroutines wait for.
//
// Belongs to one shard; outlives the calls on it (CHECKed).

#ifndef TANDEM_CORE_SYNC_EVENT_H_
#define TANDEM_CORE_SYNC_EVENT_H_

#include <string>

#include "absl/status/status.h"
#include "tandem/core/sync/wait_list.h"

namespace tandem {

class Event {
 public:
  class WaitOperation;

  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  // REQUIRES that no call waits.
  ~Event() = default;

  // Lets all calls that wait go on, and later ones pass at once. Idempotent.
  void Set();
  // Makes later calls wait again. Those that Set() has let go on still return OK.
  void Reset() {
    waiters_.CheckShard();
    set_ = false;
  }
  bool is_set() const { return set_; }

  // Waits until the event is set.
  //
  // Errors: kDeadlineExceeded, kCancelled.
  [[nodiscard]] WaitOperation Wait();

 private:
  bool set_ = false;
  WaitList<WaitOperation> waiters_{"event"};
};

// Awaits to absl::Status. See Event::Wait().
class [[nodiscard]] Event::WaitOperation final : public WaitingOperation<WaitOperation> {
 public:
  explicit WaitOperation(Event& event) : event_(event) {}
  std::string Describe() const override { return "an event"; }
  absl::Status TakeResult() { return granted() ? absl::OkStatus() : StopStatus(); }

 private:
  bool Start() override {
    event_.waiters_.CheckShard();
    if (event_.set_) return GrantAtOnce();
    event_.waiters_.PushBack(*this);
    return false;
  }

  Event& event_;
};

inline void Event::Set() {
  waiters_.CheckShard();
  set_ = true;
  waiters_.GrantAll();
}

inline Event::WaitOperation Event::Wait() { return WaitOperation(*this); }

}  // namespace tandem

#endif  // TANDEM_CORE_SYNC_EVENT_H_
