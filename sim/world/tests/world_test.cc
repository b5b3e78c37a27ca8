// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/world/world.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/async/combinators.h"
#include "tandem/core/async/spawn.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/result.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/tcp_stream.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/tests/ping.h"

namespace tandem::sim {
namespace {

// --- Time and the end of runs ---

TEST(WorldTest, TimeIsVirtualAndIdleTimeIsFree) {
  World world;
  Host& host = world.AddHost("host", [] { return DozeFor(absl::Hours(1000)); });
  const Instant start = world.Now();

  EXPECT_TRUE(world.RunUntilDone(host, absl::Hours(2000)).ok());

  EXPECT_EQ(world.Now() - start, absl::Hours(1000));
  EXPECT_LT(world.events(), 20u);
  EXPECT_FALSE(host.alive());
}

TEST(WorldTest, RunUntilDoneReturnsWhatMainReturned) {
  World world;
  Host& host = world.AddHost("host", []() -> Task<absl::Status> { co_return absl::DataLossError("gone"); });

  EXPECT_EQ(world.RunUntilDone(host, absl::Seconds(1)), absl::DataLossError("gone"));
  EXPECT_EQ(host.status(), absl::DataLossError("gone"));
}

TEST(WorldTest, ALimitGivesADeadlineWithTheTasksThatWait) {
  World world;
  Host& host = world.AddHost("patient", [] { return DozeFor(absl::Hours(1)); });

  absl::Status status = world.RunUntilDone(host, absl::Minutes(1));

  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(absl::StrContains(status.message(), "patient")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "ping.h:")) << status;
}

TEST(WorldTest, NothingToWaitForIsStuckWithFileAndLine) {
  World world;
  Host& host = world.AddHost("stuck", [] { return SleepForever(); });

  absl::Status status = world.RunUntilDone(host, absl::Hours(1));

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(status.message(), "host stuck (10.0.0.1)")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "ping.h:")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "endless sleep")) << status;
}

