// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/faults/faults.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tandem/sim/faults/workload.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/testing/document.h"

namespace tandem::sim {
namespace {

const std::vector<std::string>& Hosts() {
  static const auto* hosts = new std::vector<std::string>{"server", "client", "witness"};
  return *hosts;
}

constexpr size_t kClockKinds = 7;

FaultPlan PlanOf(const Faults& faults, uint64_t seed, const std::vector<std::string>& hosts) {
  return faults.Generate(Choices(seed), hosts, nullptr);
}

std::vector<FaultEntry> EntriesOf(const FaultPlan& plan, FaultKind kind) {
  std::vector<FaultEntry> entries;
  for (const FaultEntry& entry : plan.entries()) {
    if (entry.kind == kind) entries.push_back(entry);
  }
  return entries;
}

TEST(FaultPlanTest, EveryGeneratedPlanParsesBack) {
  for (uint64_t seed = 0; seed < 500; ++seed) {
    const FaultPlan plan = PlanOf(Faults::All(), seed, Hosts());

    absl::StatusOr<FaultPlan> parsed = FaultPlan::Parse(plan.ToString());

    ASSERT_TRUE(parsed.ok()) << parsed.status();
    ASSERT_EQ(parsed->entries(), plan.entries()) << plan.ToString();
  }
}

TEST(FaultPlanTest, TextIsReadable) {
  absl::StatusOr<FaultPlan> plan = FaultPlan::Parse(
      "# by hand\n\nloss a b from 1.5s to 3s strength 200000\n  crash a from 0s to 0.000000001s\nreset * from 2s "
      "strength 1000000");

  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->entries().size(), 3u);
  EXPECT_EQ(plan->entries()[0].from, absl::Milliseconds(1500));
  EXPECT_EQ(plan->entries()[0].strength, 200'000u);
  EXPECT_EQ(plan->entries()[1].to, absl::Nanoseconds(1));
  EXPECT_EQ(plan->ToString(),
            "loss a b from 1.5s to 3s strength 200000\ncrash a from 0s to 0.000000001s\n"
            "reset * from 2s strength 1000000\n");
}

TEST(FaultPlanTest, RemovingAnEntryLeavesTheOthersUnchanged) {
  const FaultPlan whole = PlanOf(Faults::All().Always(), 1, Hosts());
  FaultPlan less = whole;

  less.Remove(3);

  std::vector<FaultEntry> expected = whole.entries();
  expected.erase(expected.begin() + 3);
  EXPECT_EQ(less.entries(), expected);
}

struct BadLine {
  const char* name;
  const char* line;
};

class FaultPlanErrorTest : public testing::TestWithParam<BadLine> {};

TEST_P(FaultPlanErrorTest, IsRefusedWithItsLine) {
  absl::StatusOr<FaultPlan> plan = FaultPlan::Parse(GetParam().line);

  ASSERT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(plan.status().message().find(GetParam().line), absl::string_view::npos) << plan.status();
}

INSTANTIATE_TEST_SUITE_P(
    Lines, FaultPlanErrorTest,
    testing::Values(BadLine{"UnknownKind", "meteor a from 1s to 2s"}, BadLine{"NoHost", "crash from 1s to 2s"},
                    BadLine{"AnyInAList", "crash a,* from 1s to 2s"},
                    BadLine{"NoHostInAList", "crash a,,b from 1s to 2s"},
                    BadLine{"OneHostForALink", "partition a from 1s to 2s"}, BadLine{"NoTimes", "crash a"},
                    BadLine{"NoEnd", "crash a from 1s"}, BadLine{"NoUnit", "crash a from 1 to 2"},
                    BadLine{"TooManyPlaces", "crash a from 1.0000000001s to 2s"},
                    BadLine{"Negative", "crash a from -1s to 2s"}, BadLine{"EndBeforeBegin", "crash a from 2s to 1s"},
                    BadLine{"NoStrength", "loss a b from 1s to 2s"},
                    BadLine{"SmallRing", "partition-ring a,b,c from 1s to 2s"},
                    BadLine{"HostTwice", "partition-chain a,b,a from 1s to 2s"},
                    BadLine{"AnyInAShape", "partition-bridge * from 1s to 2s"},
                    BadLine{"OtherHosts", "swizzle-clog a,b a,c from 1s to 2s"},
                    BadLine{"BootAtACall", "boot-offset a at call 3 for 1s strength 5"},
                    BadLine{"TooStrong", "loss a b from 1s to 2s strength 1000001"},
                    BadLine{"Trailing", "crash a from 1s to 2s now"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(FaultsTest, SeedsPickDifferentSubsetsAndSometimesNone) {
  std::set<std::set<FaultKind>> subsets;
  int without_faults = 0;
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    std::set<FaultKind> kinds;
    for (const FaultEntry& entry : PlanOf(Faults::All(), seed, Hosts()).entries()) kinds.insert(entry.kind);
    if (kinds.empty()) ++without_faults;
    subsets.insert(kinds);
  }

  EXPECT_GT(subsets.size(), 300u);
  EXPECT_GT(without_faults, 50);
  EXPECT_LT(without_faults, 400);
}

TEST(FaultsTest, LinksAreHitSingleAndAllOfAHostAtOnce) {
  int single = 0;
  int all_from = 0;
  int all_to = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    for (const FaultEntry& entry : PlanOf(Faults::Only(FaultKind::kClog).Always(), seed, Hosts()).entries()) {
      if (entry.target == "*") {
        ++all_to;
      } else {
        ++(entry.other == "*" ? all_from : single);
      }
    }
  }

  EXPECT_GT(single, 200);
  EXPECT_GT(all_from, 50);
  EXPECT_GT(all_to, 50);
}

TEST(FaultsTest, MostSeedsHaveFaultsLateInTheirTime) {
  int late = 0;
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    const FaultPlan plan = PlanOf(Faults::Only(FaultKind::kKill), seed, Hosts());
    late += std::any_of(plan.entries().begin(), plan.entries().end(),
                        [](const FaultEntry& entry) { return entry.to > absl::Seconds(20); });
  }

  EXPECT_GT(late, 500);
  EXPECT_LT(late, 800);  // The others have all of them early.
}

TEST(FaultsTest, AlwaysGivesEveryKind) {
  std::set<FaultKind> kinds;
  for (const FaultEntry& entry : PlanOf(Faults::All().Always(), 1, Hosts()).entries()) kinds.insert(entry.kind);

  EXPECT_EQ(kinds.size(), kFaultKindCount - kClockKinds - 2) << "all but clocks, a ring of three, and SIGTERM";
}

TEST(FaultsTest, LeavingOutAKindLeavesTheOthersUnchanged) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const FaultPlan all = PlanOf(Faults::All(), seed, Hosts());
    const FaultPlan some = PlanOf(Faults::All().Without(FaultKind::kLoss), seed, Hosts());

