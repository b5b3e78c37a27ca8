// SPDX-License-Identifier: Apache-2.0
#include "echo.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

SIM_TEST(Echo, AnswersRightOrNotAtAll) {
  world.AddHost("server", [] { return Serve(*tandem::TcpListener::Listen(tandem::SocketAddress::AnyIpv4(7)), Echo); });
  auto& client = world.AddHost("client", []() -> tandem::Task<absl::Status> {
    const tandem::Instant calm = tandem::Now() + absl::Minutes(1);  // The faults lie in the first minute.
    while (tandem::Now() < calm) {
      const auto same = co_await tandem::WithTimeout(absl::Seconds(10), Ask("server:7", "hello"));
      if (same.ok()) EXPECT_TRUE(*same);
      if (absl::Status slept = co_await tandem::Sleep(absl::Milliseconds(100)); !slept.ok()) co_return slept;
    }
    const auto same = co_await Ask("server:7", "hello");
    EXPECT_THAT(same, tandem::testing::IsOkAndHolds(true));
    co_return absl::OkStatus();
  });
  world.Inject(tandem::sim::Faults::Network());
  EXPECT_OK(world.RunUntilDone(client, absl::Minutes(10)));
}
