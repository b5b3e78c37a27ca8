// SPDX-License-Identifier: Apache-2.0
//
// When a run of seeds last showed something new: a task that went on after another one, from places of the program
// that had not followed each other before.

#ifndef TANDEM_TESTING_RUNNER_HAND_OFFS_H_
#define TANDEM_TESTING_RUNNER_HAND_OFFS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tandem::testing {

class NewHandOffs {
 public:
  // What the seed has shown (SeedResult::hand_offs), which is the `ordinal`-th of the run, from 0. Seeds may end in any
  // order: which one was the first to show something depends on their numbers alone.
  void Add(uint64_t ordinal, uint64_t seed, std::vector<uint16_t> shown);

  // A line, "[sim] hand-offs between tasks: 412, the last new one at seed 873"; empty when there was none.
  std::string ToString() const;

 private:
  struct Seed {
    uint64_t seed;
    std::vector<uint16_t> shown;
  };

  std::map<uint64_t, Seed> early_;  // Seeds that have ended before one with a lower ordinal.
  uint64_t next_ = 0;
  std::vector<bool> seen_ = std::vector<bool>(size_t{1} << 16);
  uint64_t count_ = 0;
  uint64_t last_new_ = 0;
};

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_RUNNER_HAND_OFFS_H_
