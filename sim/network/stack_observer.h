// SPDX-License-Identifier: Apache-2.0
//
// Who is told what happens to a socket: the reactor that opened or accepted it.

#ifndef TANDEM_SIM_NETWORK_STACK_OBSERVER_H_
#define TANDEM_SIM_NETWORK_STACK_OBSERVER_H_

#include <cstdint>

#include "tandem/core/io/reactor.h"

namespace tandem::sim {

// Called from events and from calls into the stack; must not call back into the stack. Several may watch sockets of one
// host, each its own.
class StackObserver {
 public:
  // A connect has ended; `error` is 0 or a positive errno.
  virtual void OnConnected(SocketId socket, int error) = 0;
  // There may be room in the send buffer, or sending has become impossible.
  virtual void OnSendable(SocketId socket) = 0;
  // Bytes, an error or the end of the stream arrived.
  virtual void OnReceivable(SocketId socket) = 0;
  // A connection can be accepted, or the listener was shut down.
  virtual void OnAcceptable(SocketId socket) = 0;
  // A descriptor of the process was closed, whoever had it.
  virtual void OnDescriptorFree() = 0;
  // The Close() that returned -EINPROGRESS for `ticket` is over.
  virtual void OnLingerEnd(uint64_t ticket) = 0;

 protected:
  ~StackObserver() = default;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_NETWORK_STACK_OBSERVER_H_
