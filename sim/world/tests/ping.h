// SPDX-License-Identifier: Apache-2.0
//
// What tests of a world run on its hosts: an echo server, and a client that counts what fails.

#ifndef TANDEM_SIM_WORLD_TESTS_PING_H_
#define TANDEM_SIM_WORLD_TESTS_PING_H_

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {

inline constexpr uint16_t kPort = 7;

inline Task<absl::Status> SleepForever() { co_return co_await SleepUntil(Instant::InfiniteFuture()); }
inline Task<absl::Status> DozeFor(absl::Duration duration) { co_return co_await Sleep(duration); }

inline Task<void> Echo(TcpStream stream) {
  std::array<char, 256> bytes;
  for (;;) {
    absl::StatusOr<size_t> count = co_await stream.Read(absl::MakeSpan(bytes));
    if (!count.ok() || *count == 0) co_return;
    IoResult written = co_await stream.WriteAll(absl::string_view(bytes.data(), *count));
    if (!written.ok()) co_return;
  }
}

inline Task<absl::Status> Serve() {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  for (;;) {
    absl::StatusOr<TcpStream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return stream.status();
    Spawn(&Echo, *std::move(stream));
  }
}

inline Task<absl::Status> PingOnce(TcpStream* stream, int number) {
  const std::string message = absl::StrCat("message ", number, ";");
  IoResult written = co_await stream->WriteAll(message);
  if (!written.ok()) co_return written.status;
  std::string reply(message.size(), '\0');
  IoResult read = co_await stream->ReadExactly(absl::MakeSpan(reply.data(), reply.size()));
  if (!read.ok()) co_return read.status;
  if (reply != message) co_return absl::DataLossError(absl::StrCat("got ", reply, ", wanted ", message));
  co_return absl::OkStatus();
}

// Exchanges `count` messages; after a failure connects again, until that works.
inline Task<absl::Status> Ping(std::string server, int count, int* failures) {
  absl::StatusOr<SocketAddress> address = World::Current()->Resolve(server);
  if (!address.ok()) co_return address.status();
  TcpStream stream;
  for (int number = 0; number < count;) {
    if (!stream.valid()) {
      absl::StatusOr<TcpStream> connected = co_await WithTimeout(absl::Seconds(1), TcpStream::Connect(*address));
      if (connected.ok()) {
        stream = *std::move(connected);
      } else {
        ++*failures;
        absl::Status slept = co_await Sleep(absl::Milliseconds(100));
        if (!slept.ok()) co_return slept;
        continue;
      }
    }
    absl::Status status = co_await WithTimeout(absl::Seconds(1), PingOnce(&stream, number));
    if (absl::IsDataLoss(status) || absl::IsCancelled(status)) co_return status;
    if (status.ok()) {
      ++number;
    } else {
      ++*failures;
      stream = TcpStream();
    }
  }
  co_return absl::OkStatus();
}

}  // namespace tandem::sim

#endif  // TANDEM_SIM_WORLD_TESTS_PING_H_
