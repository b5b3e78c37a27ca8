// SPDX-License-Identifier: Apache-2.0
//
// What tests of decisions share: hosts that send datagrams and lines to each other, and a record of what happened.

#ifndef TANDEM_SIM_WORLD_TESTS_TEST_TRAFFIC_H_
#define TANDEM_SIM_WORLD_TESTS_TEST_TRAFFIC_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tandem/core/async/sleep.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/sim/world/tests/ping.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {

// Keeps the records of the first `hosts` hosts that are not about faults.
class RecordKeeper final : public TraceSink {
 public:
  explicit RecordKeeper(uint32_t hosts) : hosts_(hosts) {}

  void OnRecord(const TraceRecord& record, const TraceDigest&) override {
    if (record.host >= hosts_ || record.kind == TraceKind::kFault) return;
    records_.push_back({record.time_ns, record.kind, record.host, record.a, record.b, record.c});
  }

  struct Record {
    int64_t time_ns;
    TraceKind kind;
    uint32_t host;
    uint64_t a;
    uint64_t b;
    uint64_t c;

    friend bool operator==(const Record&, const Record&) = default;
  };
  const std::vector<Record>& records() const { return records_; }
  // How many of them are equal to those of `other`, from the start.
  size_t EqualTo(const RecordKeeper& other) const {
    size_t count = 0;
    while (count < records_.size() && count < other.records_.size() && records_[count] == other.records_[count])
      ++count;
    return count;
  }

 private:
  const uint32_t hosts_;
  std::vector<Record> records_;
};

inline Task<void> SendDatagrams(std::string to, uint16_t port, int count) {
  absl::StatusOr<tandem::UdpSocket> socket = tandem::UdpSocket::Bind(SocketAddress::AnyIpv4(0));
  const absl::StatusOr<SocketAddress> address = HostAddress(to, port);
  if (!socket.ok() || !address.ok()) co_return;
  for (int i = 0; i < count; ++i) {
    const absl::Status sent = co_await socket->SendTo(absl::StrCat(i), *address);
    const absl::Status slept = co_await Sleep(absl::Milliseconds(3));
    if (!sent.ok() || !slept.ok()) co_return;
  }
}

// Counts the datagrams that arrive.
inline Task<void> ReceiveDatagrams(uint16_t port, int* received) {
  absl::StatusOr<tandem::UdpSocket> socket = tandem::UdpSocket::Bind(SocketAddress::AnyIpv4(port));
  if (!socket.ok()) co_return;
  std::array<char, 100> buffer;
  while (true) {
    const absl::StatusOr<ReceivedDatagram> datagram = co_await socket->ReceiveFrom(absl::MakeSpan(buffer));
    if (!datagram.ok()) co_return;
    if (received != nullptr) ++*received;
  }
}

inline Task<void> ServeEcho(uint16_t port) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(port));
  if (!listener.ok()) co_return;
  while (true) {
    absl::StatusOr<TcpStream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return;
    Spawn(Echo, *std::move(stream));
  }
}

inline Task<void> TalkTo(std::string server, uint16_t port, int count) {
  for (int i = 0; i < count; ++i) {
    const absl::StatusOr<SocketAddress> address = HostAddress(server, port);
    if (!address.ok()) co_return;
    absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(*address).By(Now() + absl::Seconds(1));
    if (!stream.ok()) continue;
    for (int line = 0; line < 5; ++line) {
      const IoResult put = co_await stream->WriteAll("some text\n");
      std::array<char, 100> buffer;
      const absl::StatusOr<size_t> got = co_await stream->Read(absl::MakeSpan(buffer)).By(Now() + absl::Seconds(1));
      if (!put.ok() || !got.ok() || *got == 0) break;
    }
  }
}

inline constexpr uint16_t kEchoPort = 7;
inline constexpr uint16_t kDatagramPort = 9;

inline Task<absl::Status> ServerMain(int* received) {
  Spawn(ReceiveDatagrams, kDatagramPort, received);
  co_await ServeEcho(kEchoPort);
  co_return absl::OkStatus();
}

// Of the hosts "client": talks to "server" in both ways.
inline Task<absl::Status> ClientMain() {
  Spawn(SendDatagrams, "server", kDatagramPort, 20);
  co_await TalkTo("server", kEchoPort, 4);
  co_return co_await Sleep(absl::Milliseconds(100));
}

}  // namespace tandem::sim

#endif  // TANDEM_SIM_WORLD_TESTS_TEST_TRAFFIC_H_
