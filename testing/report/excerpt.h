// SPDX-License-Identifier: Apache-2.0
//
// Which events and operations of a run the files about it show: all of them, or as many as fit.
//
// They keep their numbers: e17 is e17 also where those before it are left out.

#ifndef TANDEM_TESTING_REPORT_EXCERPT_H_
#define TANDEM_TESTING_REPORT_EXCERPT_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "tandem/testing/report/recording.h"

namespace tandem::testing {

class Excerpt {
 public:
  // Events or operations in a row that are left out, from `first` to `last`.
  struct Gap {
    uint64_t first = 0;
    uint64_t last = 0;

    uint64_t size() const { return last - first + 1; }
    friend bool operator==(const Gap&, const Gap&) = default;
  };

  // Everything.
  Excerpt() = default;
  // At most `events` of the report's: those that led to the failure, the latest first; of the rest one in eight from
  // the beginning of the run, and the others from around the failure. And at most `operations`: those that cannot be
  // right, then the last.
  Excerpt(const Report& report, size_t events, size_t operations = std::numeric_limits<size_t>::max());

  bool Has(uint64_t event) const { return shown_.empty() || shown_[event]; }
  bool HasOperation(size_t operation) const { return operations_.empty() || operations_[operation]; }
  // The events that are left out, in order.
  const std::vector<Gap>& gaps() const { return gaps_; }
  uint64_t left_out() const;

  // Calls `on_event` for each event that is shown, and `on_gap` in the places of the others.
  template <typename OnEvent, typename OnGap>
  void Visit(const Recording& recording, OnEvent on_event, OnGap on_gap) const {
    auto gap = gaps_.begin();
    for (const RecordedEvent& event : recording.events) {
      if (Has(event.number)) {
        on_event(event);
      } else if (gap != gaps_.end() && event.number == gap->first) {
        on_gap(*gap++);
      }
    }
  }

 private:
  void ShowEvents(const Report& report, size_t events);
  void ShowOperations(const Report& report, size_t operations);

  std::vector<bool> shown_;       // By number; empty: all.
  std::vector<bool> operations_;  // Likewise.
  std::vector<Gap> gaps_;
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_EXCERPT_H_
