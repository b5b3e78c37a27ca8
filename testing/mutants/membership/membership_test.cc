// SPDX-License-Identifier: Apache-2.0
//
// A membership list by gossip, after SWIM: each member probes another one now and then, and has others try when it gets
// no answer.
//
// Who answers nobody is suspected, and dead some time later, unless it hears of that and says that it lives, with a
// higher incarnation. Of two pieces of news the one with the higher incarnation counts; of the same incarnation the
// worse one. Each message says what its sender knows of itself and of the receiver; what is new of others goes with the
// next few. A member that was started anew begins with the first incarnation, asks for all that the others know, and
// hears from them which one is next.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/mutants/cluster.h"
#include "tandem/testing/sim_test.h"
#include "tandem/testing/status_matchers.h"

namespace tandem::mutants {
namespace {

constexpr absl::Duration kFaultsEnd = absl::Seconds(20);
constexpr absl::Duration kProbeInterval = absl::Milliseconds(200);
constexpr absl::Duration kProbeTimeout = absl::Milliseconds(100);
constexpr absl::Duration kHelpTimeout = absl::Milliseconds(200);
constexpr absl::Duration kSuspicion = absl::Seconds(1);
constexpr int kTellings = 6;       // So often a member passes a piece of news on.
constexpr size_t kMostRelays = 8;  // So many probes of others a member helps with at a time.

enum class State : uint8_t { kAlive, kSuspect, kDead };

// What is known of a member.
struct News {
  int64_t incarnation = 0;
  State state = State::kAlive;

  bool IsNewerThan(const News& other) const {
    return std::tie(incarnation, state) > std::tie(other.incarnation, other.state);
  }
};

using Members = std::map<std::string, News>;

// What the test sees of all members.
struct Cluster {
  std::vector<std::string> names = {"north", "east", "south", "west"};
  std::map<std::string, Members> views;
  std::map<std::pair<std::string, int64_t>, Instant> suspected;  // Since when anybody suspects this incarnation.

  std::map<std::string, Instant> acknowledged;  // When a member has answered last.

  void See(const std::string& observer, const std::string& name, const News& news) {
    News& seen = views[observer][name];
    EXPECT_TRUE(news.incarnation > seen.incarnation ||
                (news.incarnation == seen.incarnation && news.state > seen.state))
        << observer << " goes back in what it knows of " << name;
    seen = news;
    const Instant first = suspected.try_emplace({name, news.incarnation}, Instant::InfiniteFuture()).first->second;
    if (news.state == State::kSuspect && Now() < first) suspected[{name, news.incarnation}] = Now();
    if (news.state != State::kDead) return;
    EXPECT_GE(Now() - first, kSuspicion) << observer << " buries " << name << ", which was suspected for less";
  }
  // A probe of `name` that began at `begin` was answered.
  void SeeAnswer(const std::string& observer, const std::string& name, Instant begin) {
    EXPECT_GE(acknowledged[name], begin) << observer << " takes something else for an answer of " << name;
  }
  // Whether all but `dead` know that `dead` is, and that the others live.
  bool Agree(absl::string_view dead) const {
    for (const std::string& observer : names) {
      for (const std::string& name : names) {
        if (observer == dead || observer == name) continue;
        const Members& view = views.at(observer);
        const auto seen = view.find(name);
        if (seen == view.end() || seen->second.state != (name == dead ? State::kDead : State::kAlive)) return false;
      }
    }
    return true;
  }
};

// One member.
class Node {
 public:
  Node(Cluster* cluster, std::string name, tandem::UdpSocket socket)
      : cluster_(cluster), name_(std::move(name)), socket_(std::move(socket)) {
    members_[name_].incarnation = 1;
  }

  Task<absl::Status> Join() {
    for (const std::string& other : cluster_->names) {
      if (other != name_) (co_await Send(other, "JOIN", 0, other)).IgnoreError();
    }
    co_return co_await Probe();
  }

  // Messages are "PING|ACK|HELP|JOIN|LIST sender number member" and then the name, incarnation and state of members.
  Task<absl::Status> Receive() {
    for (;;) {
      char buffer[2048];
      const absl::StatusOr<ReceivedDatagram> received = co_await socket_.ReceiveFrom(absl::MakeSpan(buffer));
      if (absl::IsCancelled(received.status())) co_return received.status();
      if (!received.ok()) continue;  // An earlier datagram came to nobody.
      const std::vector<std::string> words = Words(absl::string_view(buffer, received->size));
      for (size_t i = 4; i + 2 < words.size(); i += 3) {
        Hear(words[i], {Number(words[i + 1]), static_cast<State>(Number(words[i + 2]))});
      }
      (co_await Answer(words[0], words[1], Number(words[2]), words[3])).IgnoreError();
    }
  }

 private:
  // Who wants to know whether somebody answers, and by which number.
  struct Relay {
    std::string asker;
    int64_t number;
  };

  Task<absl::Status> Probe() {
    for (;;) {
      absl::Status slept = co_await Sleep(kProbeInterval);
      if (!slept.ok()) co_return slept;
      const std::string& target = cluster_->names[Random("probe").Below(cluster_->names.size())];
      if (target == name_) continue;
      const News before = members_[target];
      const Instant begin = Now();
      answered_ = false;
      probe_ = ++last_number_;
      (co_await Send(target, "PING", probe_, target)).IgnoreError();
      slept = co_await Sleep(kProbeTimeout);
      if (slept.ok() && !answered_) slept = co_await AskOthers(target);
      if (!slept.ok()) co_return slept;
      if (answered_) {
        cluster_->SeeAnswer(name_, target, begin);
      } else {
        Hear(target, {before.incarnation, State::kSuspect});
      }
    }
  }

