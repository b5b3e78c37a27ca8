// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/socket_listener.h"

#include <cerrno>

namespace tandem {

namespace internal {

StreamAcceptor::~StreamAcceptor() {
  if (accepted_) accepted_->Close(StreamSocket::CloseMode::kReset);
}

bool StreamAcceptor::StartAccepting() {
  if (!socket_->open()) {
    error_ = EBADF;
    return true;
  }
  accepted_ = socket_->TakeQueued();
  if (accepted_) return true;
  socket_->StartAccepting(*this);
  return false;
}

void StreamAcceptor::OnAccepted(Ref<StreamSocket> stream, int error) {
  accepted_ = std::move(stream);
  error_ = error;
  OnAcceptEnd();
}

}  // namespace internal

}  // namespace tandem
