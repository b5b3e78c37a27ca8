// SPDX-License-Identifier: Apache-2.0
//
// An invariant of receiving: while somebody waits, nothing is queued and no error is kept.

#include "tandem/core/io/datagram_socket.h"

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/reactor.h"

namespace tandem {

Ref<DatagramSocket> DatagramSocket::Adopt(SocketId id, AddressFamily family) {
  return Ref<DatagramSocket>::Adopt(new DatagramSocket(id, family));
}

DatagramSocket::DatagramSocket(SocketId id, AddressFamily family) : id_(id), family_(family) {
  source_.socket = send_.socket = close_.socket = id;
  send_.kind = OperationKind::kSendDatagrams;
  close_.kind = OperationKind::kClose;
}

DatagramSocket::~DatagramSocket() {
  while (!receivers_.empty()) receivers_.PopFront();
  while (!senders_.empty()) senders_.PopFront();
}

absl::Status DatagramSocket::StatusFor(int error, absl::string_view operation) const {
  if (error == 0) return absl::OkStatus();
  if (local_.family() == AddressFamily::kNone) return ErrnoStatus(error, operation);
  return ErrnoStatus(error, absl::StrCat(operation, " on ", local_.ToString()));
}

// --- Receiving ---

bool DatagramSocket::TakeReady(Datagram& datagram, int& error) {
  error = 0;
  if (!open()) {
    error = EBADF;
    return true;
  }
  if (first_ < queue_.size()) {
    datagram = std::move(queue_[first_++]);
    queued_bytes_ -= datagram.data.size();
    if (first_ == queue_.size()) {
      queue_.clear();  // Keeps the memory.
      first_ = 0;
    }
    if (paused_) ArmIfWanted();
    return true;
  }
  error = std::exchange(error_, 0);
  return error != 0;
}

void DatagramSocket::StartReceiving(Receiver& receiver) {
  receivers_.PushBack(receiver);
  ArmIfWanted();
}

int DatagramSocket::TryReceive(Datagram& datagram) {
  int error = 0;
  if (TakeReady(datagram, error)) return error;
  // Those who wait come first; and an armed source is what the kernel's datagrams go to.
  if (!receivers_.empty() || source_.armed()) return EAGAIN;
  std::vector<Datagram> arrived;
  const int64_t result = reactor_->TryReceiveDatagrams(id_, &arrived);
  if (result < 0) return static_cast<int>(-result);
  for (Datagram& next : arrived) Queue(std::move(next));
  TakeReady(datagram, error);
  return error;
}

// Receiving begins with the first call that waits. It goes on while nobody waits, until the queue is full; after that
// it begins again when at most half is queued. After an error it waits for the next call: what the kernel has to say
// may as well be for a sender.
void DatagramSocket::ArmIfWanted() {
  if (!open() || source_.armed() || error_ != 0) return;
  if (receivers_.empty() && !paused_) return;
  if (queued() > kQueueLimit / 2 || queued_bytes_ > kQueueBytes / 2) return;
  paused_ = false;
  source_.budget = kQueueLimit - queued();
  AddRef();
  reactor_->Arm(source_);
}

void DatagramSocket::Queue(Datagram datagram) {
  if (first_ > 0 && queue_.size() == queue_.capacity()) {
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
  queued_bytes_ += datagram.data.size();
  queue_.push_back(std::move(datagram));
}

void DatagramSocket::ReceiveSource::OnDatagram(Datagram datagram) {
  if (!owner_.open()) return;
  if (!owner_.receivers_.empty()) {
    owner_.receivers_.PopFront().OnDatagram(std::move(datagram));
    return;
  }
  owner_.Queue(std::move(datagram));
  if (owner_.queued_bytes_ >= kQueueBytes) owner_.reactor_->Disarm(*this);
}

void DatagramSocket::ReceiveSource::OnEnd(SourceEnd end, int error) {
  const Ref<DatagramSocket> keep = Ref<DatagramSocket>::Adopt(&owner_);
  if (!owner_.open()) {
    owner_.ContinueClose();
    return;
  }
  if (end == SourceEnd::kEndOfStream) error = EPIPE;  // Somebody has shut the socket down, by a shared descriptor.
  if (error == 0) {
    owner_.paused_ = true;
  } else if (!owner_.receivers_.empty()) {
    owner_.receivers_.PopFront().OnError(error);
  } else {
    owner_.error_ = error;
  }
  owner_.ArmIfWanted();
}

// --- Sending ---

int DatagramSocket::TakeSendError() { return !open() ? EBADF : std::exchange(error_, 0); }

void DatagramSocket::StartSending(Sender& sender) {
  CHECK(open());
  CHECK(!sender.datagrams_.empty());
  senders_.PushBack(sender);
  SendQueued();
}

void DatagramSocket::StopSending(Sender& sender, int error) {
  if (!sender.in_flight_) {
    FinishSender(sender, error);
    return;
  }
  sender.stopping_ = true;
  sender.error_ = error;
  reactor_->Cancel(send_);
}

int DatagramSocket::TrySend(const OutgoingDatagram& datagram) {
  if (const int error = TakeSendError(); error != 0) return error;
  if (!CanTake(datagram)) return EINVAL;
  if (!senders_.empty()) return EAGAIN;
  const int64_t result = reactor_->TrySendDatagrams(id_, absl::MakeConstSpan(&datagram, 1));
  return result < 0 ? static_cast<int>(-result) : 0;
}

// Sends as much of the queue as one operation can carry. A call that is alone lends its own datagrams.
void DatagramSocket::SendQueued() {
  if (!open() || send_.in_flight() || senders_.empty()) return;
  gather_.clear();
  Sender& head = senders_.front();
  if (senders_.Next(head) == nullptr || head.datagrams_.size() - head.sent_ >= kMaxGather) {
    head.in_flight_ = true;
    send_.datagrams = head.datagrams_.subspan(head.sent_);
  } else {
    // Those in flight are the ones at the head of the queue: nobody else is looked at, however many wait.
    for (Sender* sender = &head; sender != nullptr && gather_.size() < kMaxGather; sender = senders_.Next(*sender)) {
      ++queue_steps_;
      for (size_t i = sender->sent_; i < sender->datagrams_.size() && gather_.size() < kMaxGather; ++i) {
        gather_.push_back(sender->datagrams_[i]);
        sender->in_flight_ = true;
      }
    }
    send_.datagrams = gather_;
  }
  AddRef();
  reactor_->Submit(send_);
}

void DatagramSocket::OnSendDone(int64_t result) {
  if (result > 0) Distribute(static_cast<size_t>(result));
  // An error is about the first datagram of the operation, and about its sender only.
  if (result < 0 && result != -ECANCELED) {
    CHECK(!senders_.empty());
    Sender& sender = senders_.front();
    FinishSender(sender, CanTake(sender.datagrams_[sender.sent_]) ? static_cast<int>(-result) : EINVAL);
  }
  // What was stopped ends here, with what is now known to be sent.
  for (Sender* sender = senders_.First(); sender != nullptr && sender->in_flight_;) {
    ++queue_steps_;
    Sender* const next = senders_.Next(*sender);
    sender->in_flight_ = false;
    if (sender->stopping_) FinishSender(*sender, sender->error_);
    sender = next;
  }
  if (!open()) {
    ContinueClose();
  } else {
    SendQueued();
  }
}

// Counts `count` sent datagrams to the senders, in the order in which they were gathered.
void DatagramSocket::Distribute(size_t count) {
  while (count > 0) {
    CHECK(!senders_.empty()) << "more datagrams were sent than there were";
    Sender& sender = senders_.front();
    const size_t mine = std::min(count, sender.datagrams_.size() - sender.sent_);
    sender.sent_ += mine;
    count -= mine;
    if (sender.sent_ == sender.datagrams_.size()) FinishSender(sender, 0);
  }
}

bool DatagramSocket::CanTake(const OutgoingDatagram& datagram) const {
  return datagram.destination.family() == AddressFamily::kNone || IsOfKind(datagram.destination);
}

void DatagramSocket::FinishSender(Sender& sender, int error) {
  sender.in_flight_ = false;
  sender.error_ = error;
  sender.Unlink();
  sender.OnSent();
}

// --- Closing ---

void DatagramSocket::Close() {
  if (!BeginClose()) return;
  queue_.clear();
  first_ = 0;
  if (Executor::Current().dead()) return;
  while (!receivers_.empty()) receivers_.PopFront().OnError(EBADF);
  for (Sender* sender = senders_.First(); sender != nullptr;) {
    Sender* const next = senders_.Next(*sender);
    StopSending(*sender, EBADF);
    sender = next;
  }
  reactor_->Disarm(source_);
  ContinueClose();
}

void DatagramSocket::ContinueClose() {
  if (send_.in_flight() || source_.armed() || !BeginSubmittingClose()) return;
  AddRef();
  reactor_->Submit(close_);
}

}  // namespace tandem
