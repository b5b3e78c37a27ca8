// SPDX-License-Identifier: Apache-2.0
//
// Partitions of more than two hosts, by the places that hosts have in a list; and swizzles, in which hosts are hit one
// after the other and heal in an order of their own.

#ifndef TANDEM_SIM_FAULTS_SHAPES_H_
#define TANDEM_SIM_FAULTS_SHAPES_H_

#include <cstddef>
#include <cstdint>
#include <utility>

namespace tandem::sim {

enum class Shape : uint8_t {
  kRing,    // Each reaches a majority, its neighbours in the ring, and no two reach the same.
  kBridge,  // Two halves, and one in the middle that reaches both.
  kChain,   // Each reaches the one before and the one behind it.
};

// With fewer hosts the shape cuts nothing.
size_t LeastHosts(Shape shape);
// Whether nothing passes between the hosts at `a` and `b` of `count`, from 0.
bool IsCut(Shape shape, size_t a, size_t b, size_t count);
// Two places between which the shape cuts. REQUIRES LeastHosts(shape) <= count.
std::pair<size_t, size_t> CutPlaces(Shape shape, size_t count);

// A span of time.
struct Span {
  int64_t begin_ns;
  int64_t end_ns;
};

// When a swizzle of `count` hosts, which holds for `whole`, hits the host that is hit as number `hit` and heals as
// number `heals`, from 0: hosts are hit in the first half of the time and heal in the second, the last at its end.
Span SwizzleSpan(Span whole, size_t hit, size_t heals, size_t count);

}  // namespace tandem::sim

#endif  // TANDEM_SIM_FAULTS_SHAPES_H_
