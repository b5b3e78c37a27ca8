// SPDX-License-Identifier: Apache-2.0
//
// The smallest server: sends back what it receives.
//
//   bazel run //examples/echo:server -- --port=7777
//
// When it is stopped it prints one line of JSON: messages, system calls and processor time for each.
// --receive serves from the kernel's own buffers, without a copy; the default reads into a buffer of its own.

#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tandem/core/base/command_line.h"
#include "tandem/tandem.h"

ABSL_FLAG(uint16_t, port, 7777, "TCP port to listen on; 0 picks a free one");
ABSL_FLAG(std::string, bind, "127.0.0.1", "address to listen on; 0.0.0.0 or :: for all");
ABSL_FLAG(bool, receive, false, "serve from the kernel's receive buffers, without a copy");
ABSL_FLAG(tandem::ReactorKind, reactor, tandem::ReactorKind::kAuto,
          "auto (io_uring, or epoll where the kernel refuses it), uring or epoll");

namespace tandem {
namespace {

struct Counters {
  uint64_t messages = 0;
  uint64_t bytes = 0;
};
HostLocal<Counters> counters;

void Count(size_t bytes) {
  ++counters->messages;
  counters->bytes += bytes;
}

// Both loops end at the end of the stream, on an error (the peer is gone) and on cancellation: in each case the stream
// is closed by its destructor.

Task<void> EchoByRead(TcpStream stream) {
  char buffer[16384];
  for (;;) {
    const absl::StatusOr<size_t> count = co_await stream.Read(absl::MakeSpan(buffer));
    if (!count.ok() || *count == 0) co_return;
    Count(*count);
    const IoResult written = co_await stream.WriteAll(absl::string_view(buffer, *count));
    if (!written.ok()) co_return;
  }
}

Task<void> EchoByReceive(TcpStream stream) {
  for (;;) {
    absl::StatusOr<Buffer> buffer = co_await stream.Receive();
    if (!buffer.ok() || buffer->empty()) co_return;
    Count(buffer->size());
    const IoResult written = co_await stream.WriteAll(*std::move(buffer));
    if (!written.ok()) co_return;
  }
}

void PrintCounters(const ReactorStatistics& statistics) {
  const double messages = counters->messages == 0 ? 1.0 : static_cast<double>(counters->messages);
  const double cpu_us = 1e6 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  std::printf(
      "{\"server\": \"tandem_echo\", \"messages\": %llu, \"bytes\": %llu, \"enters\": %llu, "
      "\"cpu_us_per_message\": %.4f, \"enters_per_message\": %.4f}\n",
      static_cast<unsigned long long>(counters->messages), static_cast<unsigned long long>(counters->bytes),
      static_cast<unsigned long long>(statistics.enters), cpu_us / messages,
      static_cast<double>(statistics.enters) / messages);
  std::fflush(stdout);
}

Task<absl::Status> ServeEcho(Runtime* runtime, SocketAddress address, bool by_receive) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(address);
  if (!listener.ok()) co_return listener.status();
  std::printf("listening on %s\n", listener->LocalAddress().ToString().c_str());
  std::fflush(stdout);
  // An echo has nothing to finish: a stop ends the connections at once.
  const auto handler = by_receive ? EchoByReceive : EchoByRead;
  absl::Status status =
      co_await Serve(*std::move(listener), handler, ServeOptions().set_drain_limit(absl::ZeroDuration()));
  PrintCounters(runtime->statistics());
  co_return status;
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  tandem::ParseFlags(argc, argv, "A TCP echo server. SIGINT or SIGTERM stops it.", __FILE__);
  const auto address = tandem::SocketAddress::ParseHost(absl::GetFlag(FLAGS_bind), absl::GetFlag(FLAGS_port));
  if (!address.ok()) {
    std::fprintf(stderr, "--bind: %s\n", std::string(address.status().message()).c_str());
    return 1;
  }
  const auto reactor = tandem::ReactorOptions().set_kind(absl::GetFlag(FLAGS_reactor));
  tandem::Runtime runtime(tandem::RuntimeOptions().set_reactor(reactor));
  std::fprintf(stderr, "%s\n", runtime.statistics().description.c_str());
  const absl::Status status = runtime.BlockOn(tandem::ServeEcho(&runtime, *address, absl::GetFlag(FLAGS_receive)));
  // A stop by signal cancels the server: that is how it ends well.
  if (absl::IsCancelled(status)) return 0;
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return 1;
}
