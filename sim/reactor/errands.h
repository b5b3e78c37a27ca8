// SPDX-License-Identifier: Apache-2.0
//
// The errands of a SimReactor: what takes time and concerns no socket, blocking work and the look-up of names.

#ifndef TANDEM_SIM_REACTOR_ERRANDS_H_
#define TANDEM_SIM_REACTOR_ERRANDS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tandem/core/io/reactor.h"
#include "tandem/sim/machine/host_stack.h"
#include "tandem/sim/network/network.h"
#include "tandem/sim/random/choices.h"
#include "tandem/sim/reactor/host_waker.h"
#include "tandem/sim/reactor/report_queue.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {

class Errands {
 public:
  // `process` is what decisions about them are addressed by. `waker` may be null.
  Errands(HostStack& stack, Entity process, HostWaker* waker, ReportQueue& reports)
      : stack_(stack), network_(stack.network()), process_(process), waker_(waker), reports_(reports) {}

  static bool IsErrand(const Operation& operation) {
    return operation.kind == OperationKind::kRunBlocking || operation.kind == OperationKind::kResolve;
  }

  // REQUIRES IsErrand(operation).
  void Start(Operation& operation);
  // Ends `operation`, unless it has ended or is work that runs, which runs to its end.
  void Cancel(const Operation& operation);
  // What a fault has made stick takes no longer.
  void EndStuckWork();
  // Nothing more happens.
  void Clear();

 private:
  class Errand final : public Event {
   public:
    enum class Phase : uint8_t { kIdle, kLookup, kWorkWaits, kWorkRuns, kWorkSleeps };

    explicit Errand(Errands& errands) : errands_(errands) {}
    ~Errand() override = default;
    Phase phase = Phase::kIdle;
    Operation* operation = nullptr;
    uint64_t ordinal = 0;
    int64_t run_ns = 0;  // kWorkWaits: how long it will run.
    bool stuck = false;  // kWorkWaits, kWorkRuns: longer than it would, by a fault.
    // kLookup: faults.
    int error = 0;          // A positive errno.
    bool changing = false;  // Some addresses, in some order...
    uint64_t draw = 0;      // ...by this.
    bool stale = false;

   private:
    void Run() override { errands_.OnTime(*this); }
    Errands& errands_;
  };

  Errand& New(Operation& operation, Errand::Phase phase);
  void StartWork(Operation& operation);
  void StartLookup(Operation& operation);
  void OnTime(Errand& errand);
  void CallWork(Errand& errand);
  void AnswerLookup(Errand& errand);
  int AnswerOf(const Errand& errand);
  void End(Errand& errand, int64_t result);
  void RecordWork(const Errand& errand, uint64_t what);

  HostStack& stack_;
  Network& network_;
  const Entity process_;
  HostWaker* const waker_;
  ReportQueue& reports_;
  std::vector<std::unique_ptr<Errand>> errands_;
  uint64_t works_ = 0;                       // Blocking work so far.
  std::map<std::string, uint64_t> lookups_;  // Lookups so far, by name.
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REACTOR_ERRANDS_H_
