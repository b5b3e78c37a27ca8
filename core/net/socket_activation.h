// SPDX-License-Identifier: Apache-2.0
//
// Sockets that the program was started with: socket activation by systemd, or by anything that speaks its protocol
// (sd_listen_fds(3), systemd.socket(5)).
//
//   absl::StatusOr<std::vector<ActivatedSocket>> sockets = TakeActivatedSockets();
//   ...
//   absl::StatusOr<TcpListener> listener = TcpListener::Adopt(std::move(sockets->front().descriptor));

#ifndef TANDEM_CORE_NET_SOCKET_ACTIVATION_H_
#define TANDEM_CORE_NET_SOCKET_ACTIVATION_H_

#include <vector>

#include "absl/status/statusor.h"
#include "tandem/core/io/activated_socket.h"

namespace tandem {

// The sockets that were passed to this process, in the order of the unit's file, with their names. They are the
// caller's from now on: a later call returns none, and those that are dropped are closed. None when there is no
// activation, when the variables are meant for another process (LISTEN_PID), and in the simulator.
//
// Errors:
//   kInvalidArgument     LISTEN_PID, LISTEN_FDS or LISTEN_FDNAMES is malformed.
//   kFailedPrecondition  EBADF: a descriptor that they name is not open, or is close-on-exec, which no passed one is:
//                        then the process has opened it itself.
absl::StatusOr<std::vector<ActivatedSocket>> TakeActivatedSockets();

}  // namespace tandem

#endif  // TANDEM_CORE_NET_SOCKET_ACTIVATION_H_
