// SPDX-License-Identifier: Apache-2.0
//
// Sockets that the program has from elsewhere: passed over a Unix socket, inherited, or from systemd.

#ifndef TANDEM_POSIX_ADOPTED_SOCKETS_H_
#define TANDEM_POSIX_ADOPTED_SOCKETS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tandem/core/io/activated_socket.h"
#include "tandem/core/io/socket_options.h"

namespace tandem::posix {

// Reactor::DescribeSocket().
int DescribeSocket(int descriptor, SocketDescription* description);
// Reactor::AdoptSocket(): 0, or -errno.
int PrepareSocket(int descriptor);

// What sd_listen_fds_with_names(3) makes of the environment: the names of the descriptors from 3 on, none when they are
// meant for another process. The variables are LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES; null where one is not set.
// 0, or -EINVAL.
int ParseListenVariables(const char* pid, const char* count, const char* names, int64_t own_pid,
                         std::vector<std::string>* result);
// Reactor::TakeActivatedSockets(), once for the process.
int TakeActivatedSockets(std::vector<ActivatedSocket>* sockets);

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_ADOPTED_SOCKETS_H_
