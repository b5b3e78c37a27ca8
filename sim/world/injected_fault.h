// SPDX-License-Identifier: Apache-2.0
//
// One entry of a fault plan in a world: whether it holds, until when, and what it has hit.

#ifndef TANDEM_SIM_WORLD_INJECTED_FAULT_H_
#define TANDEM_SIM_WORLD_INJECTED_FAULT_H_

#include <cstdint>
#include <utility>

#include "absl/time/time.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/network/link.h"
#include "tandem/sim/time/event_queue.h"
#include "tandem/sim/world/fault_injector.h"

namespace tandem::sim {

class FaultInjector::Fault {
 public:
  Fault(FaultInjector& injector, EventQueue& queue, FaultEntry entry)
      : injector_(injector), queue_(queue), entry_(std::move(entry)) {}
  Fault(const Fault&) = delete;
  Fault& operator=(const Fault&) = delete;
  ~Fault() { Cancel(); }

  void Schedule() {
    if (entry_.trigger != FaultEntry::Trigger::kTime) return;
    queue_.Schedule(begin_, absl::ToInt64Nanoseconds(entry_.from));
    queue_.Schedule(end_, absl::ToInt64Nanoseconds(entry_.to));
  }
  // For one that has been triggered.
  void ScheduleEnd(int64_t at_ns) { queue_.Schedule(end_, at_ns); }
  // Something changes at `at_ns`, while it holds.
  void ScheduleStep(int64_t at_ns) { queue_.Reschedule(step_, at_ns); }
  void Cancel() {
    queue_.Cancel(begin_);
    queue_.Cancel(end_);
    queue_.Cancel(step_);
  }

  const FaultEntry& entry() const { return entry_; }
  FaultKind kind() const { return entry_.kind; }

  bool holds() const { return holds_; }
  void SetHolds(bool holds) {
    if (holds) begun_ns_ = queue_.now_ns();
    holds_ = holds;
  }
  // Whether its trigger has not been met.
  bool waits() const { return waits_; }
  void set_done() { waits_ = false; }
  // When it ends; of one that holds.
  int64_t end_ns() const { return end_.scheduled() ? end_.time_ns() : queue_.now_ns(); }
  // The time in which it holds; of one that does.
  Span span() const { return {begun_ns_, end_ns()}; }

  uint64_t hits() const { return hits_; }
  void CountHit() { ++hits_; }
  FaultEffect effect(uint64_t strength) { return {strength, &hits_}; }

 private:
  class BeginEvent final : public Event {
   public:
    explicit BeginEvent(Fault& fault) : fault_(fault) {}

   private:
    void Run() override { fault_.injector_.Begin(fault_); }
    Fault& fault_;
  };
  class EndEvent final : public Event {
   public:
    explicit EndEvent(Fault& fault) : fault_(fault) {}

   private:
    void Run() override { fault_.injector_.End(fault_); }
    Fault& fault_;
  };
  class StepEvent final : public Event {
   public:
    explicit StepEvent(Fault& fault) : fault_(fault) {}

   private:
    void Run() override { fault_.injector_.Step(fault_); }
    Fault& fault_;
  };

  FaultInjector& injector_;
  EventQueue& queue_;
  const FaultEntry entry_;
  bool holds_ = false;
  bool waits_ = true;
  int64_t begun_ns_ = 0;
  uint64_t hits_ = 0;
  BeginEvent begin_{*this};
  EndEvent end_{*this};
  StepEvent step_{*this};
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_WORLD_INJECTED_FAULT_H_
