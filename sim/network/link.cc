// SPDX-License-Identifier: Apache-2.0

#include "tandem/sim/network/link.h"

#include <algorithm>

namespace tandem::sim {
namespace {

constexpr uint64_t kMillion = 1'000'000;
constexpr uint64_t kBurst = 8;  // Packets of a flow that a burst of losses takes.
constexpr uint64_t kFaultQueueBytes = 64 * 1024;

// Whether `effect`, a chance in millionths, hits; which it counts.
bool Hits(const FaultEffect& effect, uint64_t draw) {
  if (!effect || !Probability::Ratio(effect.strength, kMillion).Hits(draw)) return false;
  effect.CountHit();
  return true;
}

// Each fragment of a datagram may be lost, unless the decision about it is calm.
uint64_t FragmentDraw(const PacketChoices& choices, uint32_t fragment) {
  const uint64_t draw = choices.Draw(Choice::kLoss, 1);
  return draw == Choices::Neutral(Choice::kLoss) ? draw : HashCombine(draw, fragment);
}

}  // namespace

bool Link::IsDropped(const PacketFate& fate, uint32_t payload, const PacketChoices& choices, DropReason* reason) const {
  *reason = DropReason::kBlocked;
  if (blocked_ || cut_) return true;
  if (faults_.partition) {
    faults_.partition.CountHit();
    return true;
  }
  *reason = DropReason::kTooLarge;
  if (faults_.mtu && payload > faults_.mtu.strength) {
    faults_.mtu.CountHit();
    return true;
  }
  *reason = DropReason::kLoss;
  if (fate.ordinal == lost_ordinal_) return true;
  if (!conditions_.loss.is_never() && conditions_.loss.Hits(choices.Draw(Choice::kLoss))) return true;
  if (!faults_.any) [[likely]]
    return false;
  const uint64_t burst = choices.choices.Draw(Choice::kLoss, choices.flow, choices.ordinal / kBurst, 3);
  return Hits(faults_.loss, choices.Draw(Choice::kLoss, 2)) || Hits(faults_.loss_burst, burst);
}

std::optional<int64_t> Link::DepartureOf(int64_t now_ns, uint32_t bytes) {
  int64_t departure = std::max(now_ns, clogged_until_ns_);
  if (faults_.clog && static_cast<int64_t>(faults_.clog.strength) > departure) {
    faults_.clog.CountHit();
    departure = static_cast<int64_t>(faults_.clog.strength);
  }
  uint64_t bytes_per_second = conditions_.bytes_per_second;
  uint64_t queue_limit = conditions_.queue_limit_bytes;
  if (faults_.bandwidth && (bytes_per_second == 0 || faults_.bandwidth.strength < bytes_per_second)) {
    faults_.bandwidth.CountHit();
    bytes_per_second = faults_.bandwidth.strength;
    queue_limit = kFaultQueueBytes;
  }
  if (bytes_per_second == 0) return departure;
  const int64_t start = std::max(departure, busy_until_ns_);
  if (queue_limit != 0) {
    const auto waiting = static_cast<unsigned __int128>(start - departure) * bytes_per_second;
    if (waiting > static_cast<unsigned __int128>(queue_limit) * 1'000'000'000u) return std::nullopt;
  }
  busy_until_ns_ = start + static_cast<int64_t>(uint64_t{bytes} * 1'000'000'000u / bytes_per_second);
  return busy_until_ns_;
}

PacketFate Link::Send(int64_t now_ns, uint32_t payload, uint32_t headers, const PacketChoices& choices) {
  PacketFate fate;
  fate.ordinal = next_ordinal_++;
  largest_sent_ = std::max(largest_sent_, payload);
  if (IsDropped(fate, payload, choices, &fate.reason)) {
    fate.dropped = true;
    return fate;
  }
  const std::optional<int64_t> departure = DepartureOf(now_ns, payload + headers);
  if (!departure.has_value()) {
    fate.dropped = true;
    fate.reason = DropReason::kQueueFull;
    return fate;
  }
  const uint64_t latency_draw = choices.Draw(Choice::kLatency);
  fate.arrival_ns = *departure + conditions_.latency.Sample(latency_draw);
  if (faults_.latency) {
    faults_.latency.CountHit();
    fate.arrival_ns +=
        LatencyDistribution::LongTail(static_cast<int64_t>(faults_.latency.strength)).Sample(latency_draw);
  }
  const bool twice =
      (!conditions_.duplicate.is_never() && conditions_.duplicate.Hits(choices.Draw(Choice::kDuplicate))) ||
      (faults_.any && Hits(faults_.duplicate, choices.Draw(Choice::kDuplicate, 2)));
  if (twice) {
    fate.duplicate_arrival_ns = *departure + conditions_.latency.Sample(choices.Draw(Choice::kLatency, 1));
  }
  fate.reordered = !conditions_.reorder.is_never() && conditions_.reorder.Hits(choices.Draw(Choice::kReorder));
  if (faults_.any && Hits(faults_.reorder, choices.Draw(Choice::kReorder, 2))) {
    fate.reordered = true;
    // Late enough for others to overtake it.
    fate.arrival_ns += 4 * conditions_.latency.Sample(choices.Draw(Choice::kLatency, 3));
  }
  return fate;
}

PacketFate Link::SendDatagram(int64_t now_ns, uint32_t payload, uint32_t headers, uint32_t fragments,
                              const PacketChoices& choices) {
  ++datagrams_sent_;
  PacketFate fate = Send(now_ns, payload, headers * fragments, choices);
  if (!conditions_.loss.is_never()) {
    for (uint32_t fragment = 1; fragment < fragments && !fate.dropped; ++fragment) {
      fate.dropped = conditions_.loss.Hits(FragmentDraw(choices, fragment));
    }
  }
  if (fate.dropped) return fate;
  const bool twice = conditions_.datagram_duplicate.Hits(choices.Draw(Choice::kDuplicate, 1)) ||
                     (faults_.any && Hits(faults_.datagram_duplicate, choices.Draw(Choice::kDuplicate, 3)));
  if (twice && !fate.duplicate_arrival_ns.has_value()) {
    fate.duplicate_arrival_ns = fate.arrival_ns + conditions_.latency.Sample(choices.Draw(Choice::kLatency, 1));
  }
  fate.reordered |= conditions_.datagram_reorder.Hits(choices.Draw(Choice::kReorder, 1)) ||
                    (faults_.any && Hits(faults_.datagram_reorder, choices.Draw(Choice::kReorder, 3)));
  if (fate.reordered) fate.arrival_ns += conditions_.latency.Sample(choices.Draw(Choice::kLatency, 2));
  return fate;
}

}  // namespace tandem::sim
