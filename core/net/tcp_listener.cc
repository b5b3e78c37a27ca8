// SPDX-License-Identifier: Apache-2.0

#include "core/net/tcp_listener.h"

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "core/io/errors.h"
#include "core/io/reactor.h"

namespace tandem {

AcceptOperation::~AcceptOperation() {
  if (accepted_.get() != nullptr) accepted_->Close(StreamSocket::CloseMode::kReset);
}

bool AcceptOperation::Start() {
  if (!socket_->open()) {
    error_ = EBADF;
    return true;
  }
  accepted_ = socket_->TakeQueued();
  if (accepted_.get() != nullptr) return true;
  socket_->StartAccepting(*this);
  return false;
}

void AcceptOperation::OnStop() {
  socket_->StopAccepting(*this);
  Finish();
}

void AcceptOperation::OnAccepted(Ref<StreamSocket> stream, int error) {
  accepted_ = std::move(stream);
  error_ = error;
  Finish();
}

absl::StatusOr<TcpStream> AcceptOperation::TakeResult() {
  if (accepted_.get() != nullptr) return TcpStream(std::move(accepted_));
  if (error_ != 0) return socket_->StatusFor(error_);
  return StopStatus();
}

bool CloseListenerOperation::Start() {
  socket_->Close();
  if (socket_->closed()) return true;
  socket_->WaitForClose(*this);
  return false;
}

absl::StatusOr<TcpListener> TcpListener::Listen(const SocketAddress& address, const ListenOptions& options) {
  Reactor& reactor = Reactor::Current();
  const std::string operation = absl::StrCat("listen ", address.ToString());
  if (address.family() == AddressFamily::kNone) return ErrnoStatus(EDESTADDRREQ, operation);
  const int64_t opened = reactor.OpenSocket(address.family(), SocketType::kStream);
  if (opened < 0) return ErrnoStatus(static_cast<int>(-opened), operation);
  const auto id = static_cast<SocketId>(opened);
  // From here on the handle closes the socket on failure.
  TcpListener listener(ListenerSocket::Adopt(id, address));
  int result = reactor.SetOption(id, SocketOption::kNoDelay, 1);
  if (result == 0 && options.reuse_address()) result = reactor.SetOption(id, SocketOption::kReuseAddress, 1);
  if (result == 0 && options.reuse_port()) result = reactor.SetOption(id, SocketOption::kReusePort, 1);
  if (result == 0) result = reactor.Bind(id, address);
  if (result == 0) result = reactor.Listen(id, options.backlog());
  SocketAddress local = address;
  if (result == 0) result = reactor.LocalAddress(id, &local);
  if (result < 0) return ErrnoStatus(-result, operation);
  listener.socket_->set_local(local);
  return listener;
}

}  // namespace tandem
