// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/conformance/differential/sim_hosts.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <optional>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/reactor/host_waker.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/testing/conformance/differential/program.h"
#include "tandem/testing/conformance/differential/shard_runner.h"

namespace tandem::testing {
namespace {

constexpr int64_t kForever = std::numeric_limits<int64_t>::max();
constexpr char kStuck[] = "nothing can happen any more";

}  // namespace

// One machine of the network, and the shard of its process.
class SimHosts::Machine final : private sim::TurnTaker, private sim::HostWaker {
 public:
  Machine(sim::EventQueue& queue, sim::Loop& loop, sim::HostStack& stack, const sim::SimReactorOptions& options)
      : TurnTaker(loop), queue_(queue) {
    auto reactor = std::make_unique<sim::SimReactor>(stack, static_cast<sim::HostWaker*>(this), options);
    reactor_ = reactor.get();
    shard_ = std::make_unique<Shard>(std::move(reactor));
  }
  // REQUIRES drained().
  ~Machine() override {
    SetIdle();
    queue_.Cancel(wake_up_);
  }

  // Calls `function` in a turn of the shard. What that begins goes on in later ones.
  template <typename Function>
  void InTurn(const Function& function) {
    {
      const Shard::Entered entered(*shard_);
      shard_->TurnAtOnce();  // A shard that slept has missed the time that passed.
      function(*shard_);
    }
    SetReady();
  }
  bool drained() const { return shard_->drained(); }

 private:
  class WakeUp final : public sim::Event {
   public:
    explicit WakeUp(Machine& machine) : machine_(machine) {}

   private:
    void Run() override { machine_.SetReady(); }
    Machine& machine_;
  };

  bool TakeTurns(int limit) override {
    const Shard::Entered entered(*shard_);
    for (int turns = 0; turns < limit; ++turns) {
      CountTurn();
      shard_->TurnAtOnce();
      const bool due = shard_->next_deadline() <= reactor_->ReadClock();
      if (!shard_->has_work() && !reactor_->has_pending() && !due) return false;
    }
    return true;
  }
  void OnIdle() override {
    const Instant due = shard_->next_deadline();
    if (due != Instant::InfiniteFuture()) queue_.Reschedule(wake_up_, due.nanoseconds());
  }
  void OnRunnable() override { SetReady(); }

  sim::EventQueue& queue_;
  WakeUp wake_up_{*this};
  sim::SimReactor* reactor_ = nullptr;
  std::unique_ptr<Shard> shard_;
};

SimHosts::SimHosts(std::array<uint8_t, 3> network, const SimHostsOptions& options)
    : addresses_(network), network_(queue_, trace_, choices_) {
  const size_t count = options.distant ? kHosts : 1;
  sim::SimReactorOptions reactor_options;
  reactor_options.read_ahead = options.read_ahead;
  for (size_t i = 0; i < count; ++i) {
    std::vector<SocketAddress> addresses;
    if (options.distant) addresses.push_back(AddressOf(static_cast<int>(i)));
    sim::HostStack& stack = sim::HostStack::Add(network_, absl::StrCat("host", i), std::move(addresses));
    machines_.push_back(std::make_unique<Machine>(queue_, loop_, stack, reactor_options));
  }
}

SimHosts::~SimHosts() {
  for (const std::unique_ptr<Machine>& machine : machines_) {
    machine->InTurn([](Shard& shard) { shard.BeginShutdown(); });
  }
  const auto drained = [](const std::unique_ptr<Machine>& machine) { return machine->drained(); };
  while (!std::all_of(machines_.begin(), machines_.end(), drained)) CHECK(loop_.Step(kForever)) << kStuck;
}

SocketAddress SimHosts::AddressOf(int host) {
  return SocketAddress::Ipv4({addresses_[0], addresses_[1], addresses_[2], static_cast<uint8_t>(host + 1)}, 0);
}

std::string SimHosts::Run(int host, absl::FunctionRef<Task<std::string>()> start) {
  Machine& machine = *machines_[machines_.size() == 1 ? 0 : static_cast<size_t>(host)];
  std::optional<std::string> result;
  machine.InTurn([&](Shard&) { StartInto(&result, start()); });
  while (!result.has_value()) CHECK(loop_.Step(kForever)) << kStuck;
  return *std::move(result);
}

HostRunner& SimWorld::HostsFor(std::array<uint8_t, 3> network) {
  hosts_.reset();
  hosts_ = std::make_unique<SimHosts>(network, options_);
  return *hosts_;
}

// Longer than a delayed acknowledgement and a retransmission, so that what they bring is expected from the kernel, too.
Patience SimWorld::PatienceFor(bool) {
  Patience patience;
  patience.settle = absl::Milliseconds(5);
  patience.brief = patience.long_ = patience.unhinted = absl::Milliseconds(250);
  return patience;
}

SimHostsOptions SimHostsOptionsFromArguments(int argc, char** argv) {
  SimHostsOptions options;
  for (int i = 1; i < argc; ++i) {
    const absl::string_view argument = argv[i];
    if (argument == "--distant") {
      options.distant = true;
    } else if (argument == "--no_read_ahead") {
      options.read_ahead = false;
    } else {
      std::fprintf(stderr, "unknown argument %s\n", argv[i]);
      std::exit(2);
    }
  }
  return options;
}

}  // namespace tandem::testing
