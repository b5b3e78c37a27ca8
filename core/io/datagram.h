// SPDX-License-Identifier: Apache-2.0
//
// What travels over datagram and Unix sockets beside bytes: datagrams with their addresses, multicast groups, and
// descriptors of open files.

#ifndef TANDEM_CORE_IO_DATAGRAM_H_
#define TANDEM_CORE_IO_DATAGRAM_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"

namespace tandem {

// A descriptor of an open file that this program owns: what came over a Unix socket. Closed when it is destroyed, which
// must be on the shard that received it, before the runtime ends. Move-only.
class OwnedDescriptor {
 public:
  OwnedDescriptor() = default;
  explicit OwnedDescriptor(int descriptor) : descriptor_(descriptor) {}
  OwnedDescriptor(OwnedDescriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  OwnedDescriptor& operator=(OwnedDescriptor&& other) noexcept {
    if (this != &other) {
      Reset();
      descriptor_ = std::exchange(other.descriptor_, -1);
    }
    return *this;
  }
  ~OwnedDescriptor() { Reset(); }

  bool valid() const { return descriptor_ >= 0; }
  // The descriptor, which stays owned; -1 when there is none.
  int get() const { return descriptor_; }
  // Gives the descriptor to the caller, who closes it.
  int Release() { return std::exchange(descriptor_, -1); }
  // Closes it now.
  void Reset();

 private:
  int descriptor_ = -1;
};

// A datagram that arrived.
struct Datagram {
  Buffer data;           // Empty for a datagram of no bytes.
  SocketAddress source;  // None for a Unix socket without a name.
  // Where it arrived, when SocketOption::kPacketInfo is on: the address that it was sent to, with the socket's port,
  // and the interface's index.
  SocketAddress destination;
  uint32_t interface_index = 0;
  bool truncated = false;                    // It was longer than `data`, and the rest is gone.
  std::vector<OwnedDescriptor> descriptors;  // Of a Unix socket.
};

// A datagram to send.
struct OutgoingDatagram {
  OutgoingDatagram() = default;
  explicit OutgoingDatagram(absl::string_view data, SocketAddress destination = SocketAddress())
      : data(data), destination(std::move(destination)) {}

  absl::string_view data;             // May be empty: a datagram of no bytes. Borrowed until the call returns.
  SocketAddress destination;          // None: the peer that the socket is connected to.
  absl::Span<const int> descriptors;  // Over a Unix socket. They stay the caller's.
};

// A multicast group, and the interface on which to join it.
struct MulticastGroup {
  SocketAddress address;         // The port does not matter.
  uint32_t interface_index = 0;  // 0: the route decides.
};

}  // namespace tandem

#endif  // TANDEM_CORE_IO_DATAGRAM_H_
