// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/tcp/tcp_listener.h"

#include "tandem/sim/tcp/tcp_socket.h"
#include "tandem/sim/tcp/tcp_stack.h"

namespace tandem::sim {

void TcpListener::OnSegment(const Packet& packet) {
  if (!packet.opens()) {
    owner_.AnswerByReset(packet);
    return;
  }
  // As with tcp_abort_on_overflow = 0: silence, and the client tries again.
  if (!queue_.closed_to_new()) owner_.StartPassive(socket_, packet);
}

void TcpListener::OnEstablished(TcpSocket& child) {
  queue_.Complete(child);
  socket_.NotifyAcceptable();
}

TcpSocket& TcpListener::Accept() {
  TcpSocket& child = queue_.Pop();
  child.OnAccepted();
  return child;
}

void TcpListener::EndAll() {
  for (TcpSocket* child : queue_.TakeHalfOpen()) owner_.Free(*child);
  while (!queue_.empty()) {
    TcpSocket& child = queue_.Pop();
    if (child.state() != TcpState::kClosed) child.connection().SendReset();
    owner_.Free(child);
  }
}

}  // namespace tandem::sim
