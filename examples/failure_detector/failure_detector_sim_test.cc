// SPDX-License-Identifier: Apache-2.0
//
// Four hosts that watch each other, while network, machines and clocks fail. Each asks its detector again and again,
// and each answer is held against what the world knows.

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tandem/examples/failure_detector/failure_detector.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/op.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/co_assert.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

namespace failure_detector {
namespace {

using namespace tandem;

constexpr uint16_t kPort = 7600;
// Longer than the longest timeout: a clock may be slow by 10 %.
constexpr absl::Duration kSuspectedAfter = absl::Milliseconds(2250);
constexpr absl::Duration kTrustedAfter = absl::Seconds(1);
constexpr absl::Duration kFaults = absl::Seconds(10);
// What faults have held up in the network arrives within this, in front of what is sent after them.
constexpr absl::Duration kHeldUp = absl::Seconds(10);

const std::vector<std::string>& Names() {
  static const auto& names = *new std::vector<std::string>{"north", "south", "east", "west"};
  return names;
}

// Checks the history of answers, as it grows.
class History {
 public:
  explicit History(const sim::World& world) : world_(world) {}

  // To be called after each step of the world.
  void SeeWhoLives() {
    for (const auto& host : world_.hosts()) {
      Life& life = lives_[host->name()];
      if (life.up == host->alive() && life.restarts == host->restarts()) continue;
      life = {host->alive(), host->restarts(), world_.Now()};
    }
  }
  // The detector of `host` begins, which may be later than its process.
  void SeeBegin(const std::string& host) { lives_[host].since = world_.Now(); }
  // Nothing fails any more.
  void SeeCalm() { calm_since_ = world_.Now(); }

  // `observer` has asked whether `peer` is suspected.
  absl::Status See(const std::string& observer, const std::string& peer, bool is_suspected) {
    if (is_suspected) {
      suspicions_.emplace(observer, peer);
    } else {
      suspicions_.erase({observer, peer});
    }
    asked_[{observer, peer}] = world_.Now();
    const Life& life = lives_[peer];
    const absl::Duration both = world_.Now() - std::max(life.since, lives_[observer].since);  // Since so long.
    const std::string who = absl::StrCat(observer, is_suspected ? " suspects " : " trusts ", peer, ", which ");
    if (!life.up && both > kSuspectedAfter && !is_suspected) {
      return absl::DataLossError(absl::StrCat(who, "is down since ", life.since));
    }
    if (life.up && both > kTrustedAfter && world_.Now() - calm_since_ > kTrustedAfter && is_suspected) {
      return absl::DataLossError(absl::StrCat(who, "lives since ", life.since, ", in the calm since ", calm_since_));
    }
    return absl::OkStatus();
  }

  // Who has asked about `peer` behind `since`, with whom it has asked about.
  std::set<std::pair<std::string, std::string>> AskedSince(Instant since, const std::string& peer) const {
    std::set<std::pair<std::string, std::string>> found;
    for (const auto& [pair, at] : asked_) {
      if (pair.second == peer && at > since) found.insert(pair);
    }
    return found;
  }
  // Those of the last answers that said so: the observer, and whom it suspected.
  const std::set<std::pair<std::string, std::string>>& suspicions() const { return suspicions_; }

 private:
  struct Life {
    bool up = false;
    uint32_t restarts = 0;
    Instant since;
  };

  const sim::World& world_;
  std::map<std::string, Life> lives_;
  Instant calm_since_ = Instant::InfiniteFuture();
  std::set<std::pair<std::string, std::string>> suspicions_;
  std::map<std::pair<std::string, std::string>, Instant> asked_;  // When last.
};

Task<absl::Status> AskAgainAndAgain(History* history, std::string name, const Detector* detector,
                                    std::vector<sim::Op> ops) {
  for (const sim::Op& op : ops) {
    co_await Pause(absl::Milliseconds(op.Draw("pause", 200)));
    for (const std::string& peer : Names()) {
      if (peer == name) continue;
      CO_ASSERT_OK(history->See(name, peer, detector->Suspects(peer)));
    }
  }
  co_return absl::OkStatus();
}

Task<absl::Status> RunHost(History* history, std::string name, std::vector<sim::Op> ops) {
  std::map<std::string, SocketAddress> peers;
  for (const std::string& peer : Names()) {
    if (peer != name) peers[peer] = *sim::HostAddress(peer, kPort);
  }
  Detector detector(name, *UdpSocket::Bind(SocketAddress::AnyIpv4(kPort)), peers);
  history->SeeBegin(name);
  auto [ran, asked] = co_await WhenAll(detector.Run(), AskAgainAndAgain(history, name, &detector, std::move(ops)));
  co_return ran;
}

void AddHosts(sim::World* world, History* history) {
  for (const std::string& name : Names()) {
    world->AddServer(name, [history, name, ops = world->Ops(name, 350)] { return RunHost(history, name, ops); });
  }
  world->AfterEachStep([history] {
    history->SeeWhoLives();
    return absl::OkStatus();
  });
}

SIM_TEST(FailureDetector, KeepsItsPromises) {
  History history(world);
  AddHosts(&world, &history);
  world.Inject(sim::Faults::All()
                   .With(sim::FaultKind::kTerminate)
                   .With(sim::FaultKind::kClockFast)
                   .With(sim::FaultKind::kClockSlow)
                   .With(sim::FaultKind::kBootOffset)
                   .During(absl::ZeroDuration(), kFaults));
  EXPECT_OK(world.RunFor(kFaults + kHeldUp));

  history.SeeCalm();
  const auto nobody = [&] { return history.suspicions().empty(); };
  EXPECT_OK(world.HealAndExpect(absl::Seconds(2), "nobody is suspected", nobody));
  EXPECT_OK(world.RunFor(absl::Seconds(3)));
  world.FindHost("west")->Crash();
  const Instant suspected_from = world.Now() + kSuspectedAfter;
  EXPECT_OK(world.RunFor(absl::Seconds(3)));
  // All others suspect it, and nobody else: those that have asked, as operations may be left out.
  EXPECT_EQ(history.suspicions(), history.AskedSince(suspected_from, "west"));
}

// The timeout follows a network that is slow: nobody is suspected any more.
SIM_TEST(FailureDetector, GetsUsedToASlowNetwork) {
  History history(world);
  AddHosts(&world, &history);
  world.Inject(*sim::FaultPlan::Parse("latency-constant * * from 0s to 20s strength 400000000"));
  EXPECT_OK(world.RunFor(absl::Seconds(8)));
  history.SeeCalm();
  EXPECT_OK(world.RunFor(absl::Seconds(8)));
  EXPECT_THAT(history.suspicions(), ::testing::IsEmpty());
}

}  // namespace
}  // namespace failure_detector