    EXPECT_TRUE(EntriesOf(some, FaultKind::kLoss).empty());
    for (FaultKind kind : {FaultKind::kLatency, FaultKind::kPartition, FaultKind::kCrash, FaultKind::kPause}) {
      EXPECT_EQ(EntriesOf(some, kind), EntriesOf(all, kind)) << "seed " << seed;
    }
  }
}

TEST(FaultsTest, ASparedHostKeepsRunning) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    for (const FaultEntry& entry : PlanOf(Faults::Hosts().Always().Spare("client"), seed, Hosts()).entries()) {
      EXPECT_FALSE(entry.Targets("client")) << entry.ToString();
    }
  }
}

TEST(FaultsTest, ASparedHostStillHasTheFaultsOfTheNetwork) {
  const FaultPlan all = PlanOf(Faults::Network().Always(), 1, Hosts());

  EXPECT_EQ(PlanOf(Faults::Network().Always().Spare("client"), 1, Hosts()).ToString(), all.ToString());
  EXPECT_TRUE(std::any_of(all.entries().begin(), all.entries().end(),
                          [](const FaultEntry& entry) { return entry.target == "client" && entry.other.empty(); }));
}

TEST(FaultsTest, OnlyNamedHostsAreStopped) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    for (const FaultEntry& entry : PlanOf(Faults::Hosts({"server"}).Always(), seed, Hosts()).entries()) {
      EXPECT_EQ(entry.target, "server");
    }
  }
}