TEST(WorldTest, RunUntilEndsAsSoonAsItsConditionHolds) {
  World world;
  bool happened = false;
  world.AddHost("host", [] { return SleepForever(); });
  world.After(absl::Seconds(3), [&] { happened = true; });
  world.After(absl::Seconds(5), [] {});

  EXPECT_TRUE(world.RunUntil([&] { return happened; }, absl::Seconds(10)).ok());
  EXPECT_EQ(world.Now(), Instant() + absl::Seconds(3));
  EXPECT_EQ(world.RunUntil([] { return false; }, absl::Seconds(1)).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(world.Now(), Instant() + absl::Seconds(4));
  const absl::Status stuck = world.RunUntil([] { return false; }, absl::Seconds(10));
  EXPECT_EQ(stuck.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(stuck.message(), "nothing can happen any more after 5.000000000 s:")) << stuck;
  EXPECT_TRUE(absl::StrContains(stuck.message(), "endless sleep")) << stuck;
}

Task<absl::Status> TellNow(Instant* now) {
  *now = Now();
  co_return absl::OkStatus();
}

TEST(WorldTest, TimeBeginsAtZero) {
  World world;
  Instant seen = Instant::InfinitePast();
  Host& host = world.AddHost("host", [&seen] { return TellNow(&seen); });

  EXPECT_EQ(world.Now(), Instant());
  EXPECT_TRUE(world.RunUntilDone(host, absl::Seconds(1)).ok());
  EXPECT_EQ(seen, Instant());
}

TEST(WorldTest, RunForEndsAtItsTime) {
  World world;
  world.AddHost("host", [] { return SleepForever(); });
  const Instant start = world.Now();

  EXPECT_TRUE(world.RunFor(absl::Seconds(3)).ok());

  EXPECT_EQ(world.Now() - start, absl::Seconds(3));
}

TEST(WorldTest, CallbacksRunInTheOrderOfTheirTimes) {
  World world;
  std::vector<int> order;
  world.After(absl::Seconds(2), [&] { order.push_back(2); });
  world.After(absl::Seconds(1), [&] { order.push_back(1); });
  world.After(absl::Seconds(2), [&] { order.push_back(3); });
  world.After(absl::Hours(1), [&] { order.push_back(4); });

  EXPECT_TRUE(world.RunFor(absl::Seconds(10)).ok());

  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

// Sends a byte and waits for its echo without waiting: it asks, and yields, again and again.
Task<absl::Status> WaitByYielding(SocketAddress address) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(address);
  if (!stream.ok()) co_return stream.status();
  char byte = 'x';
  const IoResult written = co_await stream->WriteAll(absl::string_view(&byte, 1));
  if (!written.status.ok()) co_return written.status;
  for (;;) {
    const absl::StatusOr<std::optional<size_t>> count = stream->TryRead(absl::MakeSpan(&byte, 1));
    if (!count.ok() || count->has_value()) co_return count.status();
    absl::Status yielded = co_await Yield();
    if (!yielded.ok()) co_return yielded;
  }
}

// No time passes while a host computes, but a loop of yields takes time, or what it waits for would never come.
TEST(WorldTest, ALoopOfYieldsSeesWhatItWaitsFor) {
  World world;
  world.AddHost("server", &Serve);
  Host& client = world.AddHost("client", [&] { return WaitByYielding(world.FindHost("server")->address(kPort)); });

  EXPECT_EQ(world.RunUntilDone(client, absl::Seconds(1)), absl::OkStatus());
}

TEST(WorldTest, ALoopOfYieldsSeesTheClock) {
  World world;
  Host& host = world.AddHost("host", []() -> Task<absl::Status> {
    const Instant start = Now();
    while (Now() < start + absl::Milliseconds(5)) {
      absl::Status yielded = co_await Yield();
      if (!yielded.ok()) co_return yielded;
    }
    co_return absl::OkStatus();
  });

  EXPECT_EQ(world.RunUntilDone(host, absl::Seconds(1)), absl::OkStatus());
}

TEST(WorldTest, YieldingForeverIsALivelock) {
  World world;
  Host& host = world.AddHost("spinner", []() -> Task<absl::Status> {
    for (;;) {
      absl::Status status = co_await Yield();
      if (!status.ok()) co_return status;
    }
  });

  absl::Status status = world.RunUntilDone(host, absl::Seconds(1));

  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(absl::StrContains(status.message(), "livelock")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "host spinner")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "world_test.cc:")) << status;
  EXPECT_EQ(world.failure(), status);
}

TEST(WorldTest, TooManyEventsAreALivelock) {
  World world(WorldOptions().set_max_events(1000));
  Host& host = world.AddHost("ticker", []() -> Task<absl::Status> {
    for (;;) {
      absl::Status status = co_await Sleep(absl::Milliseconds(1));
      if (!status.ok()) co_return status;
    }
  });

  EXPECT_EQ(world.RunUntilDone(host, absl::Hours(1)).code(), absl::StatusCode::kAborted);
  EXPECT_LE(world.events(), 1001u);
}

Task<void> IgnoreCancellation() {
  for (;;) (void)co_await Shield(absl::Seconds(5), DozeFor(absl::Seconds(1)));
}

TEST(WorldTest, ATaskThatDoesNotDrainIsNamed) {
  World world;
  Host& host = world.AddHost("stubborn", []() -> Task<absl::Status> {
    Spawn(&IgnoreCancellation);
    co_return co_await Sleep(absl::Seconds(1));
  });

  absl::Status status = world.RunUntilDone(host, absl::Hours(1));

  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(absl::StrContains(status.message(), "host stubborn")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "world_test.cc:")) << status;
}

TEST(WorldTest, AnExceptionOfMainReachesTheTest) {
  World world;
  Host& host = world.AddHost("thrower", []() -> Task<absl::Status> {
    (void)co_await Sleep(absl::Seconds(1));
    throw std::runtime_error("as it should");
  });

  EXPECT_THROW((void)world.RunUntilDone(host, absl::Hours(1)), std::runtime_error);
}

