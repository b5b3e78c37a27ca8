// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/time/event_queue.h"

#include <algorithm>

#include "tandem/core/base/prefetch.h"

namespace tandem::sim {
namespace {

// Of most events, which are packets, what matters.
constexpr size_t kEventBytes = 192;

}  // namespace

EventQueue::~EventQueue() {
  for (const Entry& entry : heap_) slots_[entry.slot()].event->slot_ = Event::kNotScheduled;
}

void EventQueue::Schedule(Event& event, int64_t time_ns) {
  CHECK(!event.scheduled()) << "an event was scheduled twice";
  if (free_slots_.empty()) {
    CHECK_LE(slots_.size(), kSlotMask) << "too many events are scheduled at once";
    free_slots_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  event.time_ns_ = std::max(time_ns, now_ns_);
  event.slot_ = free_slots_.back();
  free_slots_.pop_back();
  slots_[event.slot_].event = &event;
  heap_.emplace_back();
  SiftUp(heap_.size() - 1, Entry{event.time_ns_, next_sequence_++ << kSlotBits | event.slot_});
}

void EventQueue::Reschedule(Event& event, int64_t time_ns) {
  Cancel(event);
  Schedule(event, time_ns);
}

void EventQueue::Cancel(Event& event) {
  if (!event.scheduled()) return;
  free_slots_.push_back(event.slot_);
  RemoveAt(slots_[event.slot_].heap_index);
  event.slot_ = Event::kNotScheduled;
}

void EventQueue::RunNext() {
  CHECK(!heap_.empty());
  const Entry next = heap_.front();
  Event& event = *slots_[next.slot()].event;
  free_slots_.push_back(next.slot());
  RemoveAt(0);
  event.slot_ = Event::kNotScheduled;
  // Something else happens before the next one runs.
  if (!heap_.empty()) Prefetch(slots_[heap_.front().slot()].event, kEventBytes);
  if (next.time_ns != now_ns_) {
    now_ns_ = next.time_ns;
    executed_at_this_instant_ = 0;
  }
  ++executed_;
  ++executed_at_this_instant_;
  event.Run();
}

void EventQueue::AdvanceTo(int64_t time_ns) {
  if (time_ns <= now_ns_) return;
  CHECK(heap_.empty() || time_ns <= heap_.front().time_ns) << "the clock would pass an event";
  now_ns_ = time_ns;
  executed_at_this_instant_ = 0;
}

// The last entry fills the place. It belongs near the leaves most of the time, so it comes from there: that needs fewer
// comparisons whose result nobody can predict.
void EventQueue::RemoveAt(size_t index) {
  const Entry last = heap_.back();
  heap_.pop_back();
  if (index != heap_.size()) SiftUp(SinkHole(index), last);
}

void EventQueue::SiftUp(size_t index, const Entry& entry) {
  while (index > 0) {
    const size_t parent = (index - 1) / kArity;
    if (!(entry < heap_[parent])) break;
    Place(index, heap_[parent]);
    index = parent;
  }
  Place(index, entry);
}

size_t EventQueue::SinkHole(size_t index) {
  const size_t size = heap_.size();
  while (true) {
    const size_t first = index * kArity + 1;
    if (first >= size) return index;
    size_t best = first;
    if (first + kArity <= size) [[likely]] {
      const size_t left = heap_[first + 1] < heap_[first] ? first + 1 : first;
      const size_t right = heap_[first + 3] < heap_[first + 2] ? first + 3 : first + 2;
      best = heap_[right] < heap_[left] ? right : left;
    } else {
      for (size_t child = first + 1; child < size; ++child) {
        if (heap_[child] < heap_[best]) best = child;
      }
    }
    Place(index, heap_[best]);
    index = best;
  }
}

}  // namespace tandem::sim
