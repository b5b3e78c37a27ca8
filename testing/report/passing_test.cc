// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/passing.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tandem/core/io/address.h"
#include "tandem/sim/trace/trace.h"
#include "tandem/testing/report/recording.h"
#include "tandem/testing/report/recording_for_test.h"

namespace tandem::testing {
namespace {

constexpr int64_t kMs = 1'000'000;

// A client asks a server, which answers unless the question is lost.
class Runs {
 public:
  Runs() : client_(run_.Host("client")), server_(run_.Host("server")) {}

  void Ask(int64_t time_ns, const char* what, bool arrives) {
    RecordedPacket packet = DatagramForTest({client_, SocketAddress::Ipv4({10, 0, 0, 1}, 9)},
                                            {server_, SocketAddress::Ipv4({10, 0, 0, 2}, 7)}, what);
    if (!arrives) packet.lost = "chance";
    const uint64_t sent = run_.Sent(time_ns, std::move(packet));
    if (arrives) run_.Arrived(time_ns + kMs, sent);
  }
  void Goes(int64_t time_ns, const char* task) {
    RecordedEvent event;
    event.kind = sim::TraceKind::kTaskResume;
    event.detail = true;
    event.host = client_;
    event.task = task;
    event.verb = "goes on";
    run_.Add(time_ns, std::move(event));
  }
  void Fails(int64_t time_ns) {
    RecordedEvent event;
    event.source = RecordedEvent::Source::kFailure;
    event.host = client_;
    event.text = "no answer";
    run_.Add(time_ns, std::move(event));
  }
  RecordingForTest& run() { return run_; }

