// SPDX-License-Identifier: Apache-2.0
//
// The key-value server as a program:
//
//   bazel run //examples/kv:server -- --port=6379
//   redis-cli -p 6379 set greeting hello

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>

#include "absl/base/log_severity.h"
#include "absl/flags/flag.h"
#include "absl/log/globals.h"
#include "absl/log/initialize.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tandem/core/base/command_line.h"
#include "tandem/examples/kv/server.h"
#include "tandem/tandem.h"

ABSL_FLAG(uint16_t, port, 6379, "TCP port to listen on; 0 picks a free one");
ABSL_FLAG(std::string, bind, "127.0.0.1", "address to listen on; 0.0.0.0 or :: for all (there are no passwords)");
ABSL_FLAG(uint32_t, max_clients, 10'000, "clients beyond this number get an error and are closed");
ABSL_FLAG(uint64_t, max_request_bytes, uint64_t{128} << 20, "clients with larger requests get an error and are closed");
ABSL_FLAG(uint64_t, max_memory_bytes, 0, "size of the data from which writes are refused; 0: no limit");
ABSL_FLAG(uint64_t, max_client_buffer_bytes, uint64_t{1} << 30,
          "memory for unfinished requests and unsent replies of all clients together; beyond it the largest is cut");
ABSL_FLAG(uint64_t, client_output_buffer_limit, 0,
          "memory for the unsent replies of one client; beyond it the client is cut; 0: only the limit of all");
ABSL_FLAG(absl::Duration, idle_timeout, absl::Minutes(5),
          "a client that sends nothing for so long (such as 90s or 5m) is closed; 0: never");
ABSL_FLAG(absl::Duration, write_timeout, absl::Minutes(1),
          "a client that takes no byte of its replies for so long (such as 90s or 5m) is cut; 0: never");
ABSL_FLAG(absl::Duration, shutdown_timeout, absl::Seconds(10),
          "how long a server that is told to stop goes on sending replies of what it has executed");
ABSL_FLAG(tandem::ReactorKind, reactor, tandem::ReactorKind::kAuto,
          "auto (io_uring, or epoll where the kernel refuses it), uring or epoll");

namespace tandem {
namespace {

// Descriptors of the program itself: standard streams, the ring, the listener, some to spare. As many as Redis keeps.
constexpr uint32_t kOwnDescriptors = 32;

// Each client is a descriptor, and the usual limit is 1024. Returns for how many clients the hard limit leaves room.
uint32_t AllowManyDescriptors(uint32_t wanted_clients) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted_clients;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= rlim_t{wanted_clients} + kOwnDescriptors) {
    return wanted_clients;
  }
  return limit.rlim_max > kOwnDescriptors ? static_cast<uint32_t>(limit.rlim_max) - kOwnDescriptors : 1;
}

kv::Options OptionsFromFlags(const SocketAddress& address) {
  kv::Options options;
  options.set_address(address)
      .set_max_clients(AllowManyDescriptors(absl::GetFlag(FLAGS_max_clients)))
      .set_max_request_bytes(absl::GetFlag(FLAGS_max_request_bytes))
      .set_max_memory_bytes(absl::GetFlag(FLAGS_max_memory_bytes))
      .set_max_client_buffer_bytes(absl::GetFlag(FLAGS_max_client_buffer_bytes))
      .set_idle_timeout(absl::GetFlag(FLAGS_idle_timeout))
      .set_client_output_buffer_limit(absl::GetFlag(FLAGS_client_output_buffer_limit))
      .set_write_timeout(absl::GetFlag(FLAGS_write_timeout))
      .set_shutdown_timeout(absl::GetFlag(FLAGS_shutdown_timeout));
  if (options.max_clients() < absl::GetFlag(FLAGS_max_clients)) {
    std::fprintf(stderr, "open files are limited, so --max_clients is %u and not %u (raise the limit with ulimit -n)\n",
                 options.max_clients(), absl::GetFlag(FLAGS_max_clients));
  }
  return options;
}

Task<absl::Status> Run(kv::Options options) {
  absl::StatusOr<TcpListener> listener = kv::Listen(options);
  if (!listener.ok()) co_return listener.status();
  std::printf("listening on %s\n", listener->LocalAddress().ToString().c_str());
  std::fflush(stdout);
  co_return co_await kv::Serve(*std::move(listener), options);
}

std::string Advice(const absl::Status& status) {
  switch (ErrnoOf(status)) {
    case EADDRINUSE:
      return "; another server has this port: stop it, or choose another one with --port";
    case EADDRNOTAVAIL:
      return "; --bind must be an address of this machine";
    case EACCES:
      return "; ports below 1024 need a privilege: choose a higher one with --port";
    case EMFILE:
      return "; raise the limit with ulimit -n";
    default:
      return "";
  }
}

int Fail(absl::string_view message) {
  std::fprintf(stderr, "%s\n", std::string(message).c_str());
  return 1;
}

// A server with such a flag would answer everybody with an error.
const char* WrongFlag() {
  if (absl::GetFlag(FLAGS_max_clients) < 1) return "--max_clients must be at least 1";
  if (absl::GetFlag(FLAGS_max_request_bytes) < 1024) return "--max_request_bytes must be at least 1024";
  if (absl::GetFlag(FLAGS_idle_timeout) < absl::ZeroDuration()) return "--idle_timeout is negative; 0 means never";
  if (absl::GetFlag(FLAGS_write_timeout) < absl::ZeroDuration()) return "--write_timeout is negative; 0 means never";
  if (absl::GetFlag(FLAGS_shutdown_timeout) < absl::ZeroDuration()) return "--shutdown_timeout is negative";
  return nullptr;
}

int Main() {
  if (const char* const wrong = WrongFlag()) return Fail(wrong);
  const auto address = SocketAddress::ParseHost(absl::GetFlag(FLAGS_bind), absl::GetFlag(FLAGS_port));
  if (!address.ok()) {
    return Fail(absl::StrCat("--bind: \"", absl::GetFlag(FLAGS_bind), "\" is not an address such as 127.0.0.1 or ::1"));
  }
  const kv::Options options = OptionsFromFlags(*address);
  Runtime runtime(RuntimeOptions().set_reactor(ReactorOptions().set_kind(absl::GetFlag(FLAGS_reactor))));
  const absl::Status status = runtime.BlockOn(Run(options));
  // A stop by signal cancels the server: that is how it ends well.
  if (status.ok() || absl::IsCancelled(status)) return 0;
  return Fail(absl::StrCat(status.message(), Advice(status)));
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  tandem::ParseFlags(
      argc, argv,
      "A key-value server in memory that speaks Redis' protocol. SIGINT, SIGTERM or the command SHUTDOWN stop it.\n\n"
      "  server --port=6379\n"
      "  redis-cli -p 6379 set greeting hello",
      __FILE__);
  absl::InitializeLog();
  absl::SetStderrThreshold(absl::LogSeverityAtLeast::kInfo);
  return tandem::Main();
}
