// SPDX-License-Identifier: Apache-2.0
//
// Which tasks of a run have followed each other: a set of pairs of places, hashed into a table of bits.
//
// A hand-off is where a task goes on after another one of its process: from where the one had awaited to where the
// other had. Seeds whose runs show no new hand-off show little that is new. Two pairs may share a bit; with the few
// thousand that a program has, few do.

#ifndef TANDEM_SIM_WORLD_HAND_OFFS_H_
#define TANDEM_SIM_WORLD_HAND_OFFS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <vector>

#include "tandem/core/base/random.h"

namespace tandem::sim {

class HandOffs {
 public:
  // `from` and `to` are hashes of places.
  void Note(uint64_t from, uint64_t to) { bits_[HashCombine(from, to) & (kBits - 1)] = true; }

  // The hash of a place: of its function's name, and not the file, as a test may be built in any folder.
  uint64_t HashOf(const std::source_location& place) {
    const char* const name = place.function_name();
    // Names of coroutines are long.
    KnownName& known = names_[place.line() % names_.size()];
    if (known.name != name) known = {name, HashName(name)};
    return HashCombine(known.hash, place.line());
  }

  // The numbers of the bits, in order.
  std::vector<uint16_t> Seen() const {
    std::vector<uint16_t> seen;
    for (size_t bit = 0; bit < kBits; ++bit) {
      if (bits_[bit]) seen.push_back(static_cast<uint16_t>(bit));
    }
    return seen;
  }

 private:
  static constexpr size_t kBits = size_t{1} << 16;

  struct KnownName {
    const char* name = nullptr;
    uint64_t hash = 0;
  };

  std::array<KnownName, 127> names_{};
  std::vector<bool> bits_ = std::vector<bool>(kBits);
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_WORLD_HAND_OFFS_H_
