// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/faults/shapes.h"

#include <algorithm>

namespace tandem::sim {
namespace {

// How many neighbours on each side a host of a ring needs for a majority, itself included.
size_t NeighboursFor(size_t count) { return (count / 2 + 1) / 2; }

int64_t PartOf(int64_t length_ns, size_t numerator, size_t denominator) {
  return static_cast<int64_t>(static_cast<unsigned __int128>(length_ns) * numerator / denominator);
}

}  // namespace

size_t LeastHosts(Shape shape) { return shape == Shape::kRing ? 4 : 3; }

bool IsCut(Shape shape, size_t a, size_t b, size_t count) {
  if (a == b || count < LeastHosts(shape)) return false;
  const size_t distance = a < b ? b - a : a - b;
  const size_t middle = count / 2;
  switch (shape) {
    case Shape::kRing:
      return std::min(distance, count - distance) > NeighboursFor(count);
    case Shape::kBridge:
      return std::min(a, b) < middle && middle < std::max(a, b);
    case Shape::kChain:
      return distance > 1;
  }
  return false;
}

std::pair<size_t, size_t> CutPlaces(Shape shape, size_t count) {
  switch (shape) {
    case Shape::kRing:
      return {0, count / 2};
    case Shape::kBridge:
      return {0, count - 1};
    case Shape::kChain:
      return {0, 2};
  }
  return {0, 0};
}

Span SwizzleSpan(Span whole, size_t hit, size_t heals, size_t count) {
  const int64_t length_ns = whole.end_ns - whole.begin_ns;
  return {whole.begin_ns + PartOf(length_ns, hit, 2 * count),
          whole.end_ns - PartOf(length_ns, count - 1 - heals, 2 * count)};
}

}  // namespace tandem::sim