// --- Names and clocks ---

TEST(WorldTest, HostsHaveNamesAndAddresses) {
  World world;
  Host& first = world.AddHost("first", [] { return SleepForever(); });
  Host& second = world.AddHost("second", [] { return SleepForever(); });

  EXPECT_EQ(first.name(), "first");
  EXPECT_EQ(world.hosts()[1]->name(), "second");
  EXPECT_EQ(first.address(80).ToString(), "10.0.0.1:80");
  EXPECT_EQ(second.address_ipv6(80).ToString(), "[fd00::2]:80");
  EXPECT_EQ(*world.Resolve("second:80"), second.address(80));
  EXPECT_EQ(*world.Resolve("[::1]:80"), SocketAddress::LoopbackIpv6(80));
  EXPECT_EQ(*HostAddress("first", 1), first.address(1));
  EXPECT_EQ(world.Resolve("third:80").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(world.Resolve("first").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(world.Resolve("first:65536").status().code(), absl::StatusCode::kInvalidArgument);
}

struct ClockReadings {
  std::vector<std::chrono::system_clock::time_point> wall;
  std::vector<absl::Time> wall_now;
  std::vector<std::chrono::steady_clock::time_point> steady;
};

Task<absl::Status> ReadClocksAfter(absl::Duration delay, ClockReadings* readings) {
  absl::Status status = co_await Sleep(delay);
  readings->wall.push_back(std::chrono::system_clock::now());
  readings->wall_now.push_back(WallNow());
  readings->steady.push_back(std::chrono::steady_clock::now());
  co_return status;
}

TEST(WorldTest, ClocksOfTheProcessAreThoseOfTheHostThatRuns) {
  World world;
  ClockReadings readings;
  const auto& [wall, wall_now, steady] = readings;
  world.AddHost("right", [&] { return ReadClocksAfter(absl::Seconds(1), &readings); });
  Host& wrong = world.AddHost("wrong", [&] { return ReadClocksAfter(absl::Seconds(2), &readings); });
  wrong.SetClockOffset(absl::Hours(1));

  ASSERT_TRUE(world.RunUntilDone(wrong, absl::Minutes(1)).ok());

  ASSERT_EQ(wall.size(), 2u);
  EXPECT_EQ(wall[1] - wall[0], std::chrono::seconds(3601));
  EXPECT_EQ(steady[1] - steady[0], std::chrono::seconds(1));
  EXPECT_EQ(absl::FromChrono(wall[0]), wall_now[0]);
  EXPECT_EQ(absl::FromChrono(wall[1]), wall_now[1]);
}

// --- Random numbers ---

Task<absl::Status> DrawOnce(uint64_t* number) {
  *number = Random("one name").Next();
  co_return absl::OkStatus();
}

// What each of two hosts draws first from the stream of one name.
std::array<uint64_t, 2> FirstNumbers(uint64_t seed) {
  World world(WorldOptions().set_seed(seed));
  std::array<uint64_t, 2> numbers = {};
  Host& first = world.AddHost("first", [&] { return DrawOnce(&numbers[0]); });
  Host& second = world.AddHost("second", [&] { return DrawOnce(&numbers[1]); });
  EXPECT_TRUE(world.RunUntilDone(first, absl::Seconds(1)).ok());
  EXPECT_TRUE(world.RunUntilDone(second, absl::Seconds(1)).ok());
  return numbers;
}

TEST(WorldTest, EachHostDrawsNumbersOfItsOwnWhichComeFromTheSeed) {
  const std::array<uint64_t, 2> numbers = FirstNumbers(1);

  EXPECT_NE(numbers[0], numbers[1]);
  EXPECT_EQ(FirstNumbers(1), numbers);
  EXPECT_NE(FirstNumbers(2)[0], numbers[0]);
}

}  // namespace
}  // namespace tandem::sim
