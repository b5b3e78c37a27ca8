// SPDX-License-Identifier: Apache-2.0
//
// LingeringCloses: the closes of one reactor that wait for the socket's linger time (SO_LINGER, socket(7)).
//
// Neither a thread nor close(2) waits. As that would, such a close shuts both halves down, and ends when the peer has
// acknowledged all bytes and the end, when the connection is gone, or when the time is over; what is unsent then the
// kernel goes on sending. No event tells of the acknowledgement, so the state of the connection (TCP_INFO, tcp(7)) is
// looked at, after pauses that grow from 1 ms to 100 ms.
//
// A connection with bytes that nobody has read is reset instead, at once (RFC 2525, section 2.17), and so are bytes
// that come while it lingers: both as in close(2).
//
// Belongs to the reactor's thread.

#ifndef TANDEM_POSIX_LINGERING_CLOSES_H_
#define TANDEM_POSIX_LINGERING_CLOSES_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/operation.h"
#include "tandem/posix/back_off.h"

namespace tandem::posix {

class LingeringCloses {
 public:
  struct Done {
    Operation* operation = nullptr;
    int64_t result = 0;
  };

  LingeringCloses() = default;
  LingeringCloses(const LingeringCloses&) = delete;
  LingeringCloses& operator=(const LingeringCloses&) = delete;
  // Those that wait are closed and wait no longer.
  ~LingeringCloses();

  // Starts `operation`, a kClose. The socket is this object's from now on.
  void Start(Operation& operation);

  bool empty() const { return closes_.empty(); }
  // When TakeDone() has to be called next; InfiniteFuture() when there are none.
  Instant next_look() const { return looks_.earliest(); }
  // Looks at those whose time has come at `now`, and gives those that have ended, with their results.
  std::vector<Done> TakeDone(Instant now);

 private:
  struct Close {
    Operation* operation = nullptr;
    Instant deadline;
    uint32_t looks = 0;
  };

  absl::flat_hash_map<SocketId, Close> closes_;
  BackOff looks_;
};

}  // namespace tandem::posix

#endif  // TANDEM_POSIX_LINGERING_CLOSES_H_
