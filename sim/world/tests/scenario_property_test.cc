// SPDX-License-Identifier: Apache-2.0
//
// A line of a scenario is one thing: without it, the others do what they did.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/random.h"
#include "tandem/core/io/address.h"
#include "tandem/core/net/udp_socket.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/faults/scenario.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/tests/test_traffic.h"
#include "tandem/sim/world/world.h"

namespace tandem::sim {
namespace {

constexpr uint64_t kScenarios = 10'000;

// Runs `plan`, and returns how often each line has hit.
std::vector<uint64_t> RunWorld(uint64_t seed, const FaultPlan& plan, RecordKeeper* keeper) {
  World world(WorldOptions().set_seed(seed).set_trace_sink(keeper));
  world.AddHost("server", [] { return ServerMain(nullptr); });
  world.AddHost("client", [] { return ClientMain(); });
  world.Inject(plan);
  EXPECT_TRUE(world.RunFor(absl::Milliseconds(200)).ok());
  std::vector<uint64_t> hits;
  for (size_t i = 0; i < plan.entries().size(); ++i) hits.push_back(world.fault_hits(i));
  return hits;
}

// A line that has hit nothing may go without a difference. One that has makes none before it begins.
void CheckWithout(uint64_t seed, const FaultPlan& plan, size_t line, uint64_t hits, const RecordKeeper& whole) {
  FaultPlan less = plan;
  less.Remove(line);
  RecordKeeper without(2);
  RunWorld(seed, less, &without);
  const size_t equal = without.EqualTo(whole);
  const FaultEntry& entry = plan.entries()[line];
  if (hits == 0) {
    EXPECT_EQ(without.records().size(), whole.records().size()) << seed << ": " << entry.ToString();
    EXPECT_EQ(equal, whole.records().size()) << seed << ": " << entry.ToString() << "\nof\n" << plan.ToString();
    return;
  }
  if (entry.trigger != FaultEntry::Trigger::kTime || equal == whole.records().size()) return;
  EXPECT_GE(absl::Nanoseconds(whole.records()[equal].time_ns), entry.from)
      << seed << ": " << entry.ToString() << "\nof\n"
      << plan.ToString();
}

TEST(ScenarioPropertyTest, AnyLineMayGo) {
  const Faults faults = Faults::All().Always().AtMost(1).During(absl::ZeroDuration(), absl::Milliseconds(150));
  Workload workload;
  workload.end_ns = 150'000'000;
  for (const char* host : {"server", "client"}) workload.hosts[host] = {.calls = 60, .connects = 4, .visits = {}};
  workload.links[{"client", "server"}] = workload.links[{"server", "client"}] = {50, 20, 1460};
  uint64_t without_hits = 0;
  for (uint64_t seed = 1; seed <= kScenarios; ++seed) {
    const FaultPlan all = faults.Generate(Choices(seed), {"server", "client"}, &workload);
    // Some of them, so that there are calm times and busy ones.
    FaultPlan plan;
    RandomStream random = RandomStream(seed).Child(HashName("lines"));
    for (const FaultEntry& entry : all.entries()) {
      if (random.Below(4) == 0) plan.Add(entry);
    }
    if (plan.entries().empty()) continue;
    RecordKeeper whole(2);
    const std::vector<uint64_t> hits = RunWorld(seed, plan, &whole);
    const size_t line = random.Below(plan.entries().size());
    without_hits += hits[line] == 0 ? 1 : 0;
    CheckWithout(seed, plan, line, hits[line], whole);
    if (HasFailure()) return;
  }
  EXPECT_GT(without_hits, kScenarios / 20);
}

// --- Lines beside faults ---

// What the lines of a scenario decide, by what they are about.
using Effects = std::map<std::string, int64_t>;

Task<absl::Status> NoteEffects(Effects* effects, std::string name) {
  (*effects)["start " + name] = (Now() - Instant()) / absl::Nanoseconds(1);
  (*effects)["clock " + name] = absl::ToUnixNanos(WallNow());
  for (int i = 0; i < 3; ++i) {
    const absl::StatusOr<tandem::UdpSocket> socket = tandem::UdpSocket::Bind(SocketAddress::AnyIpv4(0));
    (*effects)["fail " + name] = 10 * (*effects)["fail " + name] + (socket.ok() ? 1 : 2);
  }
  co_return absl::OkStatus();
}

Effects EffectsOf(const Scenario& scenario) {
  Effects effects;
  World world(WorldOptions().set_scenario(&scenario).set_seed(*scenario.seed));
  const Instant begin = world.Now();
  for (const char* host : {"a", "b", "c"}) {
    world.AddHost(host, [&effects, host] { return NoteEffects(&effects, host); });
  }
  EXPECT_TRUE(world.RunFor(absl::Seconds(1)).ok());
  EXPECT_EQ(world.Now() - begin, absl::Seconds(1));
  for (const char* name : {"x", "y"}) {
    effects[absl::StrCat("knob ", name)] = world.Knob(name, 1, 1000);
    for (uint64_t n = 0; n < 8; ++n) effects[absl::StrCat("skip ", name)] |= world.Skip(name, n) ? 1 << n : 0;
  }
  // A clock is ahead of the host's start.
  for (const char* host : {"a", "b", "c"}) {
    effects[absl::StrCat("clock ", host)] -= effects[absl::StrCat("start ", host)];
  }
  return effects;
}

// Lines of every kind, each about another thing, as "WORD THING ...".
std::vector<std::string> DrawLines(RandomStream random) {
  std::vector<std::string> lines;
  for (const char* host : {"a", "b", "c"}) {
    if (random.Below(2) == 0) lines.push_back(absl::StrCat("start ", host, " after 0.0", 1 + random.Below(8), "s"));
    if (random.Below(2) == 0) lines.push_back(absl::StrCat("clock ", host, " ahead ", 1 + random.Below(8), "s"));
    const char* const which = random.Below(2) == 0 ? "at" : "from";
    if (random.Below(2) == 0)
      lines.push_back(absl::StrCat("fail ", host, " ", which, " operation ", 1 + random.Below(6)));
  }
  for (const char* name : {"x", "y"}) {
    if (random.Below(2) == 0) lines.push_back(absl::StrCat("knob \"", name, "\" ", 2 + random.Below(900)));
    if (random.Below(2) == 0) lines.push_back(absl::StrCat("skip ", name, " ", random.Below(8)));
  }
  return lines;
}

TEST(ScenarioPropertyTest, AnyLineBesideFaultsMayGo) {
  uint64_t removed = 0;
  for (uint64_t seed = 1; seed <= 2'000; ++seed) {
    RandomStream random = RandomStream(seed).Child(HashName("lines beside faults"));
    std::vector<std::string> lines = DrawLines(random.Child(1));
    if (lines.empty()) continue;
    const std::string text = absl::StrCat("seed ", seed, "\n");
    const absl::StatusOr<Scenario> whole = Scenario::Parse(text + absl::StrJoin(lines, "\n"));
    ASSERT_TRUE(whole.ok()) << whole.status();
    const size_t line = random.Below(lines.size());
    const std::string gone = lines[line];
    lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(line));
    const absl::StatusOr<Scenario> less = Scenario::Parse(text + absl::StrJoin(lines, "\n"));
    ASSERT_TRUE(less.ok()) << less.status();
    const std::vector<std::string> words = absl::StrSplit(gone, ' ');
    const std::string about = absl::StrCat(words[0], " ", absl::StrReplaceAll(words[1], {{"\"", ""}}));
    const Effects before = EffectsOf(*whole);
    const Effects after = EffectsOf(*less);
    removed += before.at(about) != after.at(about) ? 1 : 0;
    for (const auto& [what, effect] : before) {
      if (what != about)
        EXPECT_EQ(after.at(what), effect) << what << " without " << gone << " of\n" << whole->ToString();
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(removed, 1'500u);
}

// Runs a server and a client, which has much to say, with faults from 30 ms on, or with a scenario. Returns the
// scenario.
Scenario RunWithLateFaults(const WorldOptions& options, RecordKeeper* keeper) {
  World world(WorldOptions(options).set_trace_sink(keeper));
  int received = 0;
  world.AddHost("server", [&] { return ServerMain(&received); });
  Host& client = world.AddHost("client", [] { return ClientMain(); });
  EXPECT_TRUE(world.RunFor(absl::Milliseconds(30)).ok());
  world.Inject(Faults::All().Spare("client").During(absl::ZeroDuration(), absl::Milliseconds(200)));
  static_cast<void>(world.RunUntilDone(client, absl::Minutes(1)));
  return world.scenario();
}

// What was injected late is injected from the start on when its scenario runs, and does the same.
TEST(ScenarioPropertyTest, FaultsThatWereInjectedLateDoTheSameAgain) {
  size_t late = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    RecordKeeper first(2);
    RecordKeeper again(2);
    const Scenario scenario = RunWithLateFaults(WorldOptions().set_seed(seed), &first);
    for (const FaultEntry& entry : scenario.faults.entries()) {
      if (entry.trigger == FaultEntry::Trigger::kTime)
        EXPECT_GT(entry.from, absl::Milliseconds(30)) << entry.ToString();
      ++late;
    }
    const Scenario same = *Scenario::Parse(scenario.ToString());
    EXPECT_EQ(RunWithLateFaults(WorldOptions().set_seed(seed).set_scenario(&same), &again).ToString(),
              scenario.ToString());
    ASSERT_EQ(first.records().size(), again.records().size()) << "seed " << seed << "\n" << scenario.ToString();
    EXPECT_EQ(first.EqualTo(again), first.records().size()) << "seed " << seed << "\n" << scenario.ToString();
  }
  EXPECT_GT(late, 1000u);
}

// A test may add hosts while it runs, and faults of theirs.
Scenario RunWithALateHost(const Scenario* scenario, uint32_t* restarts) {
  World world(WorldOptions().set_scenario(scenario));
  world.AddHost("early", &SleepForever);
  world.Inject(*FaultPlan::Parse("pause early from 1s to 2s"));
  EXPECT_TRUE(world.RunFor(absl::Seconds(5)).ok());
  const Host& late = world.AddHost("late", &SleepForever);
  world.Inject(*FaultPlan::Parse("kill late,early from 6s to 7s"));
  EXPECT_EQ(world.LineOfUnknownHost(), "");
  EXPECT_TRUE(world.RunFor(absl::Seconds(5)).ok());
  *restarts = late.restarts();
  return world.scenario();
}

TEST(ScenarioPropertyTest, FaultsOfAHostThatComesLaterWaitForIt) {
  uint32_t restarts = 0;
  const Scenario scenario = RunWithALateHost(nullptr, &restarts);
  EXPECT_EQ(restarts, 1u);

  const Scenario same = *Scenario::Parse(scenario.ToString());
  EXPECT_EQ(RunWithALateHost(&same, &restarts).ToString(), scenario.ToString());
  EXPECT_EQ(restarts, 1u);
}

TEST(ScenarioPropertyTest, ALineAboutAHostThatNeverComesIsNamed) {
  for (const char* line :
       {"crash a,b from 1s to 2s", "start b after 1s", "clock b ahead 1s", "fail b at operation 1"}) {
    const Scenario scenario = *Scenario::Parse(line);
    World world(WorldOptions().set_scenario(&scenario));
    world.AddHost("a", &SleepForever);
    EXPECT_TRUE(world.RunFor(absl::Seconds(5)).ok());
    const std::string unknown = world.LineOfUnknownHost();
    EXPECT_TRUE(!unknown.empty() && std::string(line).rfind(unknown, 0) == 0) << line << ": " << unknown;
  }
}

Task<absl::Status> SendAndReadTheWallClock() {
  static_cast<void>(WallNow());
  const absl::StatusOr<SocketAddress> to = HostAddress("b", 7);
  if (!to.ok()) co_return to.status();
  absl::StatusOr<tandem::UdpSocket> socket = tandem::UdpSocket::Bind(SocketAddress::AnyIpv4(0));
  if (!socket.ok()) co_return socket.status();
  for (int i = 0; i < 9; ++i) static_cast<void>(co_await socket->SendTo("note", *to));
  co_return co_await SleepForever();
}

TEST(ScenarioPropertyTest, LinesWithoutEffectAreNamed) {
  const std::string idle =
      "crash a from 100s to 101s\n"
      "crash a at call 99999999 for 2s before 60s\n"
      "loss a b from 0s to 0s strength 500000\n"
      "fail a at operation 50000\n"
      "clock b ahead 0.5s\n"
      "calm latency nobody/tcp/a\n"
      "calm latency a/tcp/b#9\n"
      "calm loss a/tcp/b#9\n"
      "calm reorder * but nobody/tcp/a\n"
      "calm loss *\n"
      "skip reader 1\n"
      "skip writer from 3 to 9\n"
      "skip writer 2\n"
      "knob \"nothing\" 3\n"
      "branch at event 99999999 salt 7\n";
  const Scenario scenario = *Scenario::Parse(absl::StrCat(
      "crash a from 1s to 2s\ncalm latency a/udp#0/b\ncalm loss *\nskip writer from 2 to 9\nknob \"size\" 3\n"
      "fail a at operation 3\nclock a ahead 0.5s\n",
      idle));
  World world(WorldOptions().set_scenario(&scenario));
  world.AddHost("a", &SendAndReadTheWallClock);
  world.AddHost("b", &SleepForever);
  world.Inject(FaultPlan());
  EXPECT_EQ(world.Knob("size", 1, 9), 3);
  EXPECT_EQ(world.Ops("writer", 3).size(), 2u);
  EXPECT_TRUE(world.RunFor(absl::Seconds(5)).ok());
  EXPECT_EQ(absl::StrJoin(world.LinesWithoutEffect(), "\n") + "\n", idle);
  EXPECT_EQ(world.LineOfUnknownHost(), "");
}

TEST(ScenarioPropertyTest, AWorldWithoutAScenarioHasNoSuchLines) {
  World world;
  world.AddHost("a", &SleepForever);
  world.Inject(*FaultPlan::Parse("crash a from 100s to 101s"));
  EXPECT_TRUE(world.RunFor(absl::Seconds(5)).ok());
  EXPECT_TRUE(world.LinesWithoutEffect().empty());
}

TEST(ScenarioPropertyDeathTest, FaultsOfHostsThatAreNotThereAreNoFaults) {
  EXPECT_DEATH(World().Inject(Faults::All()), "Inject\\(\\) draws faults of the hosts that are there: add them before");
  const auto inject = [](const Faults& faults) {
    World world;
    world.AddHost("client", &SleepForever);
    world.Inject(faults);
  };
  EXPECT_DEATH(inject(Faults::All().Spare("clinet")), "no host is called clinet; there are: client");
  EXPECT_DEATH(inject(Faults::All().AtMostDown(1, {"client", "nobody"})), "no host is called nobody");
  EXPECT_DEATH(inject(Faults::Hosts({"other"})), "no host is called other");
  World().Inject(Faults::None());
}

}  // namespace
}  // namespace tandem::sim
