// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/reactor/errands.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "tandem/core/base/random.h"
#include "tandem/core/io/address.h"
#include "tandem/sim/network/ip.h"
#include "tandem/sim/network/names.h"
#include "tandem/sim/trace/trace.h"

namespace tandem::sim {
namespace {

// How long blocking work waits for a thread and then takes, together; drawn for each, between these.
constexpr int64_t kWorkMinNs = 10'000;
constexpr int64_t kWorkMaxNs = 1'000'000;

}  // namespace

void Errands::Start(Operation& operation) {
  if (operation.kind == OperationKind::kRunBlocking) {
    StartWork(operation);
  } else {
    StartLookup(operation);
  }
}

void Errands::Clear() {
  for (const std::unique_ptr<Errand>& errand : errands_) network_.events().Cancel(*errand);
}

Errands::Errand& Errands::New(Operation& operation, Errand::Phase phase) {
  auto idle = std::find_if(errands_.begin(), errands_.end(),
                           [](const std::unique_ptr<Errand>& errand) { return errand->phase == Errand::Phase::kIdle; });
  if (idle == errands_.end()) {
    errands_.push_back(std::make_unique<Errand>(*this));
    idle = errands_.end() - 1;
  }
  (*idle)->operation = &operation;
  (*idle)->phase = phase;
  return **idle;
}

void Errands::End(Errand& errand, int64_t result) {
  Operation& operation = *errand.operation;
  errand.operation = nullptr;
  errand.phase = Errand::Phase::kIdle;
  reports_.Push(Report::Ended(operation, result));
}

void Errands::Cancel(const Operation& operation) {
  for (const std::unique_ptr<Errand>& errand : errands_) {
    if (errand->operation != &operation) continue;
    // Work that runs, runs to its end.
    if (errand->phase != Errand::Phase::kLookup && errand->phase != Errand::Phase::kWorkWaits) return;
    network_.events().Cancel(*errand);
    End(*errand, -ECANCELED);
    return;
  }
}

void Errands::EndStuckWork() {
  for (const std::unique_ptr<Errand>& errand : errands_) {
    if (!std::exchange(errand->stuck, false)) continue;
    if (errand->phase == Errand::Phase::kWorkWaits) errand->run_ns = 0;
    if (errand->phase == Errand::Phase::kWorkRuns) network_.events().Reschedule(*errand, network_.now_ns());
  }
}

void Errands::RecordWork(const Errand& errand, uint64_t what) {
  stack_.Record(TraceKind::kWork, errand.ordinal, what, errand.scheduled() ? errand.time_ns() : 0);
}

// In a drawn part of its time the work waits for a thread, and can be cancelled. In the rest it runs; the function is
// called at the end of that.
void Errands::StartWork(Operation& operation) {
  CHECK(operation.work != nullptr);
  Errand& errand = New(operation, Errand::Phase::kWorkWaits);
  errand.ordinal = works_++;
  const Entity works = process_.Part("work");
  stack_.CountWork();
  const Choices& choices = network_.choices();
  const auto range = static_cast<uint64_t>(kWorkMaxNs - kWorkMinNs) + 1;
  uint64_t whole =
      static_cast<uint64_t>(kWorkMinNs) + ReduceToRange(choices.Draw(Choice::kWork, works, errand.ordinal), range);
  if (const int64_t slower = stack_.faults().work_slow_max_ns; slower > 0) {
    StackFaults::CountHit(stack_.faults().hits.work_slow);
    whole += ReduceToRange(choices.Draw(Choice::kWork, works, errand.ordinal, 2), static_cast<uint64_t>(slower) + 1);
  }
  const uint64_t wait = ReduceToRange(choices.Draw(Choice::kWork, works, errand.ordinal, 1), whole + 1);
  errand.run_ns = static_cast<int64_t>(whole - wait);
  errand.stuck = false;
  const StackFaults& faults = stack_.faults();
  if (faults.work_stuck.Hits(choices.Draw(Choice::kWorkFault, works, errand.ordinal))) {
    StackFaults::CountHit(faults.hits.work_stuck);
    const int64_t stuck_ns = faults.work_stuck_until_ns - network_.now_ns() - static_cast<int64_t>(wait);
    errand.stuck = stuck_ns > errand.run_ns;
    errand.run_ns = std::max(errand.run_ns, stuck_ns);
  }
  network_.events().Schedule(errand, network_.now_ns() + static_cast<int64_t>(wait));
  RecordWork(errand, 1);
}

void Errands::OnTime(Errand& errand) {
  // The threads of a paused process stand still as well. At the very end of the pause it has to be over first.
  const int64_t paused_until_ns = waker_ == nullptr ? -1 : waker_->paused_until_ns();
  if (errand.phase != Errand::Phase::kLookup && paused_until_ns >= network_.now_ns()) {
    network_.events().Schedule(errand, paused_until_ns);
    return;
  }
  switch (errand.phase) {
    case Errand::Phase::kIdle:
      CHECK(false) << "an idle errand ran";
      return;
    case Errand::Phase::kLookup:
      AnswerLookup(errand);
      return;
    case Errand::Phase::kWorkWaits:
      errand.phase = Errand::Phase::kWorkRuns;
      network_.events().Schedule(errand, network_.now_ns() + errand.run_ns);
      RecordWork(errand, 2);
      return;
    case Errand::Phase::kWorkRuns:
      CallWork(errand);
      return;
    case Errand::Phase::kWorkSleeps:
      End(errand, 0);
      return;
  }
}

void Errands::CallWork(Errand& errand) {
  BlockingWork& work = *errand.operation->work;
  errand.phase = Errand::Phase::kWorkSleeps;
  int64_t slept_ns = 0;
  if (waker_ != nullptr) {
    slept_ns = waker_->RunWork(work);
  } else {
    work.Run();
  }
  RecordWork(errand, 0);
  if (slept_ns == 0) {
    End(errand, 0);
  } else {
    network_.events().Schedule(errand, network_.now_ns() + slept_ns);
  }
}

void Errands::StartLookup(Operation& operation) {
  CHECK(operation.lookup != nullptr);
  const std::string& host = operation.lookup->host;
  Errand& errand = New(operation, Errand::Phase::kLookup);
  errand.ordinal = lookups_[host]++;
  network_.CountLookup();
  stack_.CountLookup();
  const Entity name = process_.Part("name").Part(host);
  const auto draw = [&](Choice what, uint64_t part) {
    return network_.choices().Draw(what, name, errand.ordinal, part);
  };
  const StackFaults& faults = stack_.faults();
  errand.error = 0;
  if (faults.lookup_missing.Hits(draw(Choice::kLookupFault, 0))) {
    errand.error = ENOENT;
    StackFaults::CountHit(faults.hits.lookup_missing);
  }
  if (faults.lookup_failed.Hits(draw(Choice::kLookupFault, 1))) {
    errand.error = EAGAIN;
    StackFaults::CountHit(faults.hits.lookup_failed);
  }
  if (network_.names().HasChanged(host)) stack_.CountChangedLookup();
  errand.changing = faults.lookup_changing.Hits(draw(Choice::kLookupFault, 4));
  errand.draw = draw(Choice::kLookupFault, 5);
  errand.stale = faults.lookup_stale.Hits(draw(Choice::kLookupFault, 6));
  int64_t latency_ns = network_.names().LatencyNs(host, draw(Choice::kLookup, 0));
  if (faults.lookup_slow.Hits(draw(Choice::kLookupFault, 2))) {
    StackFaults::CountHit(faults.hits.lookup_slow);
    latency_ns += static_cast<int64_t>(ReduceToRange(draw(Choice::kLookupFault, 3), kSlowLookupMaxNs));
  }
  network_.events().Schedule(errand, network_.now_ns() + latency_ns);
  stack_.RecordBytes(host, TraceKind::kLookup, HashName(host), errand.ordinal, errand.time_ns());
}

int Errands::AnswerOf(const Errand& errand) {
  NameLookup& lookup = *errand.operation->lookup;
  std::vector<SocketAddress>& addresses = lookup.addresses;
  int result = 0;
  if (errand.stale && network_.names().LookUpPrevious(lookup.host, lookup.port, &addresses, &result)) {
    StackFaults::CountHit(stack_.faults().hits.lookup_stale);
  } else {
    result = network_.names().LookUp(lookup.host, lookup.port, &addresses);
  }
  if (result != 0 || !errand.changing) return result;
  // The first ones of a permutation.
  for (size_t i = 0; i + 1 < addresses.size(); ++i) {
    std::swap(addresses[i], addresses[i + ReduceToRange(HashCombine(errand.draw, i), addresses.size() - i)]);
  }
  addresses.resize(1 + ReduceToRange(errand.draw, addresses.size()));
  StackFaults::CountHit(stack_.faults().hits.lookup_changing);
  return 0;
}

void Errands::AnswerLookup(Errand& errand) {
  NameLookup& lookup = *errand.operation->lookup;
  const int result = errand.error != 0 ? -errand.error : AnswerOf(errand);
  uint64_t hash = 0;
  if (result == 0) {
    for (const SocketAddress& address : lookup.addresses) hash = HashCombine(hash, HashAddress(address));
  }
  stack_.RecordBytes(lookup.host, TraceKind::kLookedUp, HashName(lookup.host), -result, hash);
  End(errand, result);
}

}  // namespace tandem::sim
