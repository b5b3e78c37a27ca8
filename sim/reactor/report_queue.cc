// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/reactor/report_queue.h"

namespace tandem::sim {

void ReportQueue::Delay(const Report& report, int64_t delay_ns) {
  if (free_delayed_.empty()) {
    delayed_.push_back(std::make_unique<Delayed>(*this));
    free_delayed_.push_back(delayed_.back().get());
  }
  Delayed& delayed = *free_delayed_.back();
  free_delayed_.pop_back();
  delayed.report = report;
  events_.Schedule(delayed, events_.now_ns() + delay_ns);
}

void ReportQueue::OnTime(Delayed& delayed) {
  const Report report = delayed.report;
  free_delayed_.push_back(&delayed);
  owner_.OnDue(report);
}

void ReportQueue::Clear() {
  for (const std::unique_ptr<Delayed>& delayed : delayed_) {
    if (!delayed->scheduled()) continue;
    events_.Cancel(*delayed);
    free_delayed_.push_back(delayed.get());
  }
  reports_.clear();
}

}  // namespace tandem::sim
