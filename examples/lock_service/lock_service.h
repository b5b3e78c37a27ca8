// SPDX-License-Identifier: Apache-2.0
//
// A lock with leases and fencing tokens, and a store that checks the tokens.
//
// The lock server grants the lock for a time, the lease, and with a token, a number that is higher with each grant.
// Who reads or writes the store's value shows the token, and the store refuses one that is lower than another that it
// has seen. The lease alone protects nothing: a client that was paused does not know that its lease is over, and a
// write may be on its way for longer. The token does, where it is checked. So what is promised is
//   that no two clients are told by Lease::Held() at the same time that they have the lock, as long as no clock is more
//   than 10 % fast or slow;
//   that whatever clocks do, the store takes no token after a higher one, and loses nothing that it has confirmed.
//
// Both servers answer a line by a line, and keep on a disk what they must not forget.

#ifndef TANDEM_EXAMPLES_LOCK_SERVICE_LOCK_SERVICE_H_
#define TANDEM_EXAMPLES_LOCK_SERVICE_LOCK_SERVICE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/examples/cluster/disk.h"
#include "tandem/tandem.h"

namespace lock_service {

// Serve until the program stops. `disk` outlives them, and nobody else uses it. Errors: of the disk, of Serve().
tandem::Task<absl::Status> ServeLock(tandem::TcpListener listener, examples::Disk* disk);
tandem::Task<absl::Status> ServeStore(tandem::TcpListener listener, examples::Disk* disk);

// What a client has while it has the lock.
struct Lease {
  int64_t token = 0;
  tandem::Instant end;  // By the client's own clock.

  bool Held() const { return tandem::Now() < end; }
};

// The client's side; `server` and `store` are "host:port". kAborted is the answer no: somebody else has the lock, the
// lease is over, or a higher token was seen; nothing was done then. After any other error nobody knows whether the
// server has done it, or will. After such an error of Write() the token must not be used any more: the write may still
// be on its way, and arrive after a later one with the same token.
tandem::Task<absl::StatusOr<Lease>> Acquire(std::string server);
tandem::Task<absl::Status> Renew(std::string server, Lease* lease);  // `lease` outlives the call.
tandem::Task<absl::Status> Release(std::string server, Lease lease);
tandem::Task<absl::StatusOr<std::string>> Read(std::string store, Lease lease);
tandem::Task<absl::Status> Write(std::string store, Lease lease, std::string value);  // Without line ends.

}  // namespace lock_service

#endif  // TANDEM_EXAMPLES_LOCK_SERVICE_LOCK_SERVICE_H_
