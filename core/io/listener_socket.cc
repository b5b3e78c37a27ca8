// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/io/listener_socket.h"

#include <cerrno>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/async/executor.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/reactor.h"

namespace tandem {

Ref<ListenerSocket> ListenerSocket::Adopt(SocketId id, const SocketAddress& local) {
  return Ref<ListenerSocket>::Adopt(new ListenerSocket(id, local));
}

ListenerSocket::ListenerSocket(SocketId id, const SocketAddress& local) : id_(id), local_(local) {
  source_.socket = close_.socket = id;
  close_.kind = OperationKind::kClose;
}

ListenerSocket::~ListenerSocket() {
  for (Ref<StreamSocket>& stream : queue_) stream->Close(StreamSocket::CloseMode::kReset);
  while (!acceptors_.empty()) acceptors_.PopFront();
}

absl::Status ListenerSocket::StatusFor(int error) const {
  return ErrnoStatus(error, absl::StrCat("accept ", local_.ToString()));
}

Ref<StreamSocket> ListenerSocket::TakeQueued() {
  if (queue_.empty()) return Ref<StreamSocket>();
  Ref<StreamSocket> stream = std::move(queue_.front());
  queue_.pop_front();
  return stream;
}

Ref<StreamSocket> ListenerSocket::AdoptAccepted(SocketId accepted) {
  SocketAddress peer;
  // Fails when the peer has already reset the connection; the first read will say so.
  reactor_->PeerAddress(accepted, &peer);
  Ref<StreamSocket> stream = StreamSocket::Adopt(accepted, peer);
  stream->set_lingers(lingers_);
  return stream;
}

absl::StatusOr<Ref<StreamSocket>> ListenerSocket::TryAccept() {
  if (!open()) return StatusFor(EBADF);
  Ref<StreamSocket> queued = TakeQueued();
  if (queued || source_.armed() || !acceptors_.empty()) return queued;
  const int64_t result = reactor_->TryAccept(id_);
  if (result == -EAGAIN) return Ref<StreamSocket>();
  if (result < 0) return StatusFor(static_cast<int>(-result));
  return AdoptAccepted(static_cast<SocketId>(result));
}

void ListenerSocket::StartAccepting(Acceptor& acceptor) {
  acceptors_.PushBack(acceptor);
  ArmIfWanted();
}

void ListenerSocket::StopAccepting(Acceptor& acceptor) { acceptor.Unlink(); }

void ListenerSocket::ArmIfWanted() {
  if (!open() || source_.armed() || acceptors_.empty() || queue_.size() >= kQueueLimit / 2) return;
  AddRef();
  reactor_->Arm(source_);
}

void ListenerSocket::AcceptSource::OnAccepted(SocketId accepted) {
  Ref<StreamSocket> stream = owner_.AdoptAccepted(accepted);
  if (!owner_.open()) {
    stream->Close(StreamSocket::CloseMode::kReset);
    return;
  }
  if (!owner_.acceptors_.empty()) {
    owner_.acceptors_.PopFront().OnAccepted(std::move(stream), 0);
    return;
  }
  owner_.queue_.push_back(std::move(stream));
  if (owner_.queue_.size() >= kQueueLimit) owner_.reactor_->Disarm(*this);
}

void ListenerSocket::AcceptSource::OnEnd(SourceEnd end, int error) {
  const Ref<ListenerSocket> keep = Ref<ListenerSocket>::Adopt(&owner_);
  if (!owner_.open()) {
    owner_.ContinueClose();
    return;
  }
  if (end == SourceEnd::kError) owner_.FailWaiting(error);
  owner_.ArmIfWanted();
}

void ListenerSocket::FailWaiting(int error) {
  while (!acceptors_.empty()) acceptors_.PopFront().OnAccepted(Ref<StreamSocket>(), error);
}

void ListenerSocket::Close() {
  if (!BeginClose()) return;
  if (Executor::Current().dead()) return;
  FailWaiting(EBADF);
  for (Ref<StreamSocket>& stream : queue_) stream->Close(StreamSocket::CloseMode::kReset);
  queue_.clear();
  reactor_->Disarm(source_);
  ContinueClose();
}

void ListenerSocket::ContinueClose() {
  if (source_.armed() || !BeginSubmittingClose()) return;
  AddRef();
  reactor_->Submit(close_);
}

}  // namespace tandem
