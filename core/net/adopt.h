// SPDX-License-Identifier: Apache-2.0
//
// Taking over sockets that the program has from elsewhere: what the Adopt() of every handle is made of.

#ifndef TANDEM_CORE_NET_ADOPT_H_
#define TANDEM_CORE_NET_ADOPT_H_

#include "absl/status/statusor.h"
#include "tandem/core/base/ref.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/datagram_socket.h"
#include "tandem/core/io/listener_socket.h"
#include "tandem/core/io/stream_socket.h"

namespace tandem::internal {

enum class SocketKind : bool { kInternet, kUnix };

// Each checks that `descriptor` is of such a socket and takes it over. On an error it stays the caller's, as it was.
// What the kernel knows of the socket, its addresses and SO_LINGER, is read; what others may share, its options, is
// left alone, but for TCP_NODELAY, which all of Tandem's sockets have.
absl::StatusOr<Ref<StreamSocket>> AdoptStream(OwnedDescriptor& descriptor, SocketKind kind);
absl::StatusOr<Ref<ListenerSocket>> AdoptListener(OwnedDescriptor& descriptor, SocketKind kind);
absl::StatusOr<Ref<DatagramSocket>> AdoptDatagrams(OwnedDescriptor& descriptor, SocketKind kind);

}  // namespace tandem::internal

#endif  // TANDEM_CORE_NET_ADOPT_H_
