// SPDX-License-Identifier: Apache-2.0

#include "posix/sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "posix/socket_address.h"

namespace tandem::posix {
namespace {

// Calls `call` until it is not interrupted; its result, or -errno.
template <typename Call>
auto Retry(Call call) -> decltype(call()) {
  while (true) {
    const auto result = call();
    if (result >= 0) return result;
    if (errno != EINTR) return -errno;
  }
}

struct OptionName {
  int level = 0;
  int name = 0;
};

OptionName NameOf(SocketOption option) {
  switch (option) {
    case SocketOption::kNoDelay:
      return {IPPROTO_TCP, TCP_NODELAY};
    case SocketOption::kReceiveBufferSize:
      return {SOL_SOCKET, SO_RCVBUF};
    case SocketOption::kSendBufferSize:
      return {SOL_SOCKET, SO_SNDBUF};
    case SocketOption::kReuseAddress:
      return {SOL_SOCKET, SO_REUSEADDR};
    case SocketOption::kReusePort:
      return {SOL_SOCKET, SO_REUSEPORT};
    case SocketOption::kIpv6Only:
      return {IPPROTO_IPV6, IPV6_V6ONLY};
    case SocketOption::kLinger:
      return {SOL_SOCKET, SO_LINGER};
    case SocketOption::kError:
      return {SOL_SOCKET, SO_ERROR};
    default:
      return {};
  }
}

// getsockname and getpeername have one signature.
int ReadAddress(int (*call)(int, sockaddr*, socklen_t*), SocketId socket, SocketAddress* address) {
  sockaddr_storage storage{};
  socklen_t length = sizeof(storage);
  const int result = Retry([&] { return call(socket, reinterpret_cast<sockaddr*>(&storage), &length); });
  if (result < 0) return result;
  *address = FromSockaddr(storage, length);
  return 0;
}

}  // namespace

int64_t OpenSocket(AddressFamily family, SocketType type) {
  const int domain = ToDomain(family);
  if (domain == AF_UNSPEC) return -EAFNOSUPPORT;
  const int kind = type == SocketType::kStream ? SOCK_STREAM : SOCK_DGRAM;
  return Retry([&] { return socket(domain, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); });
}

int Bind(SocketId socket, const SocketAddress& address) {
  sockaddr_storage storage{};
  const socklen_t length = ToSockaddr(address, &storage);
  if (length == 0) return -EAFNOSUPPORT;
  return Retry([&] { return bind(socket, reinterpret_cast<const sockaddr*>(&storage), length); });
}

int Listen(SocketId socket, int backlog) {
  return Retry([&] { return listen(socket, backlog); });
}

int Shutdown(SocketId socket, ShutdownHow how) {
  int flag = SHUT_RDWR;
  if (how == ShutdownHow::kRead) flag = SHUT_RD;
  if (how == ShutdownHow::kWrite) flag = SHUT_WR;
  return Retry([&] { return shutdown(socket, flag); });
}

int SetOption(SocketId socket, SocketOption option, int value) {
  if (option == SocketOption::kError) return -EINVAL;
  const OptionName name = NameOf(option);
  if (option == SocketOption::kLinger) {
    const linger state{.l_onoff = value >= 0 ? 1 : 0, .l_linger = value >= 0 ? value : 0};
    return Retry([&] { return setsockopt(socket, name.level, name.name, &state, sizeof(state)); });
  }
  return Retry([&] { return setsockopt(socket, name.level, name.name, &value, sizeof(value)); });
}

int GetOption(SocketId socket, SocketOption option, int* value) {
  const OptionName name = NameOf(option);
  if (option == SocketOption::kLinger) {
    linger state{};
    socklen_t length = sizeof(state);
    const int result = Retry([&] { return getsockopt(socket, name.level, name.name, &state, &length); });
    if (result == 0) *value = state.l_onoff != 0 ? state.l_linger : -1;
    return result;
  }
  socklen_t length = sizeof(*value);
  return Retry([&] { return getsockopt(socket, name.level, name.name, value, &length); });
}

int LocalAddress(SocketId socket, SocketAddress* address) { return ReadAddress(getsockname, socket, address); }

int PeerAddress(SocketId socket, SocketAddress* address) { return ReadAddress(getpeername, socket, address); }

int64_t ReceiveNow(SocketId socket, char* memory, size_t size) {
  return Retry([&]() -> ssize_t { return recv(socket, memory, size, MSG_DONTWAIT); });
}

int CloseNow(SocketId socket) { return close(socket) == 0 ? 0 : -errno; }

}  // namespace tandem::posix
