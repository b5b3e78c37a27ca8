// SPDX-License-Identifier: Apache-2.0
//
// Programs made of callbacks, for tests of the simulated network below coroutines: a machine room with hosts, and
// operations and sources that remember what was reported to them.

#ifndef TANDEM_SIM_TESTING_TEST_PROGRAMS_H_
#define TANDEM_SIM_TESTING_TEST_PROGRAMS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/log/check.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/time/event_queue.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::sim {

// An operation that remembers its results.
class TestOperation final : public Operation {
 public:
  static constexpr int64_t kPending = INT64_MIN;

  ~TestOperation() override = default;
  int64_t result = kPending;
  int completions = 0;
  bool abandoned = false;

 private:
  void OnComplete(int64_t value) override {
    result = value;
    ++completions;
  }
  void OnAbandon() override { abandoned = true; }
};

// A source that keeps what it gets.
class TestSource final : public Source {
 public:
  explicit TestSource(Kind kind) : Source(kind) {}
  ~TestSource() override = default;

  std::string bytes;
  std::vector<size_t> sizes;
  std::deque<SocketId> accepted;
  struct Arrived {
    std::string data;
    SocketAddress source;
    SocketAddress destination;
    uint32_t interface_index = 0;
  };
  std::vector<Arrived> datagrams;
  int ends = 0;
  SourceEnd end = SourceEnd::kDisarmed;
  int error = 0;
  bool abandoned = false;

 private:
  void OnAccepted(SocketId id) override { accepted.push_back(id); }
  void OnReceived(Buffer buffer) override {
    CHECK(!buffer.empty());
    bytes.append(buffer.data(), buffer.size());
    sizes.push_back(buffer.size());
  }
  void OnDatagram(Datagram datagram) override {
    datagrams.push_back(
        Arrived{std::string(datagram.data.view()), datagram.source, datagram.destination, datagram.interface_index});
  }
  void OnEnd(SourceEnd why, int value) override {
    ++ends;
    end = why;
    error = value;
  }
  void OnAbandon() override { abandoned = true; }
};

// One host with one process, whose turns run as events at the instant at which something is reported.
class TestHost final : public HostWaker, public Event {
 public:
  TestHost(EventQueue& events, Network& network, absl::string_view name, const SocketAddress& address,
           const SimReactorOptions& options = SimReactorOptions())
      : events_(events), options_(options), address_(address), stack_(HostStack::Add(network, name, {address})) {
    Start();
  }
  ~TestHost() override { events_.Cancel(*this); }

  SimReactor& reactor() { return *reactor_; }
  HostStack& stack() { return stack_; }
  SocketAddress Address(uint16_t port) const { return address_.WithPort(port); }

  void Start() {
    if (!stack_.up()) stack_.StartMachine();
    reactor_ = std::make_unique<SimReactor>(stack_, this, options_);
  }
  // The power fails.
  void Crash() {
    reactor_->Abandon();
    stack_.CrashMachine();
  }
  void Kill() {
    reactor_->Abandon();
    stack_.KillProcess();
  }

 private:
  void OnRunnable() override {
    if (!scheduled()) events_.Schedule(*this, events_.now_ns());
  }
  void Run() override { CHECK(reactor_->Poll(Instant::InfinitePast())); }

  EventQueue& events_;
  const SimReactorOptions options_;
  const SocketAddress address_;
  HostStack& stack_;
  std::unique_ptr<SimReactor> reactor_;
};

// The queue, the trace and the network of a test.
struct MachineRoom {
  explicit MachineRoom(uint64_t seed) : choices(seed), network(events, trace, choices) {}

  // Runs events until `condition` holds or nothing is left, or virtual time has passed `limit_ns` from now.
  template <typename Condition>
  bool RunUntil(Condition condition, int64_t limit_ns = INT64_MAX / 2) {
    const int64_t end = events.now_ns() + limit_ns;
    while (!condition()) {
      if (events.empty() || events.next_time_ns() > end) return false;
      events.RunNext();
    }
    return true;
  }
  void RunFor(int64_t ns) {
    const int64_t end = events.now_ns() + ns;
    while (!events.empty() && events.next_time_ns() <= end) events.RunNext();
    events.AdvanceTo(end);
  }
  void RunDry() {
    while (!events.empty()) events.RunNext();
  }

  EventQueue events;
  Trace trace;
  const Choices choices;
  Network network;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TESTING_TEST_PROGRAMS_H_
