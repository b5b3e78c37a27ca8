// SPDX-License-Identifier: Apache-2.0
//
// DatagramHandle: what UdpSocket and UnixDatagram have in common, which is nearly everything.
//
// The calls return operations that are awaited where they are made, `co_await socket.SendTo(data, address)`, and that
// can be given a deadline with `.By(instant)`. A call that is cancelled or times out loses nothing: a datagram that
// arrived waits for the next call, and one that was not sent is not sent.
//
// Any number of coroutines may receive and send at the same time; each direction serves them in the order in which they
// began. Receiving begins with the first call and then reads ahead: up to DatagramSocket::kQueueLimit datagrams wait in
// user memory, the rest in the kernel, which drops what its buffer has no room for (set_receive_buffer_size()).

#ifndef TANDEM_CORE_NET_DATAGRAM_HANDLE_H_
#define TANDEM_CORE_NET_DATAGRAM_HANDLE_H_

#include <cstddef>
#include <optional>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/datagram_socket.h"
#include "tandem/core/io/socket_options.h"
#include "tandem/core/net/close_operation.h"
#include "tandem/core/net/datagram_operations.h"
#include "tandem/core/net/handle.h"
#include "tandem/core/net/option_calls.h"

namespace tandem {

class DatagramHandle : public Handle<DatagramHandle, DatagramSocket>, public BufferSizeOptions<DatagramHandle> {
 public:
  // Makes `peer` the destination of Send() and the only source that is received from; what had arrived before stays.
  // Binds the socket, when it is not, to an address from which `peer` can be reached. May be called again, with another
  // peer. Does not wait: nothing is sent.
  //
  // Errors:
  //   kUnavailable         ENETUNREACH: no route. ECONNREFUSED: nobody is bound to that name (Unix).
  //   kNotFound            ENOENT: there is no such file (Unix).
  //   kFailedPrecondition  EBADF: Close() was called.
  //   kPermissionDenied    EACCES: a broadcast address without set_broadcast(true).
  //   kInvalidArgument     `peer` is none; or of a Unix socket and this is UDP, or the other way round.
  //   kUnimplemented       EAFNOSUPPORT: a kIpv4 socket and an IPv6 address.
  absl::Status Connect(const SocketAddress& peer);
  // Dissolves the association that Connect() made. As on Linux, an address or port that the system had picked is given
  // up too, and the next send picks anew; what was asked for by BindTo() stays. Errors: EBADF.
  absl::Status Disconnect();

  // --- Sending ---

  // Sends `data` as one datagram to `destination`; empty `data` is a datagram of no bytes. `data` must stay valid until
  // the call has returned. OK says that the kernel has taken the datagram, not that it arrives. Waits while the
  // kernel's send buffer is full.
  //
  // Errors:
  //   kDeadlineExceeded, kCancelled  The call was stopped and nothing was sent.
  //   kUnavailable         ECONNREFUSED, EHOSTUNREACH, ...: on a connected socket, the answer of the network to an
  //                        *earlier* datagram, reported once; this one was not sent. An unconnected socket is never
  //                        told. ENETUNREACH: no route to the destination. On Unix sockets ECONNREFUSED: nobody is
  //                        bound to the destination any more.
  //   kNotFound            ENOENT: there is no such file (Unix).
  //   kInvalidArgument     EMSGSIZE: too long (UDP carries at most 65,507 bytes over IPv4). EINVAL: port 0; the
  //                        address of a Unix socket and this is UDP, or the other way round. EDESTADDRREQ:
  //                        `destination` is none and the socket is not connected.
  //   kUnimplemented       EAFNOSUPPORT: a kIpv4 socket and an IPv6 address.
  //   kPermissionDenied    EACCES: a broadcast address without set_broadcast(true).
  //   kFailedPrecondition  EBADF: Close() was called, before or meanwhile.
  SendDatagramOperation SendTo(absl::string_view data ABSL_ATTRIBUTE_LIFETIME_BOUND, const SocketAddress& destination) {
    return SendDatagramOperation(socket(), OutgoingDatagram(data, destination));
  }
  // Sends to the peer that the socket is connected to. Errors: those of SendTo(); kFailedPrecondition with ENOTCONN
  // on an unconnected Unix socket, which says so where UDP says EDESTADDRREQ.
  SendDatagramOperation Send(absl::string_view data ABSL_ATTRIBUTE_LIFETIME_BOUND) {
    return SendDatagramOperation(socket(), OutgoingDatagram(data));
  }
  // Sends several datagrams, in order, with few calls to the kernel. Stops at the first that fails; `sent` says how
  // many went before it, and they are all of them exactly when the status is OK. A stopped call may have sent some.
  // `datagrams` and what they point to must stay valid until the call has returned. Errors: those of SendTo().
  SendManyOperation SendMany(absl::Span<const OutgoingDatagram> datagrams ABSL_ATTRIBUTE_LIFETIME_BOUND) {
    return SendManyOperation(socket(), datagrams);
  }
  // As SendTo() (Send(), when `destination` is none), at once: nullopt when it would have to wait, because the kernel's
  // buffer is full or other calls are queued.
  absl::StatusOr<std::optional<size_t>> TrySendTo(absl::string_view data, const SocketAddress& destination);