  // Has all others try to reach `target`.
  Task<absl::Status> AskOthers(std::string target) {
    for (const std::string& other : cluster_->names) {
      if (other != name_ && other != target) (co_await Send(other, "HELP", probe_, target)).IgnoreError();
    }
    co_return co_await Sleep(kHelpTimeout);
  }

  Task<absl::Status> Answer(std::string what, std::string sender, int64_t number, std::string member) {
    if (what == "PING") {
      cluster_->acknowledged[name_] = Now();
      co_return co_await Send(sender, "ACK", number, name_);
    }
    if (what == "HELP") {
      relays_[++last_number_] = {sender, number};
      if (relays_.size() > kMostRelays) relays_.erase(relays_.begin());
      co_return co_await Send(member, "PING", last_number_, member);
    }
    if (what == "JOIN") co_return co_await Send(sender, "LIST", 0, sender);
    if (what == "ACK" && number == probe_) answered_ = true;
    const auto relay = relays_.find(number);
    if (what != "ACK" || relay == relays_.end()) co_return absl::OkStatus();
    const Relay found = relay->second;
    relays_.erase(relay);
    co_return co_await Send(found.asker, "ACK", found.number, member);
  }

  Task<absl::Status> Send(std::string receiver, std::string what, int64_t number, std::string member) {
    std::string text = absl::StrCat(what, " ", name_, " ", number, " ", member);
    for (const auto& [name, news] : members_) {
      int& tellings = tellings_[name];
      const bool is_news = tellings > 0;
      if (is_news) --tellings;
      if (!is_news && name != name_ && name != receiver && what != "LIST") continue;
      absl::StrAppend(&text, " ", name, " ", news.incarnation, " ", static_cast<int>(news.state));
    }
    const absl::StatusOr<SocketAddress> address = sim::HostAddress(receiver, kPort);
    if (!address.ok()) co_return address.status();
    co_return co_await socket_.SendTo(text, *address);
  }

  void Hear(const std::string& name, const News& news) {
    News& known = members_[name];
    if (name == name_) {
      const bool is_wrong = news.incarnation > known.incarnation ||
                            (news.incarnation == known.incarnation && news.state != State::kAlive);
      if (is_wrong) known.incarnation = news.incarnation + 1;
      return;
    }
    if (!news.IsNewerThan(known)) return;
    known = news;
    tellings_[name] = kTellings;
    cluster_->See(name_, name, news);
    if (news.state == State::kSuspect) Spawn(&Node::Bury, this, name, news.incarnation);
  }

  Task<void> Bury(std::string name, int64_t incarnation) {
    const absl::Status slept = co_await Sleep(kSuspicion);
    if (slept.ok()) Hear(name, {incarnation, State::kDead});
  }

  Cluster* const cluster_;
  const std::string name_;
  tandem::UdpSocket socket_;
  Members members_;
  std::map<std::string, int> tellings_;  // How often to pass on what is known of a member.
  // Of a ping. Begins anywhere: what is still on its way to the process before this one is no answer.
  int64_t last_number_ = static_cast<int64_t>(Random("number").Below(uint64_t{1} << 60));
  int64_t probe_ = 0;                // The number of the last probe of its own...
  bool answered_ = false;            // ...and whether it was answered.
  std::map<int64_t, Relay> relays_;  // By the number of the ping.
};

Task<absl::Status> RunNode(Cluster* cluster, std::string name) {
  cluster->views[name].clear();
  absl::StatusOr<tandem::UdpSocket> socket = tandem::UdpSocket::Bind(SocketAddress::AnyIpv4(kPort));
  if (!socket.ok()) co_return socket.status();
  Node node(cluster, name, *std::move(socket));
  const auto [received, probed] = co_await WhenAny(node.Receive(), node.Join());
  // Neither has a result when the node is told to stop.
  if (!received.has_value() && !probed.has_value()) co_return absl::CancelledError("told to stop");
  co_return received.has_value() ? *received : *probed;
}

SIM_TEST(Membership, AgreesWhenAllIsWell) {
  Cluster cluster;
  for (const std::string& name : cluster.names) {
    world.AddServer(name, [&cluster, name] { return RunNode(&cluster, name); });
  }
  world.Inject(sim::Faults::All().During(absl::ZeroDuration(), kFaultsEnd));
  EXPECT_OK(world.RunFor(kFaultsEnd));
  EXPECT_OK(world.HealAndExpect(absl::Seconds(60), "all know that all live", [&] { return cluster.Agree("nobody"); }));
  // Nobody forgets, or thinks otherwise later: what the network held up has arrived by now.
  EXPECT_OK(world.RunFor(absl::Seconds(10)));
  EXPECT_TRUE(cluster.Agree("nobody"));

  world.FindHost("west")->Crash();
  EXPECT_OK(
      world.RunUntil("the others know that one is dead", [&] { return cluster.Agree("west"); }, absl::Seconds(60)));
  EXPECT_OK(world.RunFor(absl::Seconds(10)));
  EXPECT_TRUE(cluster.Agree("west"));
}

}  // namespace
}  // namespace tandem::mutants
