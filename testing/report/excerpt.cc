// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/report/excerpt.h"

#include <algorithm>

namespace tandem::testing {
namespace {

// The event of the failure; the last one where nobody knows of a failure. REQUIRES an event.
size_t FailureIn(const Report& report) {
  if (!report.slice.empty()) return report.slice.back();
  const std::vector<RecordedEvent>& events = report.recording.events;
  const auto failure = std::find_if(events.begin(), events.end(), [](const RecordedEvent& event) {
    return event.source == RecordedEvent::Source::kFailure;
  });
  return failure == events.end() ? events.size() - 1 : failure->number;
}

}  // namespace

Excerpt::Excerpt(const Report& report, size_t events, size_t operations) {
  ShowEvents(report, events);
  ShowOperations(report, operations);
}

void Excerpt::ShowEvents(const Report& report, size_t events) {
  const size_t all = report.recording.events.size();
  if (events >= all) return;
  shown_.resize(all);
  size_t left = events;
  const auto show = [this, &left](uint64_t event) {
    if (left == 0 || shown_[event]) return;
    shown_[event] = true;
    --left;
  };

  for (auto event = report.slice.rbegin(); event != report.slice.rend(); ++event) show(*event);
  const size_t first = left / 8;
  for (size_t event = 0; event < first; ++event) show(event);
  const size_t failure = FailureIn(report);
  for (size_t distance = 0; distance < all; ++distance) {
    if (distance <= failure) show(failure - distance);
    if (failure + distance < all) show(failure + distance);
  }

  for (uint64_t event = 0; event < all; ++event) {
    if (shown_[event]) continue;
    if (gaps_.empty() || gaps_.back().last + 1 != event) gaps_.push_back({event, event});
    gaps_.back().last = event;
  }
}

void Excerpt::ShowOperations(const Report& report, size_t operations) {
  const size_t all = report.recording.operations.size();
  if (operations >= all) return;
  operations_.resize(all);
  size_t left = operations;
  for (const bool bad : {true, false}) {
    for (size_t i = all; i > 0 && left > 0; --i) {
      if (report.recording.operations[i - 1].bad != bad) continue;
      operations_[i - 1] = true;
      --left;
    }
  }
}

uint64_t Excerpt::left_out() const {
  uint64_t events = 0;
  for (const Gap& gap : gaps_) events += gap.size();
  return events;
}

}  // namespace tandem::testing
