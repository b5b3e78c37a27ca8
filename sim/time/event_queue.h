// SPDX-License-Identifier: Apache-2.0
//
// The virtual clock and what happens on it.
//
// Time is a count of nanoseconds from 0 that moves only when RunNext() takes the next event; idle time costs nothing.
// Events of one instant run in the order in which they were scheduled. An Event is embedded in its owner, so scheduling
// allocates nothing (the heap's array grows and is kept).
//
// Thread-hostile: one queue belongs to one thread.

#ifndef TANDEM_SIM_TIME_EVENT_QUEUE_H_
#define TANDEM_SIM_TIME_EVENT_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/log/check.h"

namespace tandem::sim {

class EventQueue;

// Something that happens at a virtual time. Its owner cancels it before it dies (CHECKed).
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  bool scheduled() const { return heap_index_ != kNotScheduled; }
  // When it will run. REQUIRES scheduled().
  int64_t time_ns() const { return time_ns_; }

 protected:
  virtual ~Event() { CHECK(!scheduled()) << "an event was destroyed while it was scheduled"; }
  // What happens. The event is no longer scheduled when this is called; it may schedule or delete itself.
  virtual void Run() = 0;

 private:
  friend class EventQueue;
  static constexpr uint32_t kNotScheduled = ~uint32_t{0};

  int64_t time_ns_ = 0;
  uint32_t heap_index_ = kNotScheduled;
};

class EventQueue {
 public:
  EventQueue() = default;
  EventQueue(const EventQueue&) = delete;
  EventQueue& operator=(const EventQueue&) = delete;
  // Forgets what is still scheduled, without running it.
  ~EventQueue();

  int64_t now_ns() const { return now_ns_; }

  // Runs `event` at `time_ns`, or now when that is past. REQUIRES that it is not scheduled.
  void Schedule(Event& event, int64_t time_ns);
  // The same, whether or not it is scheduled; it then comes after all others of its new instant.
  void Reschedule(Event& event, int64_t time_ns);
  // Does nothing when it is not scheduled.
  void Cancel(Event& event);

  bool empty() const { return heap_.empty(); }
  size_t size() const { return heap_.size(); }
  // REQUIRES !empty().
  int64_t next_time_ns() const { return heap_.front().time_ns; }

  // Moves the clock to the next event and runs it. REQUIRES !empty().
  void RunNext();
  // Moves the clock to `time_ns`. REQUIRES that no event is due before; does nothing when the time is past.
  void AdvanceTo(int64_t time_ns);

  // Events run so far, and those of them at the current instant (what shows a livelock).
  uint64_t executed() const { return executed_; }
  uint64_t executed_at_this_instant() const { return executed_at_this_instant_; }

 private:
  struct Entry {
    int64_t time_ns;
    uint64_t sequence;
    Event* event;
  };
  static constexpr size_t kArity = 4;

  static bool Before(const Entry& a, const Entry& b) {
    return a.time_ns != b.time_ns ? a.time_ns < b.time_ns : a.sequence < b.sequence;
  }
  void Place(size_t index, const Entry& entry) {
    heap_[index] = entry;
    entry.event->heap_index_ = static_cast<uint32_t>(index);
  }
  void SiftUp(size_t index, const Entry& entry);
  void SiftDown(size_t index, const Entry& entry);
  void RemoveAt(size_t index);

  std::vector<Entry> heap_;
  int64_t now_ns_ = 0;
  uint64_t next_sequence_ = 0;
  uint64_t executed_ = 0;
  uint64_t executed_at_this_instant_ = 0;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TIME_EVENT_QUEUE_H_
