// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "absl/log/check.h"
#include "tandem/posix/socket_address.h"

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

// IoSlice has the layout of iovec, so an array of one is an array of the other.
static_assert(sizeof(IoSlice) == sizeof(iovec) && offsetof(IoSlice, data) == offsetof(iovec, iov_base) &&
              offsetof(IoSlice, size) == offsetof(iovec, iov_len));

// The kernel's name of an option. `name` is -1 when there is none.
struct OptionName {
  int level = -1;
  int name = -1;
};

// The option of IP that a socket of `domain` has.
OptionName NameByFamily(int domain, int ipv4, int ipv6) {
  if (domain == AF_INET) return {IPPROTO_IP, ipv4};
  if (domain == AF_INET6) return {IPPROTO_IPV6, ipv6};
  return {};
}

// For the options whose name depends on the socket's family.
OptionName NameOfIpOption(SocketOption option, int domain) {
  switch (option) {
    case SocketOption::kTrafficClass:
      return NameByFamily(domain, IP_TOS, IPV6_TCLASS);
    case SocketOption::kTimeToLive:
      return NameByFamily(domain, IP_TTL, IPV6_UNICAST_HOPS);
    case SocketOption::kMulticastTimeToLive:
      return NameByFamily(domain, IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS);
    case SocketOption::kMulticastLoop:
      return NameByFamily(domain, IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP);
    case SocketOption::kMulticastInterface:
      return NameByFamily(domain, IP_MULTICAST_IF, IPV6_MULTICAST_IF);
    case SocketOption::kPacketInfo:
      return NameByFamily(domain, IP_PKTINFO, IPV6_RECVPKTINFO);
    default:
      return {};
  }
}

// For all others.
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
    case SocketOption::kKeepAlive:
      return {SOL_SOCKET, SO_KEEPALIVE};
    case SocketOption::kKeepAliveIdle:
      return {IPPROTO_TCP, TCP_KEEPIDLE};
    case SocketOption::kKeepAliveInterval:
      return {IPPROTO_TCP, TCP_KEEPINTVL};
    case SocketOption::kKeepAliveCount:
      return {IPPROTO_TCP, TCP_KEEPCNT};
    case SocketOption::kUserTimeout:
      return {IPPROTO_TCP, TCP_USER_TIMEOUT};
    case SocketOption::kQuickAck:
      return {IPPROTO_TCP, TCP_QUICKACK};
    case SocketOption::kBroadcast:
      return {SOL_SOCKET, SO_BROADCAST};
    default:
      return {};
  }
}

template <typename Value>
int Set(SocketId socket, OptionName option, const Value& value) {
  return Retry([&] { return setsockopt(socket, option.level, option.name, &value, sizeof(value)); });
}

template <typename Value>
int Get(SocketId socket, OptionName option, Value* value) {
  socklen_t length = sizeof(*value);
  return Retry([&] { return getsockopt(socket, option.level, option.name, value, &length); });
}

