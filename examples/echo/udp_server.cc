// SPDX-License-Identifier: Apache-2.0
//
// The smallest UDP server: sends each datagram back to where it came from.
//
//   bazel run //examples/echo:udp_server -- --port=7777
//
// It works in batches: what has arrived is received with one call and sent back with one.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tandem/core/base/command_line.h"
#include "tandem/tandem.h"

ABSL_FLAG(uint16_t, port, 7777, "UDP port to bind to; 0 picks a free one");
ABSL_FLAG(std::string, bind, "127.0.0.1", "address to bind to; 0.0.0.0 or :: for all");
ABSL_FLAG(tandem::ReactorKind, reactor, tandem::ReactorKind::kAuto,
          "auto (io_uring, or epoll where the kernel refuses it), uring or epoll");

namespace tandem {
namespace {

constexpr size_t kBatch = 64;

// Ends when the runtime is stopped, which cancels it.
Task<absl::Status> ServeEcho(SocketAddress address) {
  absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(address);
  if (!socket.ok()) co_return socket.status();
  const absl::StatusOr<SocketAddress> local = socket->LocalAddress();
  if (!local.ok()) co_return local.status();
  std::printf("listening on %s\n", local->ToString().c_str());
  std::fflush(stdout);
  std::vector<OutgoingDatagram> answers;
  for (;;) {
    const absl::StatusOr<std::vector<Datagram>> received = co_await socket->ReceiveMany(kBatch);
    if (!received.ok()) co_return received.status();
    answers.clear();
    answers.reserve(received->size());
    for (const Datagram& datagram : *received) answers.emplace_back(datagram.data.view(), datagram.source);
    // One that cannot be sent, to a host without a route for example, must not keep the others from going.
    for (size_t done = 0; done < answers.size();) {
      const SendManyResult result = co_await socket->SendMany(absl::MakeConstSpan(answers).subspan(done));
      if (absl::IsCancelled(result.status)) co_return result.status;
      done += result.ok() ? result.sent : result.sent + 1;
    }
  }
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  tandem::ParseFlags(argc, argv, "A UDP echo server. SIGINT or SIGTERM stops it.", __FILE__);
  const auto address = tandem::SocketAddress::ParseHost(absl::GetFlag(FLAGS_bind), absl::GetFlag(FLAGS_port));
  if (!address.ok()) {
    std::fprintf(stderr, "--bind: %s\n", std::string(address.status().message()).c_str());
    return 1;
  }
  const auto reactor = tandem::ReactorOptions().set_kind(absl::GetFlag(FLAGS_reactor));
  tandem::Runtime runtime(tandem::RuntimeOptions().set_reactor(reactor));
  std::fprintf(stderr, "%s\n", runtime.statistics().description.c_str());
  const absl::Status status = runtime.BlockOn(tandem::ServeEcho(*address));
  // A stop by signal cancels the server: that is how it ends well.
  if (absl::IsCancelled(status)) return 0;
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return 1;
}
