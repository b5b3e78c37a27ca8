// SPDX-License-Identifier: Apache-2.0
//
// The one loop of a simulation: events at their times, and between them the turns of what computes.
//
// Events of an instant come first, then those who have something to do take their turns, in the order in which they
// said so: what arrives together is seen together. No time passes in a turn. But who takes turn after turn without
// waiting for anything would never see what it waits for, so kSpinTurns turns in a row take kSpinNs of time: it spins
// until then, and only then, however small the steps in which the loop is driven. What happens to others does not wake
// it; what happens to itself does, for a few turns.
//
// Thread-hostile: a loop belongs to the thread of its queue.

#ifndef TANDEM_SIM_TIME_LOOP_H_
#define TANDEM_SIM_TIME_LOOP_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/log/check.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {

// How many turns in a row take how much time, in nanoseconds.
inline constexpr int kSpinTurns = 1000;
inline constexpr int64_t kSpinNs = 100'000;
// How many turns who spins takes when something has happened to it meanwhile.
inline constexpr int kWokenTurns = 10;

class Loop;

// Who takes turns: a process. Leaves the loop before it dies (CHECKed).
class TurnTaker {
 public:
  explicit TurnTaker(Loop& loop) : loop_(loop) {}
  TurnTaker(const TurnTaker&) = delete;
  TurnTaker& operator=(const TurnTaker&) = delete;

  // There is something to do at this instant. Does nothing while it waits for its turns, or takes them.
  void SetReady();
  // There is nothing to do any more, whatever was said before. Not from its own turns.
  void SetIdle();
  // Turns taken since it last had nothing to do.
  uint64_t turns_in_a_row() const { return turns_in_a_row_; }
  // It waits for the end of the time that its turns have taken.
  bool spinning() const { return spin_end_.scheduled(); }

 protected:
  virtual ~TurnTaker();
  // Takes turns while there is something to do, at most `limit`, and counts each. Returns whether there is something to
  // do in another one at this instant. May throw, and then has nothing to do.
  virtual bool TakeTurns(int limit) = 0;
  void CountTurn() { ++turns_in_a_row_; }
  // From TakeTurns(), which then returns: somebody looks at what the last turn has done. The `left` turns that it may
  // still take come with the next step of the loop, before anything else.
  void TakeRestLater(int left) { turns_left_ = left; }
  // It has nothing more to do at this instant. May destroy it.
  virtual void OnIdle() = 0;

 private:
  friend class Loop;
  class SpinEnd final : public Event {
   public:
    explicit SpinEnd(TurnTaker& taker) : taker_(taker) {}

   private:
    void Run() override { taker_.SetReady(); }
    TurnTaker& taker_;
  };

  void Run();

  Loop& loop_;
  SpinEnd spin_end_{*this};
  bool listed_ = false;  // Among those that are ready.
  bool in_turn_ = false;
  int turns_left_ = 0;  // Of those that TakeRestLater() has put off.
  uint64_t turns_in_a_row_ = 0;
};

class Loop {
 public:
  explicit Loop(EventQueue& queue) : queue_(queue) {}
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs the next event or, when none is left at this instant, the turns of the next who is ready. False: there is
  // nothing before or at `until_ns`, which is not before now.
  bool Step(int64_t until_ns);
  // Nothing can happen any more.
  bool quiescent() const { return ready_.size() == next_ && queue_.empty() && goes_on_ == nullptr; }

 private:
  friend class TurnTaker;

  EventQueue& queue_;
  // Who is ready, from next_ on; null where somebody has left.
  std::vector<TurnTaker*> ready_;
  size_t next_ = 0;
  TurnTaker* goes_on_ = nullptr;  // Who is in the middle of its turns.
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TIME_LOOP_H_
