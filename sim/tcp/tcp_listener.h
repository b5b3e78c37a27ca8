// SPDX-License-Identifier: Apache-2.0
//
// A TCP socket that listens: answers those who want to connect, and keeps their connections until the program accepts
// them.

#ifndef TANDEM_SIM_TCP_TCP_LISTENER_H_
#define TANDEM_SIM_TCP_TCP_LISTENER_H_

#include "tandem/sim/network/packet.h"
#include "tandem/sim/tcp/tcp_listen_queue.h"

namespace tandem::sim {

class TcpSocket;
class TcpStack;

class TcpListener {
 public:
  // `socket` is the one that listens.
  TcpListener(TcpStack& owner, TcpSocket& socket) : owner_(owner), socket_(socket) {}
  TcpListener(const TcpListener&) = delete;
  TcpListener& operator=(const TcpListener&) = delete;

  void set_backlog(int backlog) { queue_.set_backlog(backlog); }

  void OnSegment(const Packet& packet);

  // --- Its children: connections that no program has accepted ---

  // No further child may complete its handshake.
  bool full() const { return queue_.full(); }
  void OnHandshake(TcpSocket& child) { queue_.AddHalfOpen(child); }
  void OnEstablished(TcpSocket& child);
  // The handshake has failed.
  void OnFailed(TcpSocket& child) { queue_.RemoveHalfOpen(child); }
  // All of them end; the established ones by a reset.
  void EndAll();

  // --- The program ---

  bool acceptable() const { return !queue_.empty(); }
  // The next connection, which the program has from now on. REQUIRES acceptable().
  TcpSocket& Accept();

 private:
  TcpStack& owner_;
  TcpSocket& socket_;
  TcpListenQueue queue_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TCP_TCP_LISTENER_H_
