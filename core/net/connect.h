// SPDX-License-Identifier: Apache-2.0
//
// Connect: to a host by its name, over whichever of its addresses answers first ("happy eyeballs", RFC 8305).

#ifndef TANDEM_CORE_NET_CONNECT_H_
#define TANDEM_CORE_NET_CONNECT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tandem/core/async/task.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/tcp_stream.h"

namespace tandem {

class ConnectOptions {
 public:
  ConnectOptions() {}

  // How long one address has the field for itself before the next is tried beside it. A failure starts the next one at
  // once. Default 250 ms (RFC 8305 section 5); at least 10 ms.
  absl::Duration attempt_delay() const { return attempt_delay_; }
  ConnectOptions& set_attempt_delay(absl::Duration delay) {
    attempt_delay_ = delay < absl::Milliseconds(10) ? absl::Milliseconds(10) : delay;
    return *this;
  }

 private:
  absl::Duration attempt_delay_ = absl::Milliseconds(250);
};

// Connects to `target`, "name:port", "1.2.3.4:port" or "[ipv6]:port": looks the name up and connects to its addresses,
// IPv6 and IPv4 in turn, each a little later than the one before. Returns the first connection that is there; the other
// attempts are given up. Give it a limit with WithTimeout(), which covers the lookup too.
//
// Errors:
//   kInvalidArgument   `target` is none of these.
//   kNotFound          The name does not exist, or has no address.
//   kUnavailable       The name servers failed; or no address could be connected: then the code is that of the first
//                      address that failed, and the message tells what each of them said.
//   kDeadlineExceeded, kCancelled  The call was stopped; nothing stays open.
//   Others             As TcpStream::Connect().
Task<absl::StatusOr<TcpStream>> Connect(std::string target, ConnectOptions options = ConnectOptions());

// The same for addresses that are known, tried in the order of `addresses` but with the families in turn. Errors: as
// Connect(); kInvalidArgument also when `addresses` is empty.
Task<absl::StatusOr<TcpStream>> ConnectToAny(std::vector<SocketAddress> addresses,
                                             ConnectOptions options = ConnectOptions());

}  // namespace tandem

#endif  // TANDEM_CORE_NET_CONNECT_H_