TEST(FaultsTest, EntriesStayInTheirTimeAndName) {
  const absl::Duration from = absl::Seconds(5);
  const absl::Duration to = absl::Seconds(6);
  for (uint64_t seed = 0; seed < 200; ++seed) {
    for (const FaultEntry& entry : PlanOf(Faults::All().Always().During(from, to), seed, Hosts()).entries()) {
      EXPECT_GE(entry.from, from);
      EXPECT_GE(entry.to, entry.from);
      EXPECT_LE(entry.to, to);
      EXPECT_LE(entry.strength, StrengthMax(entry.kind));
      EXPECT_EQ(HitsLinks(entry.kind) && !ShapeOf(entry.kind).has_value(), !entry.other.empty());
      if (!IsSwizzle(entry.kind)) EXPECT_NE(entry.target, entry.other);
    }
  }
}

TEST(FaultsTest, LinksNeedTwoHosts) {
  EXPECT_TRUE(PlanOf(Faults::Only(FaultKind::kLoss).Always(), 1, {"lonely"}).entries().empty());
}

TEST(FaultKindTest, TheDocumentHasTheTable) {
  EXPECT_EQ(MarkedPartOf("docs/simulation.md", "made of sim/faults/kinds.inc by faults_test"), FaultKindsAsMarkdown())
      << "docs/simulation.md should have between its marks:\n"
      << FaultKindsAsMarkdown();
}

// --- Several hosts ---

TEST(ShapedFaultTest, TheOrderOfTheHostsSaysWhatIsCut) {
  const FaultPlan plan = *FaultPlan::Parse("partition-chain a,b,c from 1s to 2s\npartition-bridge a,b,c from 1s to 2s");
  for (const FaultEntry& entry : plan.entries()) {
    EXPECT_TRUE(entry.Hits("a", "c"));
    EXPECT_TRUE(entry.Hits("c", "a"));
    EXPECT_FALSE(entry.Hits("a", "b"));
    EXPECT_FALSE(entry.Hits("a", "another"));
  }
}

TEST(ShapedFaultTest, WhatIsDrawnCutsALinkThatIsUsed) {
  Workload workload;
  for (const char* name : {"a", "b", "c", "d", "e"}) workload.hosts[name] = {.calls = 1, .visits = {}};
  workload.links[{"b", "e"}] = {.packets = 10};
  const std::vector<std::string> hosts = {"a", "b", "c", "d", "e"};
  for (const FaultKind kind : {FaultKind::kPartitionRing, FaultKind::kPartitionBridge, FaultKind::kPartitionChain,
                               FaultKind::kSwizzleClog, FaultKind::kSwizzlePartition}) {
    for (uint64_t seed = 0; seed < 50; ++seed) {
      for (const FaultEntry& entry : Faults::Only(kind).Generate(Choices(seed), hosts, &workload).entries()) {
        EXPECT_TRUE(entry.Hits("b", "e")) << entry.ToString();
      }
    }
  }
}

TEST(SwizzleFaultTest, HostsHealInTheSecondOrder) {
  const FaultPlan plan = *FaultPlan::Parse("swizzle-clog a,b,c c,a,b from 0s to 6s");
  const FaultEntry& entry = plan.entries()[0];
  const Span whole = {0, 6};
  EXPECT_EQ(entry.SwizzleOf("a", whole)->begin_ns, 0);
  EXPECT_EQ(entry.SwizzleOf("b", whole)->begin_ns, 1);
  EXPECT_EQ(entry.SwizzleOf("c", whole)->begin_ns, 2);
  EXPECT_EQ(entry.SwizzleOf("c", whole)->end_ns, 4);
  EXPECT_EQ(entry.SwizzleOf("a", whole)->end_ns, 5);
  EXPECT_EQ(entry.SwizzleOf("b", whole)->end_ns, 6);
  EXPECT_FALSE(entry.SwizzleOf("another", whole).has_value());
}

TEST(SwizzleFaultTest, SomeHealInOrderAndSomeDoNot) {
  int in_order = 0;
  int others = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    for (const FaultEntry& entry : PlanOf(Faults::Only(FaultKind::kSwizzlePartition), seed, Hosts()).entries()) {
      ++(entry.target == entry.other ? in_order : others);
    }
  }
  EXPECT_GT(in_order, 50);
  EXPECT_GT(others, 50);
}

