// SPDX-License-Identifier: Apache-2.0

#include "tandem/posix/lingering_closes.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/log/check.h"
#include "absl/time/time.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/operation.h"
#include "tandem/core/io/socket_options.h"
#include "tandem/posix/back_off.h"
#include "tandem/posix/clock.h"
#include "tandem/posix/sockets.h"

namespace tandem::posix {
namespace {

constexpr Pauses kLooks{.first_ns = 1'000'000, .longest_ns = 100'000'000};

// Whether bytes or the end are not acknowledged yet: what the kernel's own close waits for.
bool IsClosing(SocketId socket) {
  tcp_info info = {};
  socklen_t size = sizeof(info);
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
  return info.tcpi_state == TCP_FIN_WAIT1 || info.tcpi_state == TCP_CLOSING || info.tcpi_state == TCP_LAST_ACK;
}

bool HasUnread(SocketId socket) {
  int bytes = 0;
  return ioctl(socket, FIONREAD, &bytes) == 0 && bytes > 0;
}

int CloseWithoutWaiting(SocketId socket) {
  (void)SetOption(socket, SocketOption::kLinger, -1);
  return CloseNow(socket);
}

}  // namespace

LingeringCloses::~LingeringCloses() {
  for (const auto& [socket, close] : closes_) CloseWithoutWaiting(socket);
}

void LingeringCloses::Start(Operation& operation) {
  const SocketId socket = operation.socket;
  int seconds = 0;
  (void)GetOption(socket, SocketOption::kLinger, &seconds);
  // Otherwise it is not waited for.
  if (seconds > 0 && !HasUnread(socket)) (void)Shutdown(socket, ShutdownHow::kBoth);
  const Close close{.operation = &operation, .deadline = ReadMonotonicClock() + absl::Seconds(std::max(seconds, 0))};
  CHECK(closes_.emplace(socket, close).second) << "a socket was closed twice";
  looks_.Add(static_cast<uint32_t>(socket), Instant::InfinitePast());
}

std::vector<LingeringCloses::Done> LingeringCloses::TakeDone(Instant now) {
  std::vector<Done> done;
  looks_.RetryDue(now, [&](uint32_t name) {
    const auto socket = static_cast<SocketId>(name);
    const auto entry = closes_.find(socket);
    Close& close = entry->second;
    if (now < close.deadline && IsClosing(socket)) {
      return looks_.Add(name, std::min(close.deadline, now + kLooks.After(close.looks++)));
    }
    // A linger time of zero stays: it resets.
    int seconds = 0;
    (void)GetOption(socket, SocketOption::kLinger, &seconds);
    done.push_back({close.operation, seconds > 0 ? CloseWithoutWaiting(socket) : CloseNow(socket)});
    closes_.erase(entry);
  });
  return done;
}

}  // namespace tandem::posix
