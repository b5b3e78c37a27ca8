// SPDX-License-Identifier: Apache-2.0
//
// Addressed random numbers: value = hash(seed, domain, entity, n).
//
// A stream of random numbers is named, not shared. The n-th number of a stream depends on the stream's name and on n,
// and on nothing that anybody else drew, so a new draw in one place of a program moves no other place, and a seed that
// showed a failure still shows it after the change. All distributions are integer arithmetic: the same numbers come out
// under every compiler and optimisation level.
//
// Not for secrets: the numbers are well mixed, not unpredictable.

#ifndef TANDEM_CORE_BASE_RANDOM_H_
#define TANDEM_CORE_BASE_RANDOM_H_

#include <cstdint>
#include <type_traits>

#include "absl/log/check.h"
#include "absl/strings/string_view.h"

namespace tandem {

// Mixes 64 bits so that every input bit changes every output bit with probability near one half (the finaliser of
// SplitMix64; a bijection).
constexpr uint64_t MixBits(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebu;
  x ^= x >> 31;
  return x;
}

// Hashes an ordered pair. HashCombine(a, b) != HashCombine(b, a) in general.
constexpr uint64_t HashCombine(uint64_t a, uint64_t b) {
  return MixBits(a + 0x9e3779b97f4a7c15u + MixBits(b + 0xd1b54a32d192ed03u));
}

// Hashes a name. Stable across builds and machines (FNV-1a, then mixed).
constexpr uint64_t HashName(absl::string_view name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (char c : name) {
    hash ^= static_cast<uint8_t>(c);
    hash *= 0x100000001b3u;
  }
  return MixBits(hash);
}

// Maps a uniform 64-bit value to [0, bound) without division. `bound` must not be 0. The bias is below bound / 2^64.
constexpr uint64_t ReduceToRange(uint64_t value, uint64_t bound) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(value) * bound) >> 64);
}

// A probability as a 64-bit threshold: an event happens when a uniform 64-bit value is below it. Compared and stored as
// an integer, so that it is the same on every machine.
class Probability {
 public:
  // Never.
  constexpr Probability() = default;

  static constexpr Probability Always() { return Probability(~uint64_t{0}, true); }
  // `numerator` in 0..`denominator`, `denominator` > 0.
  static constexpr Probability Ratio(uint64_t numerator, uint64_t denominator) {
    if (numerator >= denominator) return Always();
    return Probability(static_cast<uint64_t>((static_cast<unsigned __int128>(numerator) << 64) / denominator), false);
  }

  constexpr bool Hits(uint64_t value) const { return always_ || value < threshold_; }
  constexpr bool is_never() const { return !always_ && threshold_ == 0; }

 private:
  constexpr Probability(uint64_t threshold, bool always) : threshold_(threshold), always_(always) {}

  uint64_t threshold_ = 0;
  bool always_ = false;
};

namespace internal {

// Told of number `n` of a stream, at each draw. For a simulation that compares two runs.
using StreamObserver = void (*)(uint64_t key, uint64_t n, uint64_t value);
// Null: nobody.
inline constinit StreamObserver on_stream_draw = nullptr;

}  // namespace internal

// One named stream of numbers. Copying copies the position too.
class RandomStream {
 public:
  explicit constexpr RandomStream(uint64_t key) : key_(key) {}

  // A stream below this one, named by `name`: it does not depend on how far this stream has been drawn.
  constexpr RandomStream Child(uint64_t name) const { return RandomStream(HashCombine(key_, name)); }

  // The next number, uniform over all 64-bit values.
  constexpr uint64_t Next() {
    const uint64_t n = n_++;
    const uint64_t value = HashCombine(key_, n);
    if (!std::is_constant_evaluated() && internal::on_stream_draw != nullptr) [[unlikely]] {
      internal::on_stream_draw(key_, n, value);
    }
    return value;
  }
  // Uniform in [0, bound). `bound` must be positive.
  uint64_t Below(uint64_t bound) {
    CHECK_GT(bound, 0u);
    return ReduceToRange(Next(), bound);
  }
  // Uniform in [low, high], both included. REQUIRES low <= high.
  int64_t Between(int64_t low, int64_t high) {
    CHECK_LE(low, high);
    const uint64_t span = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
    if (span == ~uint64_t{0}) return static_cast<int64_t>(Next());
    return static_cast<int64_t>(static_cast<uint64_t>(low) + ReduceToRange(Next(), span + 1));
  }
  constexpr bool Chance(Probability probability) { return probability.Hits(Next()); }

  constexpr uint64_t key() const { return key_; }

  // For UniformRandomBitGenerator users such as absl or user code. std:: distributions differ between standard
  // libraries: a program that uses them keeps the same digest only with the same library.
  using result_type = uint64_t;
  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return ~uint64_t{0}; }
  constexpr uint64_t operator()() { return Next(); }

 private:
  uint64_t key_;
  uint64_t n_ = 0;
};

}  // namespace tandem

#endif  // TANDEM_CORE_BASE_RANDOM_H_
