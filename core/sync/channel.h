// SPDX-License-Identifier: Apache-2.0
//
// Channel<T>: a bounded queue between coroutines, with any number of senders and receivers.
//
//   Channel<Job> jobs(16);
//   absl::Status sent = co_await jobs.Send(std::move(job));      // Waits while 16 jobs wait.
//   absl::StatusOr<Job> job = co_await jobs.Receive();           // kOutOfRange: closed, and nothing is left.
//
// First come, first served, on both sides. Nothing is lost and nothing comes twice, whatever is cancelled when: a
// Send() that fails has not touched its item, and an item is either in the channel or in the result of a Receive().
// Belongs to one shard, and outlives the calls on it (CHECKed). Memory grows with the items that wait, up to the
// capacity.

#ifndef TANDEM_CORE_SYNC_CHANNEL_H_
#define TANDEM_CORE_SYNC_CHANNEL_H_

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/core/sync/ring_queue.h"
#include "tandem/core/sync/wait_list.h"

namespace tandem {

template <typename T>
class Channel {
 public:
  class SendOperation;
  class ReceiveOperation;

  // `capacity` is how many items may wait to be received. REQUIRES capacity > 0.
  explicit Channel(size_t capacity) : capacity_(capacity) { CHECK_GT(capacity, 0u) << "a channel of no capacity"; }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  // An item whose move throws stays where it was, and the call that moved it throws: those that wait go on waiting.
  //
  // REQUIRES that no call waits. Items that nobody received are destroyed.
  ~Channel() = default;

  // Puts `item` into the channel, when there is room for it. Moves from `item` if and only if the call returns OK, so
  // the caller still has it otherwise; it must stay valid until the call has returned.
  //
  // Errors:
  //   kDeadlineExceeded    The deadline of the scope or of .By() passed first; nothing was sent.
  //   kCancelled           The enclosing scope was cancelled; nothing was sent.
  //   kFailedPrecondition  Close() was called, before or meanwhile; nothing was sent.
  [[nodiscard]] SendOperation Send(T&& item ABSL_ATTRIBUTE_LIFETIME_BOUND) { return SendOperation(*this, item); }

  // The same without waiting: returns false, and leaves `item` alone, when the channel is full or closed.
  [[nodiscard]] bool TrySend(T&& item) {
    receivers_.CheckShard();
    return !closed_ && Put(item);
  }

  // Takes the oldest item out of the channel, when there is one; those that were sent before Close() still come.
  //
  // Errors:
  //   kDeadlineExceeded    The deadline of the scope or of .By() passed first; nothing was taken.
  //   kCancelled           The enclosing scope was cancelled; nothing was taken.
  //   kOutOfRange          The channel is closed and empty: nothing will come any more.
  [[nodiscard]] ReceiveOperation Receive() { return ReceiveOperation(*this); }

  // The same without waiting; nothing when the channel is empty.
  [[nodiscard]] std::optional<T> TryReceive() {
    receivers_.CheckShard();
    if (items_.empty()) return std::nullopt;
    return Take();
  }

  // Ends the sending: sends that wait fail, and so do later ones. Idempotent.
  void Close();

  bool closed() const { return closed_; }
  // Items that wait to be received.
  size_t size() const { return items_.size(); }
  size_t capacity() const { return capacity_; }

 private:
  // Hands `item` to the first receiver that waits, or queues it. Returns false when there is no room.
  bool Put(T& item);
  // Takes the oldest item and lets the first sender that waits have its place. REQUIRES that there is one.
  T Take();

  const size_t capacity_;
  bool closed_ = false;
  internal::RingQueue<T> items_;
  // Senders wait only while the queue is full, receivers only while it is empty.
  WaitList<SendOperation> senders_{"channel"};
  WaitList<ReceiveOperation> receivers_{"channel"};
};

// ---------------------------------------------------------------------------------------------------------------------

// Awaits to absl::Status. See Channel::Send().
template <typename T>
class [[nodiscard]] Channel<T>::SendOperation final : public WaitingOperation<SendOperation> {
 public:
  SendOperation(Channel& channel, T& item) : channel_(channel), item_(item) {}
  std::string Describe() const override { return "room in a channel"; }
  absl::Status TakeResult() {
    if (this->granted()) return absl::OkStatus();
    if (refused_) return absl::FailedPreconditionError("send: the channel is closed");
    return this->StopStatus();
  }

 private:
  friend class Channel;
  bool Start() override {
    channel_.receivers_.CheckShard();
    if (channel_.closed_) return refused_ = true;
    if (channel_.Put(item_)) return this->GrantAtOnce();
    channel_.senders_.PushBack(*this);
    return false;
  }
  void Refuse() {
    refused_ = true;
    this->Finish();
  }

  Channel& channel_;
  T& item_;
  bool refused_ = false;
};

// Awaits to absl::StatusOr<T>. See Channel::Receive().
template <typename T>
class [[nodiscard]] Channel<T>::ReceiveOperation final : public WaitingOperation<ReceiveOperation> {
 public:
  explicit ReceiveOperation(Channel& channel) : channel_(channel) {}
  std::string Describe() const override { return "an item from a channel"; }
  absl::StatusOr<T> TakeResult() {
    if (item_.has_value()) return *std::move(item_);
    if (this->granted()) return absl::OutOfRangeError("receive: the channel is closed and empty");
    return this->StopStatus();
  }

 private:
  friend class Channel;
  bool Start() override {
    channel_.receivers_.CheckShard();
    if (!channel_.items_.empty()) item_.emplace(channel_.Take());
    if (item_.has_value() || channel_.closed_) return this->GrantAtOnce();
    channel_.receivers_.PushBack(*this);
    return false;
  }

  Channel& channel_;
  std::optional<T> item_;
};

template <typename T>
bool Channel<T>::Put(T& item) {
  if (!receivers_.empty()) {
    receivers_.front().item_.emplace(std::move(item));
    receivers_.PopFront().Grant();
    return true;
  }
  if (items_.size() >= capacity_) return false;
  items_.Push(std::move(item));
  return true;
}

template <typename T>
T Channel<T>::Take() {
  if (!senders_.empty()) {
    items_.Push(std::move(senders_.front().item_));
    senders_.PopFront().Grant();
  }
  return items_.Pop();
}

template <typename T>
void Channel<T>::Close() {
  receivers_.CheckShard();
  closed_ = true;
  while (!senders_.empty()) senders_.PopFront().Refuse();
  receivers_.GrantAll();  // With nothing: the queue is empty.
}

}  // namespace tandem

#endif  // TANDEM_CORE_SYNC_CHANNEL_H_
