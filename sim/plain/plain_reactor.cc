// SPDX-License-Identifier: Apache-2.0
//
// The simulated world for a program with a plain main(): one host, `main`, with its loopback addresses and nothing
// else. Linking this library is what chooses the world (see Runtime). It knows the names `main` and `localhost`; all
// other names are missing.
//
// Here the reactor drives the world instead of the other way round: a Poll() that waits runs the events up to the first
// that concerns the program. The seed is TANDEM_SEED, by default 1; the program can have TANDEM_DESCRIPTORS sockets
// open at a time, by default a million.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/base/random.h"
#include "tandem/core/crash/crash_report.h"
#include "tandem/core/io/create_reactor.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/runtime/shard.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/process/interpose/interpose.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/reactor/sim_reactor.h"
#include "tandem/sim/time/event_queue.h"
#include "tandem/sim/time/loop.h"
#include "tandem/sim/time/virtual_time.h"
#include "tandem/sim/trace/trace.h"

// Of googletest: a program that has it is a test, which uses the machine as well.
namespace testing {
void InitGoogleTest(int* argc, char** argv) __attribute__((weak));
}  // namespace testing

namespace tandem {
namespace sim {
namespace {

// As many turns without an event are a program that waits by yielding, and for nothing.
constexpr uint64_t kPollsWithoutEventMax = 10'000'000;

constexpr char kHostName[] = "main";

class PlainMachine;
PlainMachine* current_machine = nullptr;

// What has to be there before the reactor, and longer.
class PlainMachine {
 public:
  explicit PlainMachine(uint64_t seed)
      : choices_(seed), network_(queue_, trace_, choices_), host_stack_(HostStack::Add(network_, kHostName, {})) {
    EnterWorld(hooks_);
    current_machine = this;
    SetCrashContext(&WriteWhere);
  }
  ~PlainMachine() {
    SetCrashContext(nullptr);
    current_machine = nullptr;
    LeaveWorld();
  }
  PlainMachine(const PlainMachine&) = delete;
  PlainMachine& operator=(const PlainMachine&) = delete;

 protected:
  // For the report of a crash.
  static void WriteWhere(TextWriter write) {
    write("  at ");
    write(VirtualTimeText(current_machine->queue_.now_ns()).view());
    write(" s of virtual time\n");
  }
  static int64_t RealtimeNs(void* self) { return kEpochRealtimeNs + MonotonicNs(self); }
  static int64_t MonotonicNs(void* self) {
    const PlainMachine& machine = *static_cast<PlainMachine*>(self);
    return machine.queue_.now_ns() + machine.slept_ns_;
  }
  static uint64_t OsRandom(void* self) {
    PlainMachine& machine = *static_cast<PlainMachine*>(self);
    return machine.choices_.Draw(Choice::kOsRandom, machine.host_stack_.entity(), machine.os_random_n_++);
  }
  static bool Sleep(void* self, int64_t ns) {
    PlainMachine& machine = *static_cast<PlainMachine*>(self);
    if (machine.working_) machine.slept_ns_ += ns;
    return machine.working_;
  }

  EventQueue queue_;
  Loop loop_{queue_};  // Nobody takes turns in it: the program does, around Poll().
  Trace trace_;
  const Choices choices_;
  Network network_;
  HostStack& host_stack_;
  uint64_t os_random_n_ = 0;
  bool working_ = false;  // Blocking work runs...
  int64_t slept_ns_ = 0;  // ...and has slept for so long, which its clocks show.
  const WorldHooks hooks_{this, &RealtimeNs, &MonotonicNs, &OsRandom, &Sleep, [](void*) { return kHostName; }};
};

class PlainReactor final : private PlainMachine, private HostWaker, public SimReactor {
 public:
  PlainReactor(uint64_t seed, uint64_t descriptors) : PlainMachine(seed), SimReactor(host_stack_, this) {
    host_stack_.set_descriptor_limit(descriptors);
  }

  [[nodiscard]] bool Poll(Instant until) override {
    if (IsSpinning()) until = std::max(until, Instant::FromNanoseconds(queue_.now_ns() + kSpinNs));
    RunDueEvents();
    while (!has_pending() && queue_.now_ns() < until.nanoseconds()) {
      if (loop_.quiescent() && until == Instant::InfiniteFuture()) return false;
      if (!loop_.Step(until.nanoseconds())) queue_.AdvanceTo(until.nanoseconds());
      RunDueEvents();
    }
    return SimReactor::Poll(until);
  }

 private:
  // Poll() looks by itself.
  void OnRunnable() override {}
  // Events run in the middle of the shard's turn, which blocking work must not see.
  int64_t RunWork(BlockingWork& work) override {
    const Shard::Left outside;
    working_ = true;
    work.Run();
    working_ = false;
    return std::exchange(slept_ns_, 0);
  }
  // What arrives at one instant is reported together.
  void RunDueEvents() {
    while (loop_.Step(queue_.now_ns())) {
    }
  }
  // True when the program has taken many turns in a row without an event, as if they took time. Counts this one.
  bool IsSpinning() {
    if (last_event_ != queue_.executed()) polls_since_event_ = 0;
    last_event_ = queue_.executed();
    CHECK_LT(++polls_since_event_, kPollsWithoutEventMax)
        << "livelock: a task runs again and again, and nothing happens; what it waits for needs a Sleep(), not a "
           "Yield()";
    return polls_since_event_ % kSpinTurns == 0;
  }

  uint64_t last_event_ = 0;
  uint64_t polls_since_event_ = 0;
};

absl::StatusOr<uint64_t> NumberFromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  uint64_t number = otherwise;
  if (text != nullptr && !absl::SimpleAtoi(text, &number)) {
    return absl::InvalidArgumentError(absl::StrCat(name, "=", text, ": expected a number from 0 to 2^64 - 1"));
  }
  return number;
}

}  // namespace
}  // namespace sim

absl::StatusOr<std::unique_ptr<Reactor>> CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(
    const ReactorOptions&) {
  absl::StatusOr<uint64_t> seed = sim::NumberFromEnvironment("TANDEM_SEED", 1);
  if (!seed.ok()) return seed.status();
  absl::StatusOr<uint64_t> descriptors = sim::NumberFromEnvironment("TANDEM_DESCRIPTORS", 1 << 20);
  if (!descriptors.ok()) return descriptors.status();
  if (static_cast<void (*)(int*, char**)>(&::testing::InitGoogleTest) == nullptr)
    sim::TrapSystemCalls(sim::TrapScope::kProgram);
  return std::make_unique<sim::PlainReactor>(*seed, *descriptors);
}

}  // namespace tandem
