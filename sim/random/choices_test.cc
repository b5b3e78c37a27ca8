// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/random/choices.h"

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tandem/sim/random/decision_counts.h"
#include "tandem/sim/testing/document.h"

namespace tandem::sim {
namespace {

constexpr uint64_t kSeed = 7;

Entity Named(const std::string& path) { return *Entity::Parse(path); }

TEST(EntityTest, APathMeansWhatItsPartsMean) {
  EXPECT_EQ(Named("client/tcp/server#3"), Entity::Of("client").Part("tcp").Part("server", 3));
  EXPECT_EQ(Named("client/tcp/server"), Named("client/tcp/server#0"));
  EXPECT_FALSE(Named("a/b") == Named("b/a"));
  EXPECT_FALSE(Named("a#1/b") == Named("a/b#1"));
}

TEST(EntityPathsTest, WhatIsMadeMeanwhileHasAPath) {
  const Entity before = Entity::Of(std::string("before"));
  const EntityPaths paths;
  for (const char* path : {"client", "client/tcp/server#3", "a#2/b/c#1"}) {
    EXPECT_EQ(paths.Of(*Entity::Parse(path)), path);
  }
  EXPECT_EQ(paths.Of(before), std::nullopt);
}

TEST(DecisionCountsTest, CountsWhatIsNotCalm) {
  DecisionCounts counts;
  const Entity flow = *Entity::Parse("b/udp/a");
  counts.Note(Choice::kLoss, flow, 7, 123);
  counts.Note(Choice::kLoss, flow, 3, 123);
  counts.Note(Choice::kLoss, flow, 9, Choices::Neutral(Choice::kLoss));
  counts.Note(Choice::kLoss, *Entity::Parse("a/udp/b"), 0, 1);
  counts.Note(Choice::kLatency, flow, 1, 1);
  std::vector<std::string> seen;
  for (const DecisionCount& of : counts.Get()) seen.push_back(absl::StrCat(ChoiceName(of.what), of.whom, of.count));
  EXPECT_EQ(seen, (std::vector<std::string>{"latencyb/udp/a2", "lossa/udp/b1", "lossb/udp/a8"}));
}

TEST(EntityTest, WrongPathsSayWhatIsWrong) {
  for (const char* path : {"", "/", "a/", "/a", "a//b", "#1", "a/#2", "a#", "a#x", "a#-1"}) {
    const absl::Status status = Entity::Parse(path).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << path;
    EXPECT_NE(status.message().find(absl::StrCat("\"", path, "\"")), std::string::npos) << status;
  }
}

TEST(ChoicesTest, EachAddressHasAValueOfItsOwn) {
  const Choices choices(kSeed);
  std::set<uint64_t> values;
  for (const Choice what : {Choice::kLatency, Choice::kLoss, Choice::kSchedule}) {
    for (const char* whom : {"client", "server", "client/tcp/server"}) {
      for (uint64_t n = 0; n < 20; ++n) {
        for (uint64_t part = 0; part < 8; ++part) values.insert(choices.Draw(what, Named(whom), n, part));
      }
    }
  }
  EXPECT_EQ(values.size(), 3u * 3 * 20 * 8);
  EXPECT_NE(Choices(kSeed + 1).Draw(Choice::kLoss, Entity(), 0), choices.Draw(Choice::kLoss, Entity(), 0));
  EXPECT_EQ(Choices(kSeed).Draw(Choice::kLoss, Entity(), 5), choices.Draw(Choice::kLoss, Entity(), 5));
}

TEST(ChoicesTest, ACalmRangeTakesItsDecisionsAndMovesNoOther) {
  const Choices wild(kSeed);
  Choices calmed(kSeed);
  calmed.AddCalm(*Calm::Parse("calm loss a/b#1 from 3 to 5"));
  for (const Choice what : {Choice::kLoss, Choice::kLatency}) {
    for (const char* whom : {"a/b#1", "a/b#2", "a"}) {
      for (uint64_t n = 0; n < 10; ++n) {
        const bool calm = what == Choice::kLoss && whom == std::string("a/b#1") && n >= 3 && n < 5;
        const uint64_t expected = calm ? Choices::Neutral(what) : wild.Draw(what, Named(whom), n, 1);
        EXPECT_EQ(calmed.Draw(what, Named(whom), n, 1), expected) << ChoiceName(what) << whom << n;
      }
    }
  }
}

TEST(ChoicesTest, CalmForAllAndForEver) {
  Choices choices(kSeed);
  choices.AddCalm(*Calm::Parse("calm jitter"));
  choices.AddCalm(*Calm::Parse("calm latency * from 2"));
  EXPECT_EQ(choices.Draw(Choice::kJitter, Named("x"), 9), 0u);
  EXPECT_EQ(choices.Draw(Choice::kLatency, Named("y"), ~uint64_t{0} - 1), uint64_t{1} << 63);
  EXPECT_EQ(choices.Draw(Choice::kLatency, Named("y"), 1), Choices(kSeed).Draw(Choice::kLatency, Named("y"), 1));
}

TEST(ChoicesTest, NeutralLossDoesNotHit) {
  EXPECT_FALSE(Probability::Ratio(999'999, 1'000'000).Hits(Choices::Neutral(Choice::kLoss)));
}

TEST(ChoicesTest, AnObserverSeesWhatIsDrawnAndChangesNothing) {
  class Observer final : public ChoicesObserver {
   public:
    void OnDraw(Choice what, Entity whom, uint64_t n, uint64_t part, uint64_t value) override {
      EXPECT_EQ(what, Choice::kLoss);
      EXPECT_EQ(whom, Entity::Of("a"));
      seen.push_back({n, part, value});
    }
    std::vector<std::array<uint64_t, 3>> seen;
  };
  Observer observer;
  Choices watched(7);
  Choices alone(7);
  for (Choices* choices : {&watched, &alone}) choices->AddCalm(*Calm::Parse("calm loss a from 2 to 3"));
  watched.set_observer(observer);

  for (const uint64_t n : {0, 1, 2}) {
    const uint64_t value = alone.Draw(Choice::kLoss, Entity::Of("a"), n, 1);
    EXPECT_EQ(watched.Draw(Choice::kLoss, Entity::Of("a"), n, 1), value);
    ASSERT_EQ(observer.seen.size(), n + 1);
    EXPECT_EQ(observer.seen.back(), (std::array<uint64_t, 3>{n, 1, value}));
  }
}

TEST(CalmTest, TextParsesBack) {
  for (size_t kind = 0; kind < kChoiceCount; ++kind) {
    for (const char* whom : {"*", "client/tcp/server#2/accepted"}) {
      for (const auto& [from, to] : {std::pair<uint64_t, uint64_t>{0, Calm::kEnd}, {3, Calm::kEnd}, {0, 4}, {7, 9}}) {
        const Calm calm = {static_cast<Choice>(kind), whom, from, to};
        const absl::StatusOr<Calm> parsed = Calm::Parse(calm.ToString());
        ASSERT_TRUE(parsed.ok()) << parsed.status();
        EXPECT_EQ(*parsed, calm) << calm.ToString();
      }
    }
  }
}

TEST(CalmTest, AllButSome) {
  Calm calm{Choice::kLoss, "*", 3, 9, "a/udp/b,c#1"};
  EXPECT_EQ(calm.ToString(), "calm loss * but a/udp/b,c#1 from 3 to 9");
  EXPECT_EQ(*Calm::Parse(calm.ToString()), calm);
  EXPECT_EQ(*Calm::Parse("calm loss but a/udp/b,c#1 from 3 to 9"), calm);

  const Choices wild(7);
  Choices calmed(7);
  calmed.AddCalm(calm);
  for (const auto& [whom, free] : {std::pair<const char*, bool>{"a/udp/b", true}, {"c#1", true}, {"c", false}}) {
    const uint64_t expected = free ? wild.Draw(Choice::kLoss, Named(whom), 5) : Choices::Neutral(Choice::kLoss);
    EXPECT_EQ(calmed.Draw(Choice::kLoss, Named(whom), 5), expected) << whom;
  }
}

TEST(CalmTest, WrongLinesSayWhatIsWrong) {
  for (const auto& [line, why] : {std::pair<std::string, std::string>{"calm", "expected calm WHAT"},
                                  {"quiet loss", "expected calm WHAT"},
                                  {"calm lost", "there are latency, loss"},
                                  {"calm loss a//b", "names between"},
                                  {"calm loss a but b", "calm WHAT * but"},
                                  {"calm loss * but", "calm WHAT * but"},
                                  {"calm loss * but a,,b", "names between"},
                                  {"calm loss a until 3", "expected from or to"},
                                  {"calm loss a from", "expected a number after from"},
                                  {"calm loss a from x", "expected a number after from"},
                                  {"calm loss a from 5 to 5", "the range is empty"}}) {
    const absl::Status status = Calm::Parse(line).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << line;
    EXPECT_NE(status.message().find(why), std::string::npos) << status;
  }
}

TEST(ChoicesTest, TheDocumentHasTheTable) {
  EXPECT_EQ(MarkedPartOf("docs/simulation.md", "made of sim/random/choices.inc by choices_test"), ChoicesAsMarkdown())
      << "docs/simulation.md should have between its marks:\n"
      << ChoicesAsMarkdown();
}

}  // namespace
}  // namespace tandem::sim