TEST(GroupTest, HostsAreStoppedAloneAndTogether) {
  int alone = 0;
  int together = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    for (const FaultEntry& entry : PlanOf(Faults::Only(FaultKind::kCrash), seed, Hosts()).entries()) {
      ++(entry.target.find(',') == std::string::npos ? alone : together);
    }
  }
  EXPECT_GT(alone, 100);
  EXPECT_GT(together, 30);
}

// --- Aim ---

Workload Busy() {
  Workload workload;
  workload.end_ns = 80'000'000;
  workload.hosts["server"] = {.calls = 100, .accepts = 3, .visits = {}};
  workload.hosts["client"] = {.calls = 200, .connects = 3, .timers = 5, .visits = {}};
  workload.hosts["witness"] = {};
  workload.links[{"client", "server"}] = {150, 0, 1460};
  workload.links[{"server", "client"}] = {140, 0, 1460};
  return workload;
}

TEST(AimTest, FaultsLieWhereAndWhenSomethingHappens) {
  const Workload workload = Busy();
  std::set<FaultKind> kinds;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const FaultPlan plan = Faults::All().Always().Generate(Choices(seed), Hosts(), &workload);
    for (const FaultEntry& entry : plan.entries()) {
      kinds.insert(entry.kind);
      if (entry.trigger == FaultEntry::Trigger::kTime)
        EXPECT_LT(entry.from, absl::Milliseconds(80)) << entry.ToString();
      if (entry.trigger == FaultEntry::Trigger::kCall) EXPECT_LE(entry.count, 200u) << entry.ToString();
      if (entry.trigger == FaultEntry::Trigger::kPacket) EXPECT_LE(entry.count, 150u) << entry.ToString();
      if (entry.kind == FaultKind::kConnectRefused) EXPECT_EQ(entry.target, "client");
      if (!HitsLinks(entry.kind)) EXPECT_NE(entry.target, "witness") << entry.ToString();
      if (HitsLinks(entry.kind)) {
        EXPECT_TRUE(entry.Hits("client", "server") || entry.Hits("server", "client")) << entry.ToString();
      }
    }
  }
  const std::set<FaultKind> without = {FaultKind::kDuplicate,     FaultKind::kReorder,    FaultKind::kLookupFailed,
                                       FaultKind::kLookupMissing, FaultKind::kLookupSlow, FaultKind::kLookupStale,
                                       FaultKind::kWorkSlow,      FaultKind::kWorkStuck,  FaultKind::kLookupChanging,
                                       FaultKind::kPartitionRing};
  for (const FaultKind kind : without) {
    EXPECT_EQ(kinds.count(kind), 0u) << FaultKindName(kind);
    EXPECT_FALSE(Faults::All().Applicable(workload).Has(kind)) << FaultKindName(kind);
  }
  EXPECT_EQ(kinds.size(), kFaultKindCount - without.size() - kClockKinds - 1)
      << "all but those, the clocks, and SIGTERM";
}

// It makes no call, and that it is crashed or slow matters all the same.
TEST(AimTest, AHostThatOnlySleepsIsStopped) {
  Workload workload = Busy();
  workload.hosts = {{"sleeper", {}}};
  workload.hosts["sleeper"].timers = 1;
  for (const FaultKind kind : {FaultKind::kCrash, FaultKind::kKill, FaultKind::kPause}) {
    EXPECT_TRUE(Faults::Hosts().Applicable(workload).Has(kind)) << FaultKindName(kind);
    const FaultPlan plan = Faults::Only(kind).Generate(Choices(1), {"sleeper"}, &workload);
    ASSERT_FALSE(plan.entries().empty()) << FaultKindName(kind);
    EXPECT_EQ(plan.entries().front().trigger, FaultEntry::Trigger::kTime) << "there is no call to wait for";
  }
}

TEST(AimTest, SomeFaultsOfAHostWaitForAVisit) {
  Workload workload = Busy();
  workload.hosts["server"].visits = {{"commit.before_reply", 40}, {"accept", 3}};
  std::map<std::string, uint64_t> latest;
  size_t visits = 0;
  size_t calls = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    for (const FaultEntry& entry :
         Faults::Only(FaultKind::kCrash).Generate(Choices(seed), {"server"}, &workload).entries()) {
      calls += entry.trigger == FaultEntry::Trigger::kCall ? 1 : 0;
      if (entry.trigger != FaultEntry::Trigger::kVisit) continue;
      ++visits;
      latest[entry.site] = std::max(latest[entry.site], entry.count);
    }
  }
  EXPECT_GT(visits, 50u);
  EXPECT_GT(calls, 50u);
  ASSERT_EQ(latest.size(), 2u);
  EXPECT_EQ(latest["accept"], 3u);
  EXPECT_GT(latest["commit.before_reply"], 20u);
  EXPECT_LE(latest["commit.before_reply"], 40u);
}