  // --- Receiving ---

  // Receives one datagram into `target`. When it is longer, the rest is discarded and `truncated` says so; the next
  // datagram is intact. A datagram of no bytes is a result like any other: there is no end. An empty `target` consumes
  // a datagram, as recv(2) does. `target` must stay valid until the call has returned. Lossless.
  //
  // Errors:
  //   kDeadlineExceeded    The deadline of the scope or of .By() passed first.
  //   kCancelled           The enclosing scope was cancelled.
  //   kUnavailable         ECONNREFUSED, EHOSTUNREACH, ...: on a connected socket, the answer of the network to an
  //                        earlier datagram, reported once: by this or by a sending call, whichever comes first.
  //                        Receiving goes on with the next call.
  //   kFailedPrecondition  EBADF: Close() was called, before or meanwhile.
  ReceiveFromOperation ReceiveFrom(absl::Span<char> target ABSL_ATTRIBUTE_LIFETIME_BOUND) {
    return ReceiveFromOperation(socket(), target);
  }
  // The same, by the name that reads well on a connected socket.
  ReceiveFromOperation Receive(absl::Span<char> target ABSL_ATTRIBUTE_LIFETIME_BOUND) {
    return ReceiveFromOperation(socket(), target);
  }
  // As ReceiveFrom(), but hands the bytes over without a copy. `truncated` only when the datagram was longer than the
  // reactor's buffers, which take all that UDP can carry. When the program holds more than half of the kernel's receive
  // buffers, the bytes are copied after all.
  ReceiveDatagramOperation ReceiveDatagram() { return ReceiveDatagramOperation(socket()); }
  // Receives at least one datagram and at most `max` (0 counts as 1): as many as have arrived when the first has.
  // Allocates the vector. Errors: those of ReceiveFrom(); nothing was received then.
  ReceiveManyOperation ReceiveMany(size_t max) { return ReceiveManyOperation(socket(), max); }
  // As ReceiveFrom(), at once: nullopt when it would have to wait. While the reactor receives by itself, which it does
  // from the first call that waited until the queue is full, new datagrams are seen in the next turn of the loop.
  absl::StatusOr<std::optional<ReceivedDatagram>> TryReceiveFrom(absl::Span<char> target);

  // Datagrams that were received and not taken.
  size_t queued() const { return socket()->queued(); }

  // --- Addresses, closing ---

  // The address of this end; 0.0.0.0 or :: before the socket is bound (none on Unix). Errors: kFailedPrecondition after
  // Close().
  absl::StatusOr<SocketAddress> LocalAddress() const;
  // The connected peer. Errors: kFailedPrecondition, ENOTCONN: there is none; EBADF: after Close().
  absl::StatusOr<SocketAddress> PeerAddress() const;

  // Closes the socket: pending calls end with kFailedPrecondition (EBADF), and datagrams that nobody took are dropped.
  // Cannot be cancelled. Idempotent. Always OK.
  CloseOperation<DatagramSocket> Close() { return CloseOperation<DatagramSocket>(socket()); }

 protected:
  DatagramHandle() = default;
  explicit DatagramHandle(Ref<DatagramSocket> socket) : Handle(std::move(socket)) {}
  DatagramHandle(DatagramHandle&&) = default;
  DatagramHandle& operator=(DatagramHandle&&) = default;
  ~DatagramHandle() = default;

  const Ref<DatagramSocket>& socket() const { return state(); }

  // Opens a socket; the handle closes it from then on.
  static absl::StatusOr<Ref<DatagramSocket>> OpenSocket(AddressFamily family);
  absl::Status BindSocket(const SocketAddress& address);

 private:
  friend class Handle<DatagramHandle, DatagramSocket>;
  friend class BufferSizeOptions<DatagramHandle>;
  static constexpr absl::string_view kHandleName = "UdpSocket or UnixDatagram";
  static void LetGo(DatagramSocket& socket) { socket.Close(); }

  void LearnLocalAddress();
};

}  // namespace tandem

#endif  // TANDEM_CORE_NET_DATAGRAM_HANDLE_H_
