// SPDX-License-Identifier: Apache-2.0
//
// What the assertions of a program (core/base/assertions.h) have seen in a run of seeds.
//
// A child counts into pages that it shares with the parent: what it has reached counts, however it ends.

#ifndef TANDEM_TESTING_RUNNER_ASSERTIONS_H_
#define TANDEM_TESTING_RUNNER_ASSERTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tandem/core/base/assertions.h"

namespace tandem::testing {

struct AssertionCount {
  uint64_t visits = 0;
  uint64_t holds = 0;
};

// How much of the file that a child counts into there is; 0: there are no assertions.
size_t AssertionBytes();

// In a child, or in the foreground: from now on an assertion that does not hold fails an expectation, once each. `file`
// takes the counts, by AssertionSite::index(), and is not closed; -1: they go nowhere.
void WatchAssertions(int file);
// Nothing is counted any more.
void StopCountingAssertions();

// The counts of a child that has ended; empty if there are no assertions.
std::vector<AssertionCount> ReadAssertions(int file);

class AssertionTable {
 public:
  void Add(const std::vector<AssertionCount>& seed);
  uint64_t seeds() const { return seeds_; }

  // A line for each assertion that a seed has visited, or of a file in one of these `folders`: "sometimes
  // log.cc:12 several entries share a write: in 17 of 100 seeds"; of one that must hold always, how many seeds have
  // been there, and in how many of them it has not held. In the order of their places. Empty when there is none.
  std::string ToString(const std::vector<std::string>& folders) const;
  // A line for each that should have held in some seed and has not: those of a file in one of `folders`, and checkers
  // that were asked.
  std::string Unreached(const std::vector<std::string>& folders) const;
  // The first of them; null where there is none.
  const ::tandem::internal::AssertionSite* FirstUnreached(const std::vector<std::string>& folders) const;
  // A line for each of `folders` in whose files this program has no assertion at all, but for `own`: a name that is
  // spelt wrongly asks for nothing.
  static std::string WithoutAny(const std::vector<std::string>& folders, absl::string_view own);

 private:
  struct Row {
    uint64_t visited = 0;  // In so many seeds.
    uint64_t held = 0;     // Likewise.
    uint64_t broken = 0;   // Likewise: at least one visit at which it did not hold.
  };

  Row RowOf(const ::tandem::internal::AssertionSite& site) const {
    return site.index() < rows_.size() ? rows_[site.index()] : Row();
  }
  std::vector<const ::tandem::internal::AssertionSite*> UnreachedSites(const std::vector<std::string>& folders) const;

  std::vector<Row> rows_;
  uint64_t seeds_ = 0;
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_ASSERTIONS_H_
