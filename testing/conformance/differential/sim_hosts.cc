// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/conformance/differential/sim_hosts.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tandem/core/base/instant.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/testing/conformance/differential/program.h"
#include "tandem/testing/conformance/differential/shard_runner.h"

namespace tandem::testing {

SimHosts::SimHosts(std::array<uint8_t, 3> network, const SimHostsOptions& options)
    : addresses_(network), network_(queue_, trace_, choices_) {
  const size_t count = options.distant ? kHosts : 1;
  sim::SimReactorOptions reactor_options;
  reactor_options.read_ahead = options.read_ahead;
  for (size_t i = 0; i < count; ++i) {
    std::vector<SocketAddress> addresses;
    if (options.distant) addresses.push_back(AddressOf(static_cast<int>(i)));
    sim::HostStack& stack = sim::HostStack::Add(network_, absl::StrCat("host", i), std::move(addresses));
    Machine& machine = machines_.emplace_back();
    auto reactor = std::make_unique<sim::SimReactor>(stack, /*waker=*/nullptr, reactor_options);
    machine.reactor = reactor.get();
    machine.shard = std::make_unique<Shard>(std::move(reactor));
  }
}

SimHosts::~SimHosts() {
  for (Machine& machine : machines_) {
    Shard::Entered entered(*machine.shard);
    machine.shard->BeginShutdown();
  }
  const auto drained = [](const Machine& machine) { return machine.shard->drained(); };
  while (!std::all_of(machines_.begin(), machines_.end(), drained)) Step();
}

SocketAddress SimHosts::AddressOf(int host) {
  return SocketAddress::Ipv4({addresses_[0], addresses_[1], addresses_[2], static_cast<uint8_t>(host + 1)}, 0);
}

bool SimHosts::TurnReady() {
  bool turned = false;
  for (Machine& machine : machines_) {
    while (machine.shard->has_work() || machine.reactor->has_pending() ||
           machine.shard->next_deadline() <= machine.reactor->ReadClock()) {
      Shard::Entered entered(*machine.shard);
      CHECK(machine.shard->Turn(Instant::InfinitePast()));
      turned = true;
    }
  }
  return turned;
}

void SimHosts::Step() {
  if (TurnReady()) return;
  int64_t next_ns = Instant::InfiniteFuture().nanoseconds();
  for (const Machine& machine : machines_) next_ns = std::min(next_ns, machine.shard->next_deadline().nanoseconds());
  if (!queue_.empty() && queue_.next_time_ns() <= next_ns) {
    queue_.RunNext();
    return;
  }
  CHECK(next_ns != Instant::InfiniteFuture().nanoseconds()) << "nothing can happen any more";
  queue_.AdvanceTo(next_ns);
}

std::string SimHosts::Run(int host, absl::FunctionRef<Task<std::string>()> start) {
  Machine& machine = machines_[machines_.size() == 1 ? 0 : static_cast<size_t>(host)];
  std::optional<std::string> result;
  {
    Shard::Entered entered(*machine.shard);
    // A shard that slept has missed the time that passed.
    CHECK(machine.shard->Turn(Instant::InfinitePast()));
    StartInto(&result, start());
  }
  while (!result.has_value()) Step();
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