TEST(AimTest, OnlyAlwaysInjects) {
  const Workload workload = Busy();
  for (size_t i = 0; i < kFaultKindCount; ++i) {
    const auto kind = static_cast<FaultKind>(i);
    if (!Faults::Only(kind).Applicable(workload).Has(kind)) continue;
    for (uint64_t seed = 0; seed < 100; ++seed) {
      EXPECT_FALSE(Faults::Only(kind).Generate(Choices(seed), Hosts(), &workload).entries().empty());
    }
  }
}

TEST(AimTest, OneHostMoreTakesNoEntryFromItsTargetUnlessItIsTheTarget) {
  std::vector<std::string> more = Hosts();
  more.insert(more.begin(), "another");
  int compared = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const Faults faults = Faults::All().Always().Without(FaultKind::kPartitionRing);  // Three hosts make no ring.
    const FaultPlan before = faults.Generate(Choices(seed), Hosts(), nullptr);
    const FaultPlan after = faults.Generate(Choices(seed), more, nullptr);
    ASSERT_EQ(before.entries().size(), after.entries().size());
    for (size_t i = 0; i < before.entries().size(); ++i) {
      const std::string text = after.entries()[i].ToString();
      // All of one end, and two sides, have the other host where it cannot be seen.
      if (text.find_first_of("*,") != std::string::npos || text.find("another") != std::string::npos) continue;
      EXPECT_EQ(text, before.entries()[i].ToString());
      ++compared;
    }
  }
  EXPECT_GT(compared, 3000);
}

TEST(AimTest, ATimeWithoutEndIsAsGoodAsALongOne) {
  const Faults faults = Faults::All().Always().During(absl::Seconds(1), absl::InfiniteDuration());
  for (uint64_t seed = 0; seed < 200; ++seed) {
    for (const FaultEntry& entry : faults.Generate(Choices(seed), Hosts(), nullptr).entries()) {
      EXPECT_GE(entry.from, absl::Seconds(1)) << entry.ToString();
      EXPECT_GE(entry.to, entry.from) << entry.ToString();
      EXPECT_TRUE(FaultPlan::Parse(entry.ToString()).ok()) << entry.ToString();
    }
  }
}

TEST(BudgetTest, NoMoreAreDownAtOnceThanAllowed) {
  const Faults faults = Faults::None()
                            .With(FaultKind::kCrash)
                            .With(FaultKind::kKill)
                            .Always()
                            .AtMost(30)
                            .AtMostDown(1, {"server", "client"});
  size_t entries = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const Workload workload = Busy();
    const FaultPlan plan = faults.Generate(Choices(seed), Hosts(), &workload);
    for (const FaultEntry& a : plan.entries()) {
      EXPECT_EQ(a.trigger, FaultEntry::Trigger::kTime);
      ++entries;
      for (const FaultEntry& b : plan.entries()) {
        EXPECT_FALSE(a.Targets("server") && a.Targets("client")) << a.ToString();
        if (!a.Targets("server") || !b.Targets("client")) continue;
        EXPECT_TRUE(a.to < b.from || b.to < a.from) << a.ToString() << " and " << b.ToString();
      }
    }
  }
  EXPECT_GT(entries, 400u);
}

TEST(BudgetTest, OnlyAlwaysInjectsWithinABudgetToo) {
  for (const FaultKind kind : {FaultKind::kCrash, FaultKind::kKill, FaultKind::kTerminate}) {
    const Faults faults = Faults::Only(kind).AtMostDown(1, Hosts());
    for (uint64_t seed = 0; seed < 1000; ++seed) {
      const Workload workload = Busy();
      EXPECT_FALSE(faults.Generate(Choices(seed), Hosts(), &workload).entries().empty());
      EXPECT_FALSE(faults.Generate(Choices(seed), Hosts(), nullptr).entries().empty());
    }
  }
}

}  // namespace
}  // namespace tandem::sim
