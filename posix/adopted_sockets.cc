// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/adopted_sockets.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

namespace tandem::posix {
namespace {

// SD_LISTEN_FDS_START.
constexpr int kFirstPassedDescriptor = 3;
// A bound against nonsense; the kernel's own default limit of descriptors.
constexpr int kMostPassedDescriptors = 1 << 20;

int GetNumber(int descriptor, int option, int* value) {
  socklen_t length = sizeof(*value);
  return getsockopt(descriptor, SOL_SOCKET, option, value, &length) == 0 ? 0 : -errno;
}

// Whether it has come through an exec: what the process has opened itself, a reactor's for one, closes there.
bool IsPassed(int descriptor) {
  const int flags = fcntl(descriptor, F_GETFD);
  return flags >= 0 && (flags & FD_CLOEXEC) == 0;
}

}  // namespace

int DescribeSocket(int descriptor, SocketDescription* description) {
  int domain = 0;
  int type = 0;
  int protocol = 0;
  int listening = 0;
  for (const auto& [option, value] : {std::pair{SO_DOMAIN, &domain}, std::pair{SO_TYPE, &type},
                                      std::pair{SO_PROTOCOL, &protocol}, std::pair{SO_ACCEPTCONN, &listening}}) {
    if (const int result = GetNumber(descriptor, option, value); result < 0) return result;
  }
  if (type != SOCK_STREAM && type != SOCK_DGRAM) return -EPROTONOSUPPORT;
  description->type = type == SOCK_STREAM ? SocketType::kStream : SocketType::kDatagram;
  switch (domain) {
    case AF_UNIX:
      description->family = AddressFamily::kUnix;
      break;
    case AF_INET:
    case AF_INET6:
      description->family = domain == AF_INET ? AddressFamily::kIpv4 : AddressFamily::kIpv6;
      if (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP && protocol != IPPROTO_UDP) return -EPROTONOSUPPORT;
      break;
    default:
      return -EPROTONOSUPPORT;
  }
  description->listening = listening != 0;
  sockaddr_storage peer{};
  socklen_t length = sizeof(peer);
  description->connected = getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &length) == 0;
  return 0;
}

int PrepareSocket(int descriptor) {
  const int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0 || fcntl(descriptor, F_SETFD, FD_CLOEXEC) < 0) return -errno;
  if ((flags & O_NONBLOCK) == 0 && fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) < 0) return -errno;
  return 0;
}

int ParseListenVariables(const char* pid, const char* count, const char* names, int64_t own_pid,
                         std::vector<std::string>* result) {
  result->clear();
  if (pid == nullptr || count == nullptr) return 0;
  int64_t pid_number = 0;
  int count_number = 0;
  if (!absl::SimpleAtoi(pid, &pid_number) || pid_number <= 0) return -EINVAL;
  // Inherited from a parent that did not take them: they are not for this process.
  if (pid_number != own_pid) return 0;
  if (!absl::SimpleAtoi(count, &count_number) || count_number < 0 || count_number > kMostPassedDescriptors) {
    return -EINVAL;
  }
  if (names == nullptr) {
    result->assign(static_cast<size_t>(count_number), "unknown");
    return 0;
  }
  if (count_number > 0) *result = absl::StrSplit(names, ':');
  if (result->size() == static_cast<size_t>(count_number)) return 0;
  result->clear();
  return -EINVAL;
}

int TakeActivatedSockets(std::vector<ActivatedSocket>* sockets) {
  static std::atomic<bool> taken{false};
  sockets->clear();
  // Those that were taken may be closed, and their numbers others' by now.
  if (taken.load()) return 0;
  std::vector<std::string> names;
  const int parsed = ParseListenVariables(std::getenv("LISTEN_PID"), std::getenv("LISTEN_FDS"),
                                          std::getenv("LISTEN_FDNAMES"), getpid(), &names);
  if (parsed < 0) return parsed;
  for (size_t i = 0; i < names.size(); ++i) {
    if (!IsPassed(kFirstPassedDescriptor + static_cast<int>(i))) return -EBADF;
  }
  if (names.empty() || taken.exchange(true)) return 0;
  for (std::string& name : names) {
    const int descriptor = kFirstPassedDescriptor + static_cast<int>(sockets->size());
    (void)fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    sockets->push_back(ActivatedSocket{OwnedDescriptor(descriptor), std::move(name)});
  }
  return 0;
}

}  // namespace tandem::posix
