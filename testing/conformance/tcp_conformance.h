// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the TCP API add to socket_conformance.h: unconnected sockets, further calls as tasks, and pairs in
// states that take several steps to reach.

#ifndef TANDEM_TESTING_CONFORMANCE_TCP_CONFORMANCE_H_
#define TANDEM_TESTING_CONFORMANCE_TCP_CONFORMANCE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_socket.h"
#include "tandem/core/net/tcp_split.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/testing/conformance/socket_conformance.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::testing {

// --- Calls as tasks, for Start(). What they are given stays where it is until the task has ended. ---

inline Task<absl::StatusOr<std::string>> PeekSome(TcpStream* stream, size_t size) {
  std::string data(size, '\0');
  absl::StatusOr<size_t> count = co_await stream->Peek(absl::MakeSpan(data));
  if (!count.ok()) co_return count.status();
  data.resize(*count);
  co_return data;
}

inline Task<absl::StatusOr<std::string>> ReceiveSome(TcpStream* stream) {
  absl::StatusOr<Buffer> buffer = co_await stream->Receive();
  if (!buffer.ok()) co_return buffer.status();
  co_return std::string(buffer->view());
}

inline Task<IoResult> ReadMin(TcpStream* stream, std::string* target, size_t min) {
  IoResult result = co_await stream->ReadAtLeast(absl::MakeSpan(*target), min);
  co_return result;
}

inline Task<absl::Status> ShutDownWriting(TcpStream* stream) {
  absl::Status status = co_await stream->ShutdownWrite();
  co_return status;
}

inline Task<absl::StatusOr<TcpStream>> ConnectSocket(TcpSocket socket, SocketAddress address) {
  absl::StatusOr<TcpStream> stream = co_await std::move(socket).Connect(address);
  co_return stream;
}

class TcpConformanceTest : public SocketConformanceTest {
 protected:
  TcpSocket Open(AddressFamily family = AddressFamily::kIpv4) {
    auto socket = TcpSocket::Open(family);
    CHECK(socket.ok()) << socket.status();
    return *std::move(socket);
  }
  // A loopback address that other programs of this machine leave alone: a port that was freed is still free when the
  // test asks for it again.
  static SocketAddress OwnAddress() { return SocketAddress::Ipv4({127, 77, 0, 1}, 0); }
  // A socket with reuse-address that is bound to `address`.
  TcpSocket OpenBound(const SocketAddress& address = OwnAddress(), bool reuse_address = true) {
    TcpSocket socket = Open(address.family());
    EXPECT_OK(socket.set_reuse_address(reuse_address));
    const absl::Status status = socket.Bind(address);
    CHECK(status.ok()) << status;
    return socket;
  }
  static SocketAddress AddressOf(const TcpSocket& socket) {
    auto address = socket.LocalAddress();
    CHECK(address.ok()) << address.status();
    return *address;
  }
  TcpListener ListenOn(TcpSocket socket, const ListenOptions& options = ListenOptions()) {
    auto listener = std::move(socket).Listen(options);
    CHECK(listener.ok()) << listener.status();
    return *std::move(listener);
  }
  // An address at which nobody listens, for the moment.
  SocketAddress NobodysAddress() {
    TcpListener listener = Listen(OwnAddress());
    EXPECT_OK(Run(listener.Close()));
    return listener.LocalAddress();
  }

  // Repeats `attempt` until it gives a value or an error, for calls that never wait.
  template <typename T, typename Attempt>
  absl::StatusOr<T> Until(Attempt attempt) {
    for (int i = 0; i < 2000; ++i) {
      absl::StatusOr<std::optional<T>> result = attempt();
      if (!result.ok()) return result.status();
      if (result->has_value()) return **std::move(result);
      Settle();
    }
    return absl::UnknownError("never");
  }
  absl::StatusOr<std::string> TryRead(TcpStream& stream, size_t size = 64 * 1024) {
    std::string data(size, '\0');
    auto count = Until<size_t>([&] { return stream.TryRead(absl::MakeSpan(data)); });
    if (!count.ok()) return count.status();
    data.resize(*count);
    return data;
  }
  absl::StatusOr<std::string> Peek(TcpStream& stream, size_t size = 64 * 1024) { return Run(PeekSome(&stream, size)); }

  // Writes until the kernel takes no more, and returns how much it took.
  size_t FillUp(TcpStream& stream) {
    const std::string data = Pattern(256 * 1024);
    size_t total = 0;
    for (int quiet = 0; quiet < 20;) {
      auto count = stream.TryWrite(data);
      CHECK(count.ok()) << count.status();
      if (count->has_value()) {
        total += **count;
        quiet = 0;
      } else {
        // The peer's kernel may take some of it, on a loaded machine late.
        CHECK(Run(Sleep(absl::Milliseconds(5))).ok());
        ++quiet;
      }
    }
    return total;
  }
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_CONFORMANCE_TCP_CONFORMANCE_H_
