// SPDX-License-Identifier: Apache-2.0
#include "echo.h"

#include "tandem/testing/status_matchers.h"

TEST(EchoTest, AnswersRight) {
  tandem::Runtime runtime;
  const auto same = runtime.BlockOn([]() -> tandem::Task<absl::StatusOr<bool>> {
    auto listener = tandem::TcpListener::Listen(tandem::SocketAddress::LoopbackIpv4(0));
    const std::string address = listener->LocalAddress().ToString();
    const auto [served, same] = co_await WhenAny(Serve(*std::move(listener), Echo), Ask(address, "hello"));
    co_return same.value();
  }());
  EXPECT_THAT(same, tandem::testing::IsOkAndHolds(true));
}
