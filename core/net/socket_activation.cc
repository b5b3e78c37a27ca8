// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/net/socket_activation.h"

#include <cerrno>

#include "absl/status/status.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/reactor.h"

namespace tandem {

absl::StatusOr<std::vector<ActivatedSocket>> TakeActivatedSockets() {
  std::vector<ActivatedSocket> sockets;
  const int result = Reactor::Current().TakeActivatedSockets(&sockets);
  if (result == -EINVAL) {
    return absl::InvalidArgumentError("take activated sockets: LISTEN_PID, LISTEN_FDS or LISTEN_FDNAMES is malformed");
  }
  if (result < 0) return ErrnoStatus(-result, "take activated sockets");
  return sockets;
}

}  // namespace tandem
