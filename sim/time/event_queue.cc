// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/time/event_queue.h"

#include <algorithm>

namespace tandem::sim {

EventQueue::~EventQueue() {
  for (Entry& entry : heap_) entry.event->heap_index_ = Event::kNotScheduled;
}

void EventQueue::Schedule(Event& event, int64_t time_ns) {
  CHECK(!event.scheduled()) << "an event was scheduled twice";
  event.time_ns_ = std::max(time_ns, now_ns_);
  heap_.emplace_back();
  SiftUp(heap_.size() - 1, Entry{event.time_ns_, next_sequence_++, &event});
}

void EventQueue::Reschedule(Event& event, int64_t time_ns) {
  Cancel(event);
  Schedule(event, time_ns);
}

void EventQueue::Cancel(Event& event) {
  if (!event.scheduled()) return;
  RemoveAt(event.heap_index_);
}

void EventQueue::RunNext() {
  CHECK(!heap_.empty());
  const Entry next = heap_.front();
  RemoveAt(0);
  if (next.time_ns != now_ns_) {
    now_ns_ = next.time_ns;
    executed_at_this_instant_ = 0;
  }
  ++executed_;
  ++executed_at_this_instant_;
  next.event->Run();
}

void EventQueue::AdvanceTo(int64_t time_ns) {
  if (time_ns <= now_ns_) return;
  CHECK(heap_.empty() || time_ns <= heap_.front().time_ns) << "the clock would pass an event";
  now_ns_ = time_ns;
  executed_at_this_instant_ = 0;
}

void EventQueue::RemoveAt(size_t index) {
  heap_[index].event->heap_index_ = Event::kNotScheduled;
  const Entry last = heap_.back();
  heap_.pop_back();
  if (index == heap_.size()) return;
  if (index > 0 && Before(last, heap_[(index - 1) / kArity])) {
    SiftUp(index, last);
  } else {
    SiftDown(index, last);
  }
}

void EventQueue::SiftUp(size_t index, const Entry& entry) {
  while (index > 0) {
    const size_t parent = (index - 1) / kArity;
    if (!Before(entry, heap_[parent])) break;
    Place(index, heap_[parent]);
    index = parent;
  }
  Place(index, entry);
}

void EventQueue::SiftDown(size_t index, const Entry& entry) {
  const size_t size = heap_.size();
  while (true) {
    const size_t first = index * kArity + 1;
    if (first >= size) break;
    const size_t end = std::min(first + kArity, size);
    size_t best = first;
    for (size_t child = first + 1; child < end; ++child) {
      if (Before(heap_[child], heap_[best])) best = child;
    }
    if (!Before(heap_[best], entry)) break;
    Place(index, heap_[best]);
    index = best;
  }
  Place(index, entry);
}

}  // namespace tandem::sim
