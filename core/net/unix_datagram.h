// SPDX-License-Identifier: Apache-2.0
//
// UnixDatagram: sends and receives datagrams over a Unix socket (unix(7)): reliable and in order on one machine. Most
// of its calls are DatagramHandle's.
//
// A datagram of no bytes is one like any other. Sending waits while the receiver's queue is full. Descriptors that come
// with a datagram are in ReceivedDatagram and Datagram, and are closed with them.
//
// On Linux only, not in the simulator: there, the calls that make a socket fail with kUnimplemented.

#ifndef TANDEM_CORE_NET_UNIX_DATAGRAM_H_
#define TANDEM_CORE_NET_UNIX_DATAGRAM_H_

#include <utility>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram_socket.h"
#include "tandem/core/net/datagram_handle.h"
#include "tandem/core/net/datagram_operations.h"

namespace tandem {

class UnixDatagram final : public DatagramHandle {
 public:
  UnixDatagram() = default;
  UnixDatagram(UnixDatagram&&) = default;
  UnixDatagram& operator=(UnixDatagram&&) = default;
  // Closes in the background, as Close() does, without waiting.
  ~UnixDatagram() = default;

  // Opens a socket and binds it to `address`, a path or an abstract name. What UnixListener::Listen() says of the file
  // holds here too.
  //
  // Errors:
  //   kFailedPrecondition  EADDRINUSE: the name is taken, or the file exists.
  //   kNotFound            ENOENT: the folder does not exist.
  //   kPermissionDenied    EACCES: no file may be created there.
  //   kResourceExhausted   EMFILE, ENFILE: no descriptor is free.
  //   kInvalidArgument     `address` is not of a Unix socket.
  //   kUnimplemented       In the simulator.
  static absl::StatusOr<UnixDatagram> Bind(const SocketAddress& address);
  // Opens a socket without a name: it can send, and nobody can answer.
  //
  // Errors: kResourceExhausted and kUnimplemented as for Bind().
  static absl::StatusOr<UnixDatagram> Open();
  // Two sockets that are connected to each other, without names (socketpair(2)). Errors: those of Open().
  static absl::StatusOr<std::pair<UnixDatagram, UnixDatagram>> Pair();

  // Takes over a socket that the program has from elsewhere, bound and connected or not. Sets O_NONBLOCK, which all who
  // have the socket open share, and no other option. On an error the descriptor stays the caller's, as it was.
  //
  // Errors:
  //   kInvalidArgument     `descriptor` is none, or of something else: the message says of what.
  //   kFailedPrecondition  EBADF: the descriptor is not open.
  //   kUnimplemented       In the simulator, where no process has a socket from elsewhere.
  static absl::StatusOr<UnixDatagram> Adopt(OwnedDescriptor&& descriptor);

  // Sends `data` and duplicates of `descriptors`, which stay the caller's and must stay open until the call has
  // returned, to `destination` or, when that is none, to the connected peer. `data` may be empty. Errors: those of
  // SendTo(), and
  //   kInvalidArgument     EINVAL: more than Operation::kMaxDescriptors descriptors.
  //   kFailedPrecondition  EBADF also for a descriptor that is not open.
  SendDatagramOperation SendWithDescriptors(absl::string_view data ABSL_ATTRIBUTE_LIFETIME_BOUND,
                                            absl::Span<const int> descriptors ABSL_ATTRIBUTE_LIFETIME_BOUND,
                                            const SocketAddress& destination = SocketAddress()) {
    OutgoingDatagram datagram(data, destination);
    datagram.descriptors = descriptors;
    return SendDatagramOperation(socket(), std::move(datagram));
  }

 private:
  explicit UnixDatagram(Ref<DatagramSocket> socket) : DatagramHandle(std::move(socket)) {}
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_UNIX_DATAGRAM_H_
