// SPDX-License-Identifier: Apache-2.0
#include "echo.h"
#include "testing/sim_test.h"
#include "testing/status_matchers.h"

SIM_TEST(Echo, AnswersRightOrNotAtAll) {
  world.AddHost("server", [] { return Serve(*tandem::TcpListener::Listen(tandem::SocketAddress::AnyIpv4(7)), Echo); });
  auto& client = world.AddHost("client", []() -> tandem::Task<absl::Status> {
    const auto same = co_await tandem::WithTimeout(absl::Minutes(1), Ask("server:7", "hello"));
    if (same.ok()) EXPECT_TRUE(*same);
    co_return absl::OkStatus();
  });
  world.Inject(tandem::sim::Faults::Network());
  EXPECT_OK(world.RunUntilDone(client, absl::Minutes(10)));
}
