// SPDX-License-Identifier: Apache-2.0
//
// What the planted bugs have in common: a server and a client of lines, operations one after the other, and a count of
// what a schedule does.
//
// Each bug says "bug: " and what it is where it shows, so that a test can tell them apart without the harness.

#ifndef TANDEM_TESTING_SHRINK_PLANTED_H_
#define TANDEM_TESTING_SHRINK_PLANTED_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tandem/sim/world/op.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"

namespace tandem {

constexpr uint16_t kPort = 7;
constexpr uint64_t kOps = 30;
constexpr absl::Duration kFaultsEnd = absl::Seconds(10);

// Answers lines by `handler`, which captures pointers or nothing.
template <typename Handler>
Task<absl::Status> AnswerLines(Handler handler) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  co_return co_await ServeLines(*std::move(listener), handler);
}

// What "server:7" answers in time.
Task<absl::StatusOr<std::string>> Ask(std::string server, std::string line, absl::Duration timeout = absl::Seconds(1));

// Calls `act` with each, and waits a little behind it.
template <typename Act>
Task<absl::Status> DoOneByOne(std::vector<sim::Op> ops, Act act) {
  for (const sim::Op& op : ops) {
    co_await act(op);
    const absl::Status slept = co_await Sleep(absl::Milliseconds(100));
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

// Two more hosts, which have nothing to do with the bug and a lot with the faults.
void AddBystanders(sim::World& world);

// How often a task that was next was held back, among tasks that say when they wait for their turn and when they have
// it. Without a schedule none is.
class Turns {
 public:
  void Waits(int task) { waiting_.push_back({task}); }
  void GoesOn(int task);
  Task<void> Pass(int task);
  int held_back() const { return held_back_; }

 private:
  struct Waiting {
    int task;
    bool held = false;
  };

  std::vector<Waiting> waiting_;  // In the order in which they are to go on.
  int held_back_ = 0;
};

}  // namespace tandem

#endif  // TANDEM_TESTING_SHRINK_PLANTED_H_
