// SPDX-License-Identifier: Apache-2.0
//
// Ten thousand connections that say nothing, on the machine's network. Their other ends are in a process of their own:
// one process alone may not have that many files open.

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "tandem/examples/kv/server.h"
#include "tandem/examples/kv/server_for_test.h"
#include "tandem/tandem.h"
#include "tandem/testing/runner_build.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::kv {
namespace {

constexpr int kWanted = 10'000;
// Descriptors that a process has besides those connections.
constexpr int kOthers = 100;

int g_clients = 0;
int g_port_pipe[2];

int RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<int>(std::min<rlim_t>(limit.rlim_max, kWanted + kOthers));
}

// Connects, says nothing, and ends with the pipe.
[[noreturn]] void RunClients() {
  close(g_port_pipe[1]);
  uint16_t port = 0;
  if (read(g_port_pipe[0], &port, sizeof(port)) != sizeof(port)) _exit(1);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int i = 0; i < g_clients; ++i) {
    const int client = socket(AF_INET, SOCK_STREAM, 0);
    if (client < 0 || connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      std::perror("a silent client");
      _exit(1);
    }
  }
  char end;
  _exit(read(g_port_pipe[0], &end, 1) == 0 ? 0 : 1);
}

int64_t ResidentBytes() {
  long pages = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  if (std::fscanf(file, "%*s %ld", &pages) != 1) pages = 0;
  std::fclose(file);
  return static_cast<int64_t>(pages) * sysconf(_SC_PAGESIZE);
}

Task<absl::Status> LetThemCome(SocketAddress address) {
  const Request ping("PING");
  const absl::StatusOr<Reply> first = co_await Ask(address, ping);
  if (!first.ok()) co_return first.status();
  const int64_t resident_before = ResidentBytes();
  const uint16_t port = address.port();
  if (write(g_port_pipe[1], &port, sizeof(port)) != sizeof(port)) co_return absl::InternalError("no pipe");
  absl::Status status = co_await InfoBecomes(address, "connected_clients", g_clients + 1);
  if (!status.ok()) co_return status;
  const int64_t bytes_each = (ResidentBytes() - resident_before) / g_clients;
  const absl::StatusOr<Reply> reply = co_await Ask(address, ping);
  if (!reply.ok()) co_return reply.status();
  EXPECT_EQ(*reply, Reply::String("PONG"));
  std::printf("%d silent clients, %d bytes each\n", g_clients, static_cast<int>(bytes_each));
  // The shadow of the memory that a sanitizer has counts too.
  EXPECT_LT(bytes_each, testing::kThreadSanitizer ? 12288 : testing::kAddressSanitizer ? 8192 : 4096);
  // They go, and are forgotten.
  close(g_port_pipe[1]);
  co_return co_await InfoBecomes(address, "connected_clients", 1);
}

TEST(ManyClientsTest, TenThousandSilentConnectionsCostLittle) {
  g_clients = std::min(RaiseDescriptorLimit() - kOthers, kWanted);
  ASSERT_GT(g_clients, 0);
  ASSERT_EQ(pipe(g_port_pipe), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) RunClients();
  close(g_port_pipe[0]);

  EXPECT_OK(WithServer(Options().set_max_clients(kWanted + kOthers), LetThemCome));

  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace tandem::kv
