// SPDX-License-Identifier: Apache-2.0
//
// What the faults of a run have hit: a table by kind.

#ifndef TANDEM_TESTING_RUNNER_FAULTS_H_
#define TANDEM_TESTING_RUNNER_FAULTS_H_

#include <array>
#include <cstdint>
#include <string>

#include "tandem/testing/runner.h"

namespace tandem::testing {

class FaultTable {
 public:
  void Add(const FaultCounts& seed);

  // A line for each kind that was asked for or injected: "kind, entries, seeds in which it hit, of how many". Empty
  // when there is none.
  std::string ToString() const;
  // The kinds that were asked for in so many seeds that one should have been hit, and were not, with commas between
  // them.
  std::string KindsWithoutHit() const;

 private:
  struct Row {
    uint64_t asked = 0;    // In so many seeds.
    uint64_t entries = 0;  // In all of them.
    uint64_t seeds_hit = 0;
  };

  std::array<Row, kFaultKindsMax> rows_{};
  uint64_t seeds_ = 0;
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_FAULTS_H_