 private:
  RecordingForTest run_;
  const int32_t client_;
  const int32_t server_;
};

TEST(PassingTest, TheFirstDifferenceIsMarkedBetweenWhatIsSameAndWhatIsNot) {
  Runs failing;
  failing.run().Note(0, "a fault begins");
  failing.Ask(1 * kMs, "one", true);
  failing.Ask(5 * kMs, "two", false);
  failing.Fails(9 * kMs);
  Runs passing;
  passing.Ask(1 * kMs, "one", true);
  passing.Ask(5 * kMs, "two", true);

  EXPECT_EQ(FirstDifference(failing.run().recording(), passing.run().recording()), 3u);
  EXPECT_EQ(
      SideBySide(failing.run().recording(), {"without a fault", "", passing.run().recording(), 3},
                 {.before = 3, .after = 9, .columns = 120}),
      "     seconds      host    fails                                       host    passes\n"
      "     0.001000000  client  > server: 3 bytes \"one\"                   = client  > server: 3 bytes \"one\"\n"
      "     0.002000000  server  < client: 3 bytes \"one\"                   = server  < client: 3 bytes \"one\"\n"
      ">>>  0.005000000  client  > server: LOST, chance: 3 bytes \"two\"\n"
      "     0.005000000                                                      client  > server: 3 bytes \"two\"\n"
      "     0.006000000                                                      server  < client: 3 bytes \"two\"\n"
      "     0.009000000  client  FAILS: no answer\n");
}

TEST(PassingTest, WhatLooksTheSameAndIsNotSaysHowItDiffers) {
  const auto ask = [](Runs& runs, const char* fate) {
    runs.Ask(1 * kMs, "one", true);
    runs.run().recording().events[0].text = absl::StrCat("client:9 > server:7 #0; arrives ", fate);
  };
  Runs failing;
  ask(failing, "0.002, and again 0.007");
  failing.Fails(9 * kMs);
  Runs passing;
  ask(passing, "0.002");

  EXPECT_EQ(FirstDifference(failing.run().recording(), passing.run().recording()), 0u);
  EXPECT_EQ(
      SideBySide(failing.run().recording(), {"without a fault", "", passing.run().recording(), 0},
                 {.before = 3, .after = 9, .columns = 120}),
      "     seconds      host    fails                                       host    passes\n"
      ">>>  0.001000000  client  > server: 3 bytes \"one\"                     client  > server: 3 bytes \"one\"\n"
      "                          ... 0.002, and again 0.007                          ... 0.002\n"
      "     0.009000000  client  FAILS: no answer\n");
}

TEST(PassingTest, RunsThatAreTheSame) {
  Runs one;
  one.Ask(1 * kMs, "one", true);
  Runs other;
  other.Ask(1 * kMs, "one", true);
  EXPECT_EQ(FirstDifference(one.run().recording(), other.run().recording()), 2u) << "behind the last";
  EXPECT_EQ(SideBySide(one.run().recording(), {"with seed 2", "", other.run().recording(), 2}).find(">>>"),
            std::string::npos);
  EXPECT_EQ(FirstDifference(Recording(), Recording()), 0u);
  EXPECT_EQ(FirstDifference(one.run().recording(), Recording()), 0u);
}

// A remark less, and all behind it has other numbers.
TEST(PassingTest, WhoHasWrittenWhatIsReadIsTheSameUnderAnotherNumber) {
  const auto reads = [](Runs& runs, uint64_t written) {
    RecordedEvent event;
    event.kind = sim::TraceKind::kReceive;
    event.verb = "reads";
    event.text = absl::StrCat("3 bytes from socket 1: \"one\", written in e", written, " (client.cc:7)");
    event.b = 3;
    event.written_by.push_back({written, 3});
    runs.run().Add(3 * kMs, std::move(event));
  };
  Runs failing;
  failing.run().Note(0, "a fault begins");
  failing.Ask(1 * kMs, "one", true);
  reads(failing, 1);
  failing.Fails(9 * kMs);
  Runs passing;
  passing.Ask(1 * kMs, "one", true);
  reads(passing, 0);

  EXPECT_EQ(FirstDifference(failing.run().recording(), passing.run().recording()), 4u);
  const std::string text = SideBySide(failing.run().recording(), {"without a fault", "", passing.run().recording(), 4});
  EXPECT_NE(text.find("reads 3 bytes of e1: \"one\""), std::string::npos) << text;
  EXPECT_NE(text.find("reads 3 bytes of e0: \"one\""), std::string::npos) << text;
  EXPECT_NE(text.find(">>>  0.009000000  client  FAILS: no answer"), std::string::npos) << text;
}

// Which task goes on has rows only where that is what is other.
TEST(PassingTest, TheStepsOfTasksAreShownWhereTheyAreTheFirstDifference) {
  Runs failing;
  failing.Goes(1 * kMs, "Writer");
  failing.Goes(1 * kMs, "Reader");
  failing.Fails(3 * kMs);
  Runs passing;
  passing.Goes(1 * kMs, "Writer");
  passing.Goes(1 * kMs, "Writer");
  const std::string text = SideBySide(failing.run().recording(), {"with seed 2", "", passing.run().recording(), 1});
  EXPECT_NE(text.find(">>>  0.001000000  client  Reader goes on"), std::string::npos) << text;
  EXPECT_NE(text.find("     0.001000000                                    "), std::string::npos) << text;
  EXPECT_EQ(text.find("Writer goes on"), text.rfind("Writer goes on")) << text;

  Runs asking;
  asking.Goes(1 * kMs, "Writer");
  asking.Ask(1 * kMs, "one", true);
  asking.Goes(2 * kMs, "Other");
  const std::string asked = SideBySide(asking.run().recording(), {"with seed 2", "", Recording(), 0});
  EXPECT_NE(asked.find("Other goes on"), std::string::npos) << asked;
  const std::string lost = SideBySide(failing.run().recording(), {"with seed 2", "", failing.run().recording(), 3});
  EXPECT_EQ(lost.find("goes on"), std::string::npos) << lost;
}

TEST(PassingTest, WhatARunDoesSeveralTimesInARowHasOneRow) {
  Runs failing;
  for (int i = 0; i < 7; ++i) failing.Goes(1 * kMs, "Writer");
  failing.Goes(1 * kMs, "Reader");
  Runs passing;
  passing.Goes(1 * kMs, "Reader");
  const std::string text = SideBySide(failing.run().recording(), {"with seed 2", "", passing.run().recording(), 0});
  EXPECT_NE(text.find(">>>  0.001000000  client  7 times: Writer goes on\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("Reader"), std::string::npos) << text;
}

// What the simulator draws, and its turns, are no difference that tells anybody anything.
TEST(PassingTest, DetailsDoNotCount) {
  Runs failing;
  RecordedEvent draw;
  draw.detail = true;
  draw.verb = "draws";
  failing.run().Add(0, draw);
  failing.Ask(1 * kMs, "one", false);
  Runs passing;
  passing.Ask(1 * kMs, "one", true);
  EXPECT_EQ(FirstDifference(failing.run().recording(), passing.run().recording()), 1u);
}

TEST(PassingTest, ThereAreNoMoreRowsThanWereAskedFor) {
  Runs failing;
  Runs passing;
  for (int i = 0; i < 100; ++i) {
    failing.Ask(i * 10 * kMs, "same", true);
    passing.Ask(i * 10 * kMs, "same", true);
  }
  for (int i = 100; i < 200; ++i) {
    failing.Ask(i * 10 * kMs, "left", false);
    passing.Ask(i * 10 * kMs, "right", true);
  }
  const std::string text = SideBySide(failing.run().recording(), {"with seed 2", "", passing.run().recording(), 200},
                                      {.before = 3, .after = 4, .columns = 80});
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1 + 3 + 4) << text;
}

}  // namespace
}  // namespace tandem::testing
