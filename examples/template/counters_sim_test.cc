// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <string>

#include "absl/strings/numbers.h"
#include "counters.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

using namespace tandem;

namespace {

Task<absl::StatusOr<std::string>> Ask(std::string line) {
  absl::StatusOr<TcpStream> stream = co_await Connect("server:7000");
  if (!stream.ok()) co_return stream.status();
  LineClient client(*std::move(stream));
  co_return co_await client.Call(line);
}

struct Tally {
  int64_t sent = 0;
  int64_t answered = 0;
};

// Adds for a minute, in which the faults lie. What is not answered may have been added or not.
Task<absl::Status> AddApples(Tally* tally) {
  for (const Instant end = Now() + absl::Minutes(1); Now() < end;) {
    co_await Pause(absl::Milliseconds(Random("pause").Between(1, 5000)));
    ++tally->sent;
    const auto answer = co_await WithTimeout(absl::Seconds(5), Ask("ADD apples 1"));
    if (answer.ok()) ++tally->answered;
  }
  co_return absl::OkStatus();
}

// Looks when all is calm again.
Task<absl::Status> CountApples(const Tally* tally) {
  const absl::StatusOr<std::string> answer = co_await Ask("GET apples");
  if (!answer.ok()) co_return answer.status();
  int64_t apples = 0;
  EXPECT_TRUE(absl::SimpleAtoi(*answer, &apples)) << *answer;
  EXPECT_GE(apples, tally->answered);
  EXPECT_LE(apples, tally->sent);
  co_return absl::OkStatus();
}

}  // namespace

SIM_TEST(Counters, LoseNothingThatWasAnswered) {
  Tally tally;
  world.AddHost("server", [] { return ServeCounters(*TcpListener::Listen(SocketAddress::AnyIpv4(7000))); });
  sim::Host& alice = world.AddHost("alice", [&] { return AddApples(&tally); });
  sim::Host& bob = world.AddHost("bob", [&] { return AddApples(&tally); });
  world.Inject(sim::Faults::Network());
  EXPECT_OK(world.RunUntilDone(alice, absl::Minutes(10)));
  EXPECT_OK(world.RunUntilDone(bob, absl::Minutes(10)));
  EXPECT_OK(world.RunUntilDone(world.AddHost("carol", [&] { return CountApples(&tally); }), absl::Minutes(1)));
}
