// SPDX-License-Identifier: Apache-2.0
//
// What a runtime does in the simulated world alone: time that passes at once, and the end of all events.

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/net/tcp_listener.h"
#include "tandem/core/runtime/runtime.h"

namespace tandem {
namespace {

TEST(RuntimeSimDeathTest, ProgramInWhichNothingCanHappenExitsWithThreeAndSaysWhatItWaitsFor) {
  EXPECT_EXIT(
      {
        Runtime runtime;
        runtime.BlockOn([]() -> Task<void> {
          auto listener = TcpListener::Listen(SocketAddress::LoopbackIpv4(80));
          auto stream = co_await listener->Accept();
        }());
      },
      ::testing::ExitedWithCode(3),
      "stuck(.|\n)*waits for: a connection on 127.0.0.1:80(.|\n)*core/runtime/runtime_stuck_test.cc:");
}

TEST(RuntimeSimTest, YearsPassAtOnce) {
  Runtime runtime;
  const Instant before = runtime.BlockOn([]() -> Task<Instant> {
    const Instant before = Now();
    static_cast<void>(co_await Sleep(absl::Hours(24 * 365)));
    EXPECT_EQ(Now(), before + absl::Hours(24 * 365));
    co_return before;
  }());
  static_cast<void>(before);
}

}  // namespace
}  // namespace tandem
