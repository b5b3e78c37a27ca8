// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/link.h"

#include <algorithm>

namespace tandem::sim {

Link::Outcome Link::Send(int64_t now_ns, uint32_t bytes) {
  Outcome outcome;
  outcome.ordinal = next_ordinal_++;
  if (blocked_) {
    outcome.dropped = true;
    outcome.reason = DropReason::kBlocked;
    return outcome;
  }
  const bool hit = !conditions_.loss.is_never() && conditions_.loss.Hits(Draw(kLoss, outcome.ordinal));
  if (hit || outcome.ordinal == lost_ordinal_) {
    outcome.dropped = true;
    outcome.reason = DropReason::kLoss;
    return outcome;
  }
  int64_t departure = std::max(now_ns, clogged_until_ns_);
  if (conditions_.bytes_per_second != 0) {
    const int64_t start = std::max(departure, busy_until_ns_);
    if (conditions_.queue_limit_bytes != 0) {
      const auto waiting = static_cast<unsigned __int128>(start - departure) * conditions_.bytes_per_second;
      if (waiting > static_cast<unsigned __int128>(conditions_.queue_limit_bytes) * 1'000'000'000u) {
        outcome.dropped = true;
        outcome.reason = DropReason::kQueueFull;
        return outcome;
      }
    }
    departure = start + static_cast<int64_t>(uint64_t{bytes} * 1'000'000'000u / conditions_.bytes_per_second);
    busy_until_ns_ = departure;
  }
  outcome.arrival_ns = departure + conditions_.latency.Sample(Draw(kLatency, outcome.ordinal));
  if (!conditions_.duplicate.is_never() && conditions_.duplicate.Hits(Draw(kDuplicate, outcome.ordinal))) {
    outcome.duplicate_arrival_ns = departure + conditions_.latency.Sample(Draw(kDuplicateLatency, outcome.ordinal));
  }
  outcome.reordered = !conditions_.reorder.is_never() && conditions_.reorder.Hits(Draw(kReorder, outcome.ordinal));
  return outcome;
}

Link::Outcome Link::SendDatagram(int64_t now_ns, uint32_t bytes, uint32_t fragments) {
  Outcome outcome = Send(now_ns, bytes);
  if (!conditions_.loss.is_never()) {
    for (uint32_t fragment = 1; fragment < fragments && !outcome.dropped; ++fragment) {
      outcome.dropped = conditions_.loss.Hits(HashCombine(Draw(kLoss, outcome.ordinal), fragment));
    }
  }
  if (outcome.dropped) return outcome;
  if (!outcome.duplicate_arrival_ns.has_value() &&
      conditions_.datagram_duplicate.Hits(Draw(kDatagramDuplicate, outcome.ordinal))) {
    outcome.duplicate_arrival_ns =
        outcome.arrival_ns + conditions_.latency.Sample(Draw(kDuplicateLatency, outcome.ordinal));
  }
  outcome.reordered |= conditions_.datagram_reorder.Hits(Draw(kDatagramReorder, outcome.ordinal));
  if (outcome.reordered) outcome.arrival_ns += conditions_.latency.Sample(Draw(kReorderLatency, outcome.ordinal));
  return outcome;
}

}  // namespace tandem::sim
