// SPDX-License-Identifier: Apache-2.0
//
// The options of one simulated socket, stream or datagram: which there are, what values they take, and what they are
// now, as on Linux through the real reactors.
//
// A socket looks at the values, and adds what depends on its state: what setting one starts, or why it is too late to.

#ifndef TANDEM_SIM_NETWORK_SOCKET_OPTIONS_H_
#define TANDEM_SIM_NETWORK_SOCKET_OPTIONS_H_

#include <array>
#include <cstddef>

#include "tandem/core/io/address.h"
#include "tandem/core/io/reactor.h"

namespace tandem::sim {

// What a stream has before a program says otherwise: Linux' numbers.
inline constexpr int kDefaultReceiveBuffer = 131072;
inline constexpr int kDefaultSendBuffer = 262144;

class SocketOptions {
 public:
  // The options of a new socket.
  SocketOptions(SocketType type, AddressFamily family);

  // The value of an option that sockets of this type have; undefined for kError, which a socket keeps itself.
  int operator[](SocketOption option) const { return values_[static_cast<size_t>(option)]; }
  bool has(SocketOption option) const { return (*this)[option] != 0; }

  // What setsockopt says, and does to the value: 0, -ENOPROTOOPT for what such a socket does not have, -EINVAL for a
  // value that is out of range.
  int Set(SocketOption option, int value);
  // What getsockopt says.
  int Get(SocketOption option, int* value) const;
  // Sets a value without looking at it.
  void Force(SocketOption option, int value) { values_[static_cast<size_t>(option)] = value; }

 private:
  static constexpr size_t kCount = static_cast<size_t>(SocketOption::kPacketInfo) + 1;

  bool Exists(SocketOption option) const;
  bool InRange(SocketOption option, int value) const;
  int Stored(SocketOption option, int value) const;

  SocketType type_;
  AddressFamily family_;
  std::array<int, kCount> values_ = {};
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_NETWORK_SOCKET_OPTIONS_H_
