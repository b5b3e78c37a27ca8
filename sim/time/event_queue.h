// SPDX-License-Identifier: Apache-2.0
//
// The virtual clock and what happens on it.
//
// Time is a count of nanoseconds from 0 that moves only when RunNext() takes the next event; idle time costs nothing.
// Events of one instant run in the order in which they were scheduled. An Event is embedded in its owner, so scheduling
// allocates nothing (the queue's arrays grow and are kept).
//
// The heap moves numbers only, 16 bytes for an event, and touches no Event but the one that is meant: with thousands of
// connections the events themselves are not in the cache.
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

  bool scheduled() const { return slot_ != kNotScheduled; }
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
  uint32_t slot_ = kNotScheduled;
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
  // By time, and at one time by the sequence in which they were scheduled; the slot says which event it is.
  struct Entry {
    int64_t time_ns;
    uint64_t sequence_and_slot;

    uint32_t slot() const { return static_cast<uint32_t>(sequence_and_slot & kSlotMask); }
    friend bool operator<(const Entry& a, const Entry& b) { return a.key() < b.key(); }

   private:
    unsigned __int128 key() const {  // Times are not negative.
      return static_cast<unsigned __int128>(static_cast<uint64_t>(time_ns)) << 64 | sequence_and_slot;
    }
  };
  struct Slot {
    Event* event;
    size_t heap_index;
  };
  static constexpr size_t kArity = 4;
  static constexpr int kSlotBits = 24;
  static constexpr uint64_t kSlotMask = (uint64_t{1} << kSlotBits) - 1;

  void Place(size_t index, const Entry& entry) {
    heap_[index] = entry;
    slots_[entry.slot()].heap_index = index;
  }
  void SiftUp(size_t index, const Entry& entry);
  // Fills the hole at `index` from below, and returns where it has gone: a place without children.
  size_t SinkHole(size_t index);
  // Takes out the entry there, which is no event's any more.
  void RemoveAt(size_t index);

  std::vector<Entry> heap_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  int64_t now_ns_ = 0;
  uint64_t next_sequence_ = 0;
  uint64_t executed_ = 0;
  uint64_t executed_at_this_instant_ = 0;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TIME_EVENT_QUEUE_H_
