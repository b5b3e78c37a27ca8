// SPDX-License-Identifier: Apache-2.0
//
// A simulation that crashes in a task of one of its hosts: gdb_tasks_test looks at what is left.

#include <cstdlib>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/sim_test.h"

namespace tandem {
namespace {

Task<absl::Status> AcceptOne() {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(7));
  if (!listener.ok()) co_return listener.status();
  co_return (co_await listener->Accept()).status();  // Of AcceptOne().
}

Task<absl::Status> CrashAfterASecond() {
  const absl::Status slept = co_await Sleep(absl::Seconds(1));  // Of CrashAfterASecond().
  if (slept.ok()) std::abort();
  co_return slept;
}

SIM_TEST(Hosts, Crash) {
  world.AddHost("server", [] { return AcceptOne(); });
  sim::Host& client = world.AddHost("client", [] { return CrashAfterASecond(); });
  EXPECT_TRUE(world.RunUntilDone(client, absl::Minutes(1)).ok());
}

}  // namespace
}  // namespace tandem
