// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/network/link.h"

#include <algorithm>

namespace tandem::sim {
namespace {

// Each fragment of a datagram may be lost, unless the decision about it is calm.
uint64_t FragmentDraw(const PacketChoices& choices, uint32_t fragment) {
  const uint64_t draw = choices.Draw(Choice::kLoss, 1);
  return draw == Choices::Neutral(Choice::kLoss) ? draw : HashCombine(draw, fragment);
}

}  // namespace

PacketFate Link::Send(int64_t now_ns, uint32_t bytes, const PacketChoices& choices) {
  PacketFate fate;
  fate.ordinal = next_ordinal_++;
  if (blocked_ || cut_) {
    fate.dropped = true;
    fate.reason = DropReason::kBlocked;
    return fate;
  }
  const bool hit = !conditions_.loss.is_never() && conditions_.loss.Hits(choices.Draw(Choice::kLoss));
  if (hit || fate.ordinal == lost_ordinal_) {
    fate.dropped = true;
    fate.reason = DropReason::kLoss;
    return fate;
  }
  int64_t departure = std::max(now_ns, clogged_until_ns_);
  if (conditions_.bytes_per_second != 0) {
    const int64_t start = std::max(departure, busy_until_ns_);
    if (conditions_.queue_limit_bytes != 0) {
      const auto waiting = static_cast<unsigned __int128>(start - departure) * conditions_.bytes_per_second;
      if (waiting > static_cast<unsigned __int128>(conditions_.queue_limit_bytes) * 1'000'000'000u) {
        fate.dropped = true;
        fate.reason = DropReason::kQueueFull;
        return fate;
      }
    }
    departure = start + static_cast<int64_t>(uint64_t{bytes} * 1'000'000'000u / conditions_.bytes_per_second);
    busy_until_ns_ = departure;
  }
  fate.arrival_ns = departure + conditions_.latency.Sample(choices.Draw(Choice::kLatency));
  if (!conditions_.duplicate.is_never() && conditions_.duplicate.Hits(choices.Draw(Choice::kDuplicate))) {
    fate.duplicate_arrival_ns = departure + conditions_.latency.Sample(choices.Draw(Choice::kLatency, 1));
  }
  fate.reordered = !conditions_.reorder.is_never() && conditions_.reorder.Hits(choices.Draw(Choice::kReorder));
  return fate;
}

PacketFate Link::SendDatagram(int64_t now_ns, uint32_t bytes, uint32_t fragments, const PacketChoices& choices) {
  PacketFate fate = Send(now_ns, bytes, choices);
  if (!conditions_.loss.is_never()) {
    for (uint32_t fragment = 1; fragment < fragments && !fate.dropped; ++fragment) {
      fate.dropped = conditions_.loss.Hits(FragmentDraw(choices, fragment));
    }
  }
  if (fate.dropped) return fate;
  if (!fate.duplicate_arrival_ns.has_value() &&
      conditions_.datagram_duplicate.Hits(choices.Draw(Choice::kDuplicate, 1))) {
    fate.duplicate_arrival_ns = fate.arrival_ns + conditions_.latency.Sample(choices.Draw(Choice::kLatency, 1));
  }
  fate.reordered |= conditions_.datagram_reorder.Hits(choices.Draw(Choice::kReorder, 1));
  if (fate.reordered) fate.arrival_ns += conditions_.latency.Sample(choices.Draw(Choice::kLatency, 2));
  return fate;
}

}  // namespace tandem::sim