// Finds the kernel's name of `option` on `socket` and the socket's family, AF_UNSPEC where it does not matter. Returns
// 0, or -EOPNOTSUPP when there is no such option.
int FindOption(SocketId socket, SocketOption option, OptionName* name, int* domain) {
  *domain = AF_UNSPEC;
  *name = NameOf(option);
  if (name->name >= 0) return 0;
  if (const int failed = Get(socket, {SOL_SOCKET, SO_DOMAIN}, domain); failed < 0) return failed;
  *name = NameOfIpOption(option, *domain);
  return name->name >= 0 ? 0 : -EOPNOTSUPP;
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

int OpenSocketPair(SocketType type, SocketId (&sockets)[2]) {
  const int kind = type == SocketType::kStream ? SOCK_STREAM : SOCK_DGRAM;
  return Retry([&] { return socketpair(AF_UNIX, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sockets); });
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

int ConnectNow(SocketId socket, const SocketAddress& address) {
  sockaddr_storage storage{};
  const socklen_t length = ToSockaddr(address, &storage);
  if (length == 0) return -EAFNOSUPPORT;
  if (connect(socket, reinterpret_cast<const sockaddr*>(&storage), length) == 0) return 0;
  return errno == EINTR ? -EINPROGRESS : -errno;  // What was interrupted goes on.
}

int ConnectDatagrams(SocketId socket, const SocketAddress& address) {
  sockaddr_storage storage{};
  socklen_t length = ToSockaddr(address, &storage);
  if (length == 0) {
    storage.ss_family = AF_UNSPEC;
    length = sizeof(sockaddr);
  }
  return Retry([&] { return connect(socket, reinterpret_cast<const sockaddr*>(&storage), length); });
}

int Shutdown(SocketId socket, ShutdownHow how) {
  int flag = SHUT_RDWR;
  if (how == ShutdownHow::kRead) flag = SHUT_RD;
  if (how == ShutdownHow::kWrite) flag = SHUT_WR;
  return Retry([&] { return shutdown(socket, flag); });
}

int SetOption(SocketId socket, SocketOption option, int value) {
  if (option == SocketOption::kError) return -EINVAL;
  OptionName name;
  int domain = AF_UNSPEC;
  if (const int failed = FindOption(socket, option, &name, &domain); failed < 0) return failed;
  switch (option) {
    case SocketOption::kLinger:
      return Set(socket, name, linger{.l_onoff = value >= 0 ? 1 : 0, .l_linger = value >= 0 ? value : 0});
    case SocketOption::kMulticastInterface:
      if (domain == AF_INET) {
        ip_mreqn request{};
        request.imr_ifindex = value;
        return Set(socket, name, request);
      }
      break;
    case SocketOption::kTrafficClass:
    case SocketOption::kTimeToLive:
      if (value < 0) return -EINVAL;  // -1 would mean the default to the kernel.
      // May fail where there is no IPv4; then nobody misses it.
      if (domain == AF_INET6) (void)Set(socket, NameOfIpOption(option, AF_INET), value);
      break;
    case SocketOption::kMulticastTimeToLive:
      if (value < 0) return -EINVAL;
      break;
    default:
      break;
  }
  return Set(socket, name, value);
}

int GetOption(SocketId socket, SocketOption option, int* value) {
  OptionName name;
  int domain = AF_UNSPEC;
  if (const int failed = FindOption(socket, option, &name, &domain); failed < 0) return failed;
  if (option == SocketOption::kLinger) {
    linger state{};
    const int result = Get(socket, name, &state);
    if (result == 0) *value = state.l_onoff != 0 ? state.l_linger : -1;
    return result;
  }
  if (option == SocketOption::kMulticastInterface && domain == AF_INET) return -ENODATA;
  return Get(socket, name, value);
}

int SetMembership(SocketId socket, const MulticastGroup& group, bool join) {
  if (group.address.is_ipv4()) {
    ip_mreqn request{};
    request.imr_ifindex = static_cast<int>(group.interface_index);
    std::memcpy(&request.imr_multiaddr, group.address.bytes().data(), sizeof(request.imr_multiaddr));
    return Set(socket, {IPPROTO_IP, join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP}, request);
  }
  if (group.address.is_ipv6()) {
    ipv6_mreq request{};
    request.ipv6mr_interface = group.interface_index;
    std::memcpy(&request.ipv6mr_multiaddr, group.address.bytes().data(), sizeof(request.ipv6mr_multiaddr));
    return Set(socket, {IPPROTO_IPV6, join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP}, request);
  }
  return -EAFNOSUPPORT;
}

int LocalAddress(SocketId socket, SocketAddress* address) { return ReadAddress(getsockname, socket, address); }

int PeerAddress(SocketId socket, SocketAddress* address) { return ReadAddress(getpeername, socket, address); }

int GetPeerCredentials(SocketId socket, PeerCredentials* credentials) {
  int domain = AF_UNSPEC;
  if (const int failed = Get(socket, {SOL_SOCKET, SO_DOMAIN}, &domain); failed < 0) return failed;
  if (domain != AF_UNIX) return -EOPNOTSUPP;
  ucred peer{};
  if (const int failed = Get(socket, {SOL_SOCKET, SO_PEERCRED}, &peer); failed < 0) return failed;
  // A peer in a namespace that is not ours has the process id 0, but a user.
  if (peer.pid == 0 && peer.uid == static_cast<uid_t>(-1)) return -ENOTCONN;
  *credentials = {.process_id = peer.pid, .user_id = peer.uid, .group_id = peer.gid};
  return 0;
}

int64_t AcceptNow(SocketId socket) {
  return Retry([&] { return accept4(socket, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC); });
}

int64_t ReceiveNow(SocketId socket, char* memory, size_t size) {
  return Retry([&]() -> ssize_t { return recv(socket, memory, size, MSG_DONTWAIT); });
}

int64_t SendNow(SocketId socket, absl::Span<const IoSlice> slices) {
  CHECK_LE(slices.size(), Operation::kMaxSlices);
  if (slices.size() == 1) {
    const IoSlice& slice = slices.front();
    return Retry([&]() -> ssize_t { return send(socket, slice.data, slice.size, MSG_NOSIGNAL | MSG_DONTWAIT); });
  }
  msghdr message{};
  // The kernel only reads them.
  message.msg_iov = static_cast<iovec*>(const_cast<void*>(static_cast<const void*>(slices.data())));
  message.msg_iovlen = slices.size();
  return Retry([&]() -> ssize_t { return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT); });
}

bool IsReadable(SocketId socket) {
  pollfd entry{.fd = socket, .events = POLLIN, .revents = 0};
  return Retry([&] { return poll(&entry, 1, 0); }) != 0;
}

int CloseNow(SocketId socket) { return close(socket) == 0 ? 0 : -errno; }

}  // namespace tandem::posix
